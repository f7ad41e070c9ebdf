package story

import (
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// Facts are what is known about a pod's end.
type Facts struct {
	// Pod is the record of the pod.
	Pod *v1alpha1.PodObituary
	// Here is set if the pod still exists: the record then describes its present state, and Removed
	// means nothing yet.
	Here bool
	// Untracked is set if the pod still exists without the finalizer by which a Job keeps it until
	// it is counted (batch.kubernetes.io/job-tracking).
	Untracked bool
	// Node is the record of the pod's node; nil if the node did not die, or its record could not be
	// read.
	Node *v1alpha1.NodeObituary
	// Job is the Job with the name of the pod's nearest controller; nil if it is gone or could not
	// be read.
	Job *batchv1.Job
	// JobGone is set if there is no Job of that name.
	JobGone bool
}

func (f Facts) spec() *v1alpha1.PodObituarySpec { return &f.Pod.Spec }

func (f Facts) code() reason.Code { return reason.Code(f.Pod.Spec.Code) }

// disrupted reports whether the platform ended the pod.
func (f Facts) disrupted() bool { return f.Pod.Spec.Class == reason.Disruption.String() }

// unheard reports whether the node had fallen silent or left the cluster without proof that the
// machine was off: what ran there may have gone on, or have started, unseen.
func (f Facts) unheard() bool {
	return f.spec().NodeName != "" &&
		slices.Contains([]reason.Code{reason.NodeUnreachable, reason.NodeDeleted}, f.code())
}

// silentBefore reports whether the node may have been silent for long before it was given up, even
// though it was off in the end: nobody saw what it did in that time. Kubernetes asks a cloud only
// about nodes that are not Ready, and removes pods of a node that is declared out of service by
// force only then (K8s v1.37 k8s.io/cloud-provider controllers/nodelifecycle,
// pkg/controller/podgc).
func (f Facts) silentBefore() bool {
	return f.spec().NodeName != "" &&
		slices.Contains([]reason.Code{reason.CloudInstanceGone, reason.OutOfService}, f.code())
}

// ownJob returns the name of the Job that controls the pod.
func (f Facts) ownJob() (string, bool) {
	owners := f.spec().Owners
	if len(owners) == 0 || !OfJobKind(owners[0], f.Job) {
		return "", false
	}
	return clean(owners[0].Name), true
}

// OfJobKind reports whether an owner is a Job of Kubernetes. If the record lacks the owner's API
// group, the UID of the Job with that name decides.
func OfJobKind(o v1alpha1.Owner, job *batchv1.Job) bool {
	return IsKind(o, reason.JobKind) || o.APIVersion == "" && o.Kind == reason.JobKind.Kind &&
		job != nil && o.UID != "" && o.UID == job.UID
}

// job returns the Job that the pod belonged to, or nil. Another Job may have its name by now.
func (f Facts) job() *batchv1.Job {
	if _, ok := f.ownJob(); !ok || f.Job == nil {
		return nil
	}
	if uid := f.spec().Owners[0].UID; uid != "" && uid != f.Job.UID {
		return nil
	}
	return f.Job
}

// clean makes text from outside fit to be shown.
func clean(s string) string { return string(reason.Clean(s)) }

// clockSkew is by how much the clocks of a node and of the API server may differ.
const clockSkew = time.Minute

// LastOwner returns the controller that a person knows: the last of the chain, as kind/name.
func LastOwner(chain []v1alpha1.Owner) string {
	if len(chain) == 0 {
		return ""
	}
	last := chain[len(chain)-1]
	return reason.KindOf(last.APIVersion, last.Kind) + "/" + last.Name
}
