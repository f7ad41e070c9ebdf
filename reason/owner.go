package reason

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// An Owner is the state of the controller that a pod belongs to, as far as it says why the pod
// goes.
type Owner struct {
	// UID of the controller. An Owner that is not the one in the pod's owner references says
	// nothing; neither does the zero value.
	UID types.UID
	// Deleted is set if the owner has a deletion timestamp or is gone.
	Deleted bool
	// Finished is set if the owner is a Job that is over, or whose outcome is certain.
	Finished bool
	// Suspended is set if the owner is a Job with spec.suspend.
	Suspended bool
	// Surplus is set if the owner is a Job that has more active pods than its spec.parallelism
	// allows.
	Surplus bool
	// Failed is why the owner, a Job, has failed or is certain to; empty if it has not, as far as
	// is known.
	Failed string
	// Revision says whether the owner wants pods like this one.
	Revision Revision
}

// A Revision is how the version of a pod relates to the one that its owner wants now. The zero
// value means that it is not known.
type Revision string

const (
	// Wanted is the version that the owner wants, or that of an owner without versions.
	Wanted Revision = "wanted"
	// Outdated is another one.
	Outdated Revision = "outdated"
)

// owner names the controller of the pod as "Kind name".
func (n inference) owner() string {
	if o := metav1.GetControllerOfNoCopy(n.Pod); o != nil {
		return KindOf(o.APIVersion, o.Kind) + " " + o.Name
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

// byReplicaSet: the controller deletes surplus pods. If this one has the wanted version, its owner
// needs fewer; if it has another, others replace it. If that is not known, neither is claimed.
func (n inference) byReplicaSet() (Reason, bool) {
	switch o, _ := n.knownOwner(); o.Revision {
	case Outdated:
		return n.of(RolloutReplaced)
	case Wanted:
		return n.told(Scales, ScaledDown)
	default:
		return n.of(RemovedByOwner)
	}
}

// byStatefulSet takes into account that the controller also deletes pods that ended, to replace
// them (K8s v1.37 pkg/controller/statefulset/stateful_set_control.go).
func (n inference) byStatefulSet() (Reason, bool) {
	if Finished(n.Pod) {
		return n.alreadyEnded("to be replaced by " + n.owner())
	}
	return n.byReplicaSet()
}

// byDaemonSet: one pod a node is never too many, so a pod goes for a newer one, or because it is no
// longer wanted there. On a node with a NoExecute taint that the pod does not tolerate, both this
// controller and the taint manager delete it, and either may be first (K8s v1.37
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

// byJob: the controller deletes a Job's surplus pods, and all that run when it is suspended or
// over. The Job's status says which only after the deletion (K8s v1.37
// pkg/controller/job/job_controller.go, syncJob): see [Settle].
func (n inference) byJob() (Reason, bool) {
	o, _ := n.knownOwner()
	switch {
	case o.Failed != "":
		return always(New(Pod, JobFailed, n.owner()+", "+o.Failed, n.Remover.User))
	case o.Finished:
		return n.of(JobFinished)
	case o.Suspended && n.OwnerEnd.Did != Suspends:
		if r, ok := n.decided(); ok {
			return r, true
		}
		return n.of(Suspended)
	case o.Suspended:
		return n.told(Suspends, Suspended)
	case o.Surplus:
		return n.told(Scales, ScaledDown)
	default:
		return n.of(RemovedByOwner)
	}
}

// cascaded explains what the garbage collector deletes: its owner went first. The mirror of a
// static pod belongs to its Node, a Job may have been removed because it was over, and everything
// goes with its namespace.
func (n inference) cascaded() (Reason, bool) {
	if o := metav1.GetControllerOfNoCopy(n.Pod); o != nil &&
		KindIn(o.APIVersion, o.Kind) == NodeKind {
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
	return n.told(Deletes, OwnerDeleted)
}

// told names who did that to the owner, if it is known.
func (n inference) told(did OwnerDeed, code Code) (Reason, bool) {
	if e := n.OwnerEnd; e.By != "" && e.Did == did {
		return always(New(Pod, code, e.String(), e.By))
	}
	return n.of(code)
}

func (n inference) namespaceDeleted() (Reason, bool) {
	if n.OwnerEnd.By != "" && n.OwnerEnd.Did == Deletes {
		return always(New(Pod, NamespaceDeleted, n.OwnerEnd.String(), n.OwnerEnd.By))
	}
	return always(New(Pod, NamespaceDeleted, n.Pod.Namespace, n.Remover.User))
}

// ownerWent explains a pod whose deletion nobody saw, and whose namespace or owner somebody had
// deleted before: their controllers delete the pods then.
func (n inference) ownerWent() (Reason, bool) {
	if n.Remover.Actor != 0 || n.OwnerEnd.By == "" || n.OwnerEnd.Did != Deletes {
		return Reason{}, false
	}
	if n.NamespaceTerminating {
		return n.namespaceDeleted()
	}
	if o, ok := n.knownOwner(); ok && o.Deleted {
		return n.told(Deletes, OwnerDeleted)
	}
	return Reason{}, false
}

// byOwnersController maps the kind of a pod's owner to the rule for its controller.
var byOwnersController = map[Kind]rule{
	ReplicaSetKind:            inference.byReplicaSet,
	ReplicationControllerKind: inference.byReplicaSet,
	StatefulSetKind:           inference.byStatefulSet,
	DaemonSetKind:             inference.byDaemonSet,
	JobKind:                   inference.byJob,
}

// byControllerManager distinguishes the controllers of kube-controller-manager if they all run
// under one name, without --use-service-account-credentials, by the state of the namespace, the
// node and the owner. What remains ambiguous is not inferred.
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
		o := metav1.GetControllerOfNoCopy(n.Pod)
		if why, ok := byOwnersController[KindIn(o.APIVersion, o.Kind)]; ok {
			return why(n)
		}
	}
	return Reason{}, false
}
