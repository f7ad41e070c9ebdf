package reason

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// An Owner is the state of the controller that a pod belongs to, as far as it tells why the pod
// goes.
type Owner struct {
	// UID of the controller. An Owner that is not the one in the pod's owner references tells
	// nothing; neither does the zero value.
	UID types.UID
	// Deleted is set where the owner has a deletion timestamp or is gone.
	Deleted bool
	// Finished is set where the owner is a Job that is over, or of which it is certain how it ends.
	Finished bool
	// Suspended is set where the owner is a Job with spec.suspend.
	Suspended bool
	// Surplus is set where the owner is a Job that has more active pods than its spec.parallelism
	// allows.
	Surplus bool
	// Failed is why the owner, a Job, has failed or is certain to; empty where it has not, as far
	// as is known.
	Failed string
	// Revision tells whether the owner wants pods as this one is.
	Revision Revision
}

// A Revision is how the version of a pod stands to the one that its owner wants now. The zero value
// is not known.
type Revision string

const (
	// Wanted is the version that the owner wants; so it is where its owner has no versions.
	Wanted Revision = "wanted"
	// Outdated is another one.
	Outdated Revision = "outdated"
)

// owner names the controller of the pod as "Kind name".
func (n inference) owner() string {
	if o := metav1.GetControllerOfNoCopy(n.Pod); o != nil {
		return o.Kind + " " + o.Name
	}
	return "no controller"
}

// knownOwner returns what is known of the pod's owner.
func (n inference) knownOwner() (Owner, bool) {
	o := metav1.GetControllerOfNoCopy(n.Pod)
	if o == nil || o.UID == "" || o.UID != n.Owner.UID {
		return Owner{}, false
	}
	return n.Owner, true
}

func (n inference) of(
	c Code) (Reason, bool) {
	return always(New(Pod, c, n.owner(), n.Remover.User))
}

// byReplicaSet: its controller deletes pods that are too many. With the version that is wanted, its
// owner needs fewer; with another one, others take their place. Where that is not known, neither is
// said.
func (n inference) byReplicaSet() (Reason, bool) {
	switch o, _ := n.knownOwner(); o.Revision {
	case Outdated:
		return n.of(RolloutReplaced)
	case Wanted:
		return n.of(ScaledDown)
	default:
		return n.of(RemovedByOwner)
	}
}

// byStatefulSet knows that the controller also deletes pods that ended, to put another in their
// place (K8s v1.37 pkg/controller/statefulset/stateful_set_control.go).
func (n inference) byStatefulSet() (Reason, bool) {
	if Finished(n.Pod) {
		return n.alreadyEnded("to be replaced by " + n.owner())
	}
	return n.byReplicaSet()
}

// byDaemonSet: one pod a node is never too many, so a pod goes for a newer one, or because it is
// not wanted there any more. From a node with a NoExecute taint that the pod does not tolerate both
// this controller and the taint manager delete it, and either may be first (K8s v1.37
// pkg/controller/daemon, NodeShouldRunDaemonPod).
func (n inference) byDaemonSet() (Reason, bool) {
	if Finished(n.Pod) {
		return n.alreadyEnded("to be replaced by " + n.owner())
	}
	if taints := n.drivenOff(); len(taints) > 0 {
		return n.because(n.evictedByTaint(n.Remover.User))
	}
	return n.byReplicaSet()
}

// byJob: a Job deletes the pods that it has too many of, and all that run when it is suspended or
// over. Which of that it is, its status says only after the deletion (K8s v1.37
// pkg/controller/job/job_controller.go, syncJob): see [Settle].
func (n inference) byJob() (Reason, bool) {
	o, _ := n.knownOwner()
	switch {
	case o.Failed != "":
		return always(New(Pod, JobFailed, n.owner()+", "+o.Failed, n.Remover.User))
	case o.Finished:
		return n.of(JobFinished)
	case o.Suspended:
		return always(New(Pod, ScaledDown, n.owner()+" is suspended", n.Remover.User))
	case o.Surplus:
		return n.of(ScaledDown)
	default:
		return n.of(RemovedByOwner)
	}
}

// cascaded explains what the garbage collector deletes: its owner went first. The mirror of a
// static pod belongs to its Node, a Job may have been removed because it was over, and everything
// goes with its namespace.
func (n inference) cascaded() (Reason, bool) {
	if o := metav1.GetControllerOfNoCopy(n.Pod); o != nil && o.Kind == "Node" {
		return n.because(New(Pod, NodeDeleted, o.Name, n.Remover.User))
	}
	if n.NamespaceTerminating {
		return n.namespaceDeleted()
	}
	if o, ok := n.knownOwner(); ok && o.Finished {
		return n.of(JobFinished)
	}
	if Finished(n.Pod) {
		return n.alreadyEnded("its owner " + n.owner() + " was deleted")
	}
	return n.of(OwnerDeleted)
}

func (n inference) namespaceDeleted() (Reason, bool) {
	return always(New(Pod, NamespaceDeleted, n.Pod.Namespace, n.Remover.User))
}

// byOwnersController maps the kind of a pod's owner to what its controller deletes pods for.
var byOwnersController = map[string]rule{
	"ReplicaSet":            inference.byReplicaSet,
	"ReplicationController": inference.byReplicaSet,
	"StatefulSet":           inference.byStatefulSet,
	"DaemonSet":             inference.byDaemonSet,
	"Job":                   inference.byJob,
}

// byControllerManager tells the controllers of kube-controller-manager apart where they all run
// under one name, without --use-service-account-credentials: the state of the namespace, the node
// and the owner must do. What remains ambiguous is not inferred.
func (n inference) byControllerManager() (Reason, bool) {
	owner, known := n.knownOwner()
	switch {
	case n.NamespaceTerminating:
		return n.namespaceDeleted()
	case known && owner.Deleted:
		return n.cascaded()
	case n.NodeGone, n.Pod.Spec.NodeName == "" && n.Pod.DeletionTimestamp != nil:
		return n.collected()
	case known:
		if why, ok := byOwnersController[metav1.GetControllerOfNoCopy(n.Pod).Kind]; ok {
			return why(n)
		}
	}
	return Reason{}, false
}
