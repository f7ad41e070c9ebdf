package story

import (
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// A PodData is a pod's story for programs: its record, and what stands beside it.
type PodData struct {
	// Kind is Pod.
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	// Labels are those that the record has; of a pod that still exists, all.
	Labels map[string]string `json:"labels,omitempty"`
	// Exists is set if the pod still exists: removed then means nothing.
	Exists bool `json:"exists,omitempty"`

	v1alpha1.PodObituarySpec `json:",inline"`

	// Node is the record of the pod's node, if that died: its evidence and the lines of its kernel.
	Node *NodeData `json:"node,omitempty"`
	// Verdict is the present one, which knows the pod's Job; the record's own does not.
	Verdict *Verdict `json:"verdict,omitempty"`
	// Prose is the story for people.
	Prose string `json:"prose,omitempty"`
}

// A NodeData is a node's story for programs.
type NodeData struct {
	// Kind is Node.
	Kind string `json:"kind"`
	// Exists is set if a node of this name exists; removed then is when an earlier one left.
	Exists bool `json:"exists,omitempty"`

	v1alpha1.NodeObituarySpec `json:",inline"`

	Pods []PodData `json:"pods,omitempty"`
	// Now is how the existing node is.
	Now   *NodeNow `json:"now,omitempty"`
	Prose string   `json:"prose,omitempty"`
}

// A WorkloadData is the story of an owner of pods for programs.
type WorkloadData struct {
	APIVersion string    `json:"apiVersion,omitempty"`
	Kind       string    `json:"kind"`
	Namespace  string    `json:"namespace"`
	Name       string    `json:"name"`
	UID        types.UID `json:"uid,omitempty"`
	// Exists is yes, no or, where it could not be read, unknown.
	Exists v1alpha1.Answer `json:"exists"`
	// Deletion is who deleted it, and why.
	Deletion *v1alpha1.OwnerObituarySpec `json:"deletion,omitempty"`
	Job      *JobData                    `json:"job,omitempty"`
	Ends     Ends                        `json:"ends"`
	// PodFailurePolicy is what one would have done; absent if it would have changed nothing.
	PodFailurePolicy *Advice `json:"podFailurePolicy,omitempty"`
	// Ended are its pods that have ended, the latest last; Running are those that have not.
	Ended   []PodData `json:"ended"`
	Running []PodData `json:"running"`
	Verdict *Verdict  `json:"verdict,omitempty"`
	Prose   string    `json:"prose"`
}

// A JobData is what the status of a Job says.
type JobData struct {
	Succeeded    int                    `json:"succeeded"`
	Failed       int                    `json:"failed"`
	Active       int                    `json:"active"`
	BackoffLimit *int32                 `json:"backoffLimit,omitempty"`
	Conditions   []batchv1.JobCondition `json:"conditions,omitempty"`
}

// Data returns the pod's story for programs.
func (f Facts) Data() PodData {
	s := OfPod(f)
	d := f.data()
	d.Verdict, d.Prose = s.Verdict, s.String()
	if f.Node != nil {
		d.Node = &NodeData{Kind: "Node", NodeObituarySpec: f.Node.Spec}
	}
	return d
}

// data returns the record alone, with its own verdict.
func (f Facts) data() PodData {
	d := PodData{Kind: "Pod", Namespace: f.Pod.Namespace, Labels: f.Pod.Labels,
		Exists: f.Here, PodObituarySpec: f.Pod.Spec}
	v := f.forPrograms(f.ofItself())
	d.Verdict = &v
	return d
}

// DataOfNode returns the story of a node and its pods for programs.
func DataOfNode(o *v1alpha1.NodeObituary, pods []v1alpha1.PodObituary) NodeData {
	d := NodeData{Kind: "Node", NodeObituarySpec: o.Spec, Prose: OfNode(o, pods).String()}
	for n := range pods {
		d.Pods = append(d.Pods, Facts{Pod: &pods[n], Node: o}.data())
	}
	return d
}

// Data returns the owner's story for programs.
func (w Workload) Data() WorkloadData {
	t := w.sortOut()
	d := WorkloadData{APIVersion: w.APIVersion, Kind: w.Kind, Namespace: w.Namespace, Name: w.Name,
		UID: w.which(), Exists: v1alpha1.Yes, Deletion: t.deleted, Ends: t.ends,
		PodFailurePolicy: t.advice, Ended: dataOf(t.ended), Running: dataOf(t.active),
		Verdict: w.verdict(t), Prose: OfWorkload(w).String()}
	switch {
	case w.Gone:
		d.Exists = v1alpha1.No
	case w.UID == "":
		d.Exists = v1alpha1.Unknown
	}
	if j := w.Job; j != nil {
		succeeded, failed := tally(j)
		d.Job = &JobData{Succeeded: succeeded, Failed: failed, Active: int(j.Status.Active),
			BackoffLimit: j.Spec.BackoffLimit, Conditions: j.Status.Conditions}
	}
	return d
}

func dataOf(pods []Facts) []PodData {
	all := make([]PodData, len(pods))
	for n, f := range pods {
		all[n] = f.data()
	}
	return all
}
