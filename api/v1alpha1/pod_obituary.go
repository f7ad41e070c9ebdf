package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A PodObituary says what a Pod died of and how far it had come, after the Pod is gone. It has some
// of the Pod's labels: audit.labels of the configuration says which.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Namespaced,shortName=podobit,categories=epitaph
// +kubebuilder:selectablefield:JSONPath=`.spec.podName`
// +kubebuilder:selectablefield:JSONPath=`.spec.code`
// +kubebuilder:selectablefield:JSONPath=`.spec.class`
// +kubebuilder:selectablefield:JSONPath=`.spec.nodeName`
// +kubebuilder:printcolumn:name="Pod",type=string,JSONPath=`.spec.podName`
// +kubebuilder:printcolumn:name="Code",type=string,JSONPath=`.spec.code`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.spec.reason`
// +kubebuilder:printcolumn:name="Node",type=string,JSONPath=`.spec.nodeName`
// +kubebuilder:printcolumn:name="Owner",type=string,JSONPath=`.spec.owners[0].name`
// +kubebuilder:printcolumn:name="By",type=string,JSONPath=`.spec.by`,priority=1
// +kubebuilder:printcolumn:name="Deleted By",type=string,JSONPath=`.spec.deletedBy`,priority=1
// +kubebuilder:printcolumn:name="Removed",type=date,JSONPath=`.spec.removed`
type PodObituary struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec PodObituarySpec `json:"spec"`
}

// PodObituarySpec is what is known about the end of one Pod.
type PodObituarySpec struct {
	// PodName is the name the Pod had; another Pod may have it by now.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	PodName string `json:"podName"`
	// PodUID tells the Pods of one name apart.
	PodUID types.UID `json:"podUID"`
	// NodeName is the node the Pod was bound to; empty where it was never bound.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	NodeName string `json:"nodeName,omitempty"`
	// NodeObituary is the name of the NodeObituary of the node that took the Pod with it.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	NodeObituary string `json:"nodeObituary,omitempty"`
	// NodePool is the pool of that node, by the label of its provider or autoscaler; empty where it
	// had none, or was gone and had no record of its own.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	NodePool string `json:"nodePool,omitempty"`
	// NodeKernel is the release of the kernel of that node; empty where the node was gone and had
	// no record of its own.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	NodeKernel string `json:"nodeKernel,omitempty"`
	// Owners are the controllers the Pod belonged to, the nearest first, up to the topmost that
	// could be read: Job before JobSet before TrainJob, ReplicaSet before Deployment.
	// +optional
	// +kubebuilder:validation:MaxItems=8
	Owners []Owner `json:"owners,omitempty"`

	// Code names the cause in one word.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Code string `json:"code"`
	// Class is what the cause means: disruption, routine or unexplained.
	// +kubebuilder:validation:Enum=disruption;routine;unexplained
	Class string `json:"class"`
	// Reason is the sentence the Pod left with; empty where it left without one.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
	// By is who or what terminated the Pod, as its reason says. Reason, Code and By are the word of
	// whoever could write them onto the Pod.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	By string `json:"by,omitempty"`
	// DeletedBy is the user who asked for the deletion, as the API server authenticated them; for a
	// deletion of Epitaph's own, the component that asked. It is empty where that is not known.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	DeletedBy string `json:"deletedBy,omitempty"`

	// Preemption is set where it is not certain which pod the Pod was preempted for: for two
	// minutes after the Pod is gone, that is corrected by what the scheduler writes down later.
	// +optional
	Preemption *Preemption `json:"preemption,omitempty"`

	// Phase is the Pod's last phase.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Phase string `json:"phase,omitempty"`
	// Created is when the Pod was created.
	Created metav1.Time `json:"created"`
	// Began is when the kubelet took the Pod on: from then on it holds what it requests. It is
	// absent where no kubelet did.
	// +optional
	Began *metav1.Time `json:"began,omitempty"`
	// DeletionRequested is when the deletion was requested; absent where the Pod vanished at once.
	// +optional
	DeletionRequested *metav1.Time `json:"deletionRequested,omitempty"`
	// DisruptionTarget is set where the Pod had that condition, by which the podFailurePolicy of a
	// Job tells a disruption.
	// +optional
	DisruptionTarget bool `json:"disruptionTarget,omitempty"`
	// RefusedAtOnce is set where the kubelet refused the Pod when it first saw it, so that nothing
	// of it ran. A kubelet that was restarted also refuses what ran under it.
	// +optional
	RefusedAtOnce bool `json:"refusedAtOnce,omitempty"`
	// Removed is when the Pod was gone, as the recorder saw it.
	Removed metav1.Time `json:"removed"`
	// Containers are the last known states, init containers first.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	Containers []ContainerEnd `json:"containers,omitempty"`
	// ContainersOmitted is how many containers found no room in the list.
	// +optional
	ContainersOmitted int32 `json:"containersOmitted,omitempty"`
	// Requests are the resources that the Pod had asked for, all its containers together, such as
	// cpu or nvidia.com/gpu.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	Requests map[string]Amount `json:"requests,omitempty"`
	// Limits are the most that it was allowed to use.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	Limits map[string]Amount `json:"limits,omitempty"`
	// Verdict answers what programs ask of this Pod alone: whether other pods of its Job did the
	// work, and what the author of the Job has allowed, is not looked at.
	// +optional
	Verdict *Verdict `json:"verdict,omitempty"`
	// Amended is set where the reason was supplied after the fact.
	// +optional
	Amended *Amendment `json:"amended,omitempty"`
}

