package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A NodeObituary says what a Node died of, after the Node is gone.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=nodeobit,categories=epitaph
// +kubebuilder:selectablefield:JSONPath=`.spec.nodeName`
// +kubebuilder:selectablefield:JSONPath=`.spec.code`
// +kubebuilder:printcolumn:name="Node",type=string,JSONPath=`.spec.nodeName`
// +kubebuilder:printcolumn:name="Code",type=string,JSONPath=`.spec.code`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.spec.reason`
// +kubebuilder:printcolumn:name="By",type=string,JSONPath=`.spec.by`
// +kubebuilder:printcolumn:name="Deleted By",type=string,JSONPath=`.spec.deletedBy`,priority=1
// +kubebuilder:printcolumn:name="Removed",type=date,JSONPath=`.spec.removed`
type NodeObituary struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec NodeObituarySpec `json:"spec"`
	// Status is what others have found out since. Whoever may write it can change nothing else of
	// the record.
	// +optional
	Status NodeObituaryStatus `json:"status,omitzero"`
}

// NodeObituarySpec is what is known about the end of one Node.
type NodeObituarySpec struct {
	// NodeName is the name the Node had; another Node may have it by now.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	NodeName string `json:"nodeName"`
	// NodeUID tells the Nodes of one name apart. It is empty where nobody saw the Node go.
	// +optional
	NodeUID types.UID `json:"nodeUID,omitempty"`
	// BootID is the boot that ended.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	BootID string `json:"bootID,omitempty"`
	// Pool is the pool the Node was of, by the label of its provider or autoscaler.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Pool string `json:"pool,omitempty"`
	// Kernel is the release of its kernel, as the kubelet said.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Kernel string `json:"kernel,omitempty"`
	// Addresses are the addresses the Node had.
	// +optional
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=253
	Addresses []string `json:"addresses,omitempty"`
	// ProviderID is the instance that the Node was, as its cloud names it: the Node's
	// spec.providerID.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	ProviderID string `json:"providerID,omitempty"`
	// Removed is when the Node left, or was about to.
	Removed metav1.Time `json:"removed"`

	// Code names the cause in one word.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Code string `json:"code"`
	// Class is what the cause means: disruption, routine or unexplained.
	// +kubebuilder:validation:Enum=disruption;routine;unexplained
	Class string `json:"class"`
	// Reason is the sentence the Node left with.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason"`
	// By is who or what removed the Node, as its reason says. Reason, Code and By are the word of
	// whoever could write them onto the Node.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	By string `json:"by,omitempty"`
	// DeletedBy is the user who asked for the deletion, as the API server authenticated them; for a
	// deletion of Epitaph's own, the component that asked. It is empty where that is not known.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	DeletedBy string `json:"deletedBy,omitempty"`
	// Evidence is what had happened on the node before, newest last.
	// +optional
	// +kubebuilder:validation:MaxItems=32
	Evidence []Evidence `json:"evidence,omitempty"`
	// KernelLog is the kernel's last lines, where it could still send them.
	// +optional
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=1024
	KernelLog []string `json:"kernelLog,omitempty"`
	// Panic is where the kernel crashed, as far as KernelLog has a trace.
	// +optional
	Panic *PanicTrace `json:"panic,omitempty"`
	// SucceededBy is the UID of a later Node of this name: from then on this obituary speaks for no
	// pod.
	// +optional
	SucceededBy types.UID `json:"succeededBy,omitempty"`
	// Returned is set where not the Node left but a boot of it ended: the node panicked, and came
	// back as the same Node. It speaks for the pods that were lost with that boot, and for no
	// other.
	// +optional
	Returned bool `json:"returned,omitempty"`
	// Amended is set where the reason was supplied after the fact.
	// +optional
	Amended *Amendment `json:"amended,omitempty"`
}

// NodeObituaryStatus is what others have found out since.
type NodeObituaryStatus struct {
	// Cloud is what the API of the cloud said of the instance that the Node was.
	// +optional
	Cloud *CloudAnswer `json:"cloud,omitempty"`
}

// A CloudAnswer is what the API of a cloud says of the end of an instance.
type CloudAnswer struct {
	// Cloud is which one was asked: aws, gcp or azure.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Cloud string `json:"cloud"`
	// Asked is when it answered.
	Asked metav1.Time `json:"asked"`
	// What happened, in a word of evidence: spot-interruption, host-failure, host-maintenance,
	// scale-in, terminated, shutdown, panic … It is empty where the cloud does not know.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	What string `json:"what,omitempty"`
	// Who did it, as the cloud authenticated them.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Who string `json:"who,omitempty"`
	// Detail is the cloud's own words.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Detail string `json:"detail,omitempty"`
	// When it happened, by the clock of the cloud.
	// +optional
	When metav1.Time `json:"when,omitzero"`
	// KernelLog is the end of the instance's console, where the cloud keeps one.
	// +optional
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=1024
	KernelLog []string `json:"kernelLog,omitempty"`
	// Sources are the calls that answered, such as ec2:DescribeInstances.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=128
	Sources []string `json:"sources,omitempty"`
	// Unanswered are the calls that did not, and why.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=512
	Unanswered []string `json:"unanswered,omitempty"`
}

// A PanicTrace is where a kernel crashed, by which crashes of many nodes are grouped: docs/audit.md
// says which lines it is read from.
type PanicTrace struct {
	// Fingerprint is two words with a hyphen between them: the first is the same for crashes in the
	// same functions, both are for those of the same kernel and hardware besides. It is empty where
	// no function is known.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Fingerprint string `json:"fingerprint,omitempty"`
	// Functions are those of the trace, the innermost first, without the machinery of the panic.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=128
	Functions []string `json:"functions,omitempty"`
	// Kernel is the release of the kernel, as it says itself.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Kernel string `json:"kernel,omitempty"`
	// Hardware is the model of the machine, as the kernel says.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Hardware string `json:"hardware,omitempty"`
}

// An Amendment is how a reason came to be known after the record was written, or should have been.
type Amendment struct {
	// At is when the reason was supplied.
	At metav1.Time `json:"at"`
	// From is where it was found: pstore, systemd-pstore or kdump, or at a cloud: "aws api".
	// +kubebuilder:validation:MaxLength=64
	From string `json:"from"`
	// Was is the code before; empty where there was no record.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Was string `json:"was,omitempty"`
}

// Evidence is something that happened on a node.
type Evidence struct {
	// What happened: halt, poweroff, reboot, shutdown, kexec, panic, hardware …, or what the cloud
	// had announced: spot-interruption, scale-in, host-failure …
	// +kubebuilder:validation:MaxLength=64
	What string `json:"what"`
	// Who did it, or which cloud announced it.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Who string `json:"who,omitempty"`
	// Detail is the panic line, the type of the failure, or the cloud's words.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Detail string `json:"detail,omitempty"`
	// When it happened, by the clock of the node; absent where the evidence does not say.
	// +optional
	When metav1.Time `json:"when,omitzero"`
}

// NodeObituaryList is a list of obituaries.
//
// +kubebuilder:object:root=true
type NodeObituaryList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []NodeObituary `json:"items"`
}