// An Amount is how much of a resource, as Kubernetes writes it: 500m, 2Gi.
//
// +kubebuilder:validation:MaxLength=64
type Amount string

// Preemption is what tells which pod a Pod can have been preempted for.
type Preemption struct {
	// Supposed is set where Reason names a preemptor that nobody has named: the only pod that can
	// be it, as far as was known.
	// +optional
	Supposed bool `json:"supposed,omitempty"`
	// Priority is the Pod's.
	Priority int32 `json:"priority"`
	// Condition is the message of the condition with which the scheduler announced the preemption.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Condition string `json:"condition,omitempty"`
}

// Owner is a controller that a Pod belonged to.
type Owner struct {
	// APIVersion tells kinds of one name apart, such as the Jobs of batch/v1 and of
	// batch.volcano.sh/v1alpha1. Records of before it was kept lack it.
	// +optional
	// +kubebuilder:validation:MaxLength=317
	APIVersion string `json:"apiVersion,omitempty"`
	// Kind of the owner, such as Job.
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// Name of the owner, in the Pod's namespace.
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// UID of the owner.
	// +optional
	UID types.UID `json:"uid,omitempty"`
}

// ContainerState is how far a container had come.
//
// +kubebuilder:validation:Enum=NeverStarted;Running;Exited
type ContainerState string

// The last known states of a container.
const (
	// NeverStarted: the container's process never ran.
	NeverStarted ContainerState = "NeverStarted"
	// Running: the process ran when it was last heard of; nobody saw it end.
	Running ContainerState = "Running"
	// Exited: the process ended, and its exit code is known.
	Exited ContainerState = "Exited"
)

// ContainerEnd is the last that is known of one container.
type ContainerEnd struct {
	// Name of the container.
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// Init is set for init containers.
	// +optional
	Init bool `json:"init,omitempty"`
	// State is the last known state.
	State ContainerState `json:"state"`
	// ExitCode of the last run; set when State is Exited.
	// +optional
	ExitCode *int32 `json:"exitCode,omitempty"`
	// Reason says why the container waits or ended, in the kubelet's word: OOMKilled,
	// ImagePullBackOff, Completed.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason,omitempty"`
	// Image is the image that it ran, or was to run.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Image string `json:"image,omitempty"`
	// Message is the end of what the container left as its termination message in its last run.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
	// Started is when the last run began.
	// +optional
	Started *metav1.Time `json:"started,omitempty"`
	// Finished is when the last run ended.
	// +optional
	Finished *metav1.Time `json:"finished,omitempty"`
	// Restarts is how often the container was started again.
	// +optional
	Restarts int32 `json:"restarts,omitempty"`
}

// PodObituaryList is a list of obituaries.
//
// +kubebuilder:object:root=true
type PodObituaryList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []PodObituary `json:"items"`
}
