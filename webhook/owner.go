package webhook

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
)

// ownerTimeout bounds the look-up of a pod's owner: one GET, two for a ReplicaSet. Admission runs
// inside the storage's retry loop, so it must end soon; what is not known in time is not inferred.
const ownerTimeout = time.Second

// asksForOwner are the removers whose deletes follow from the state of the pod's owner.
var asksForOwner = map[reason.Actor]bool{
	reason.ReplicaSetController: true, reason.StatefulSetController: true,
	reason.DaemonSetController: true, reason.JobController: true,
	reason.TTLController: true, reason.OwnerGC: true, reason.ControllerManager: true,
}

// ownerFacts adds the state of the pod's owner, if a controller deletes the pod, and returns what
// wants fewer pods, if that may be why. If the look-up fails, it stays unknown: the sentence then
// says less, but nothing false. It reports whether there was time for it.
func (h *Handler) ownerFacts(ctx context.Context, f *reason.Facts) (s *scaled, known bool) {
	if !asksForOwner[f.Remover.Actor] {
		return nil, true
	}
	ref := metav1.GetControllerOf(f.Pod)
	if ref == nil {
		return nil, true
	}
	ctx, cancel := context.WithTimeout(ctx, ownerTimeout)
	defer cancel()
	// What was read before the failure is known all the same.
	f.Owner, s, _ = h.ownerOf(ctx, f.Pod, ref)
	return s, ctx.Err() == nil
}

// errUnread says that owners of that kind are not read.
var errUnread = errors.New("owners of this kind are not looked at")

// ownerOf reads the owner. One that is gone, or has a namesake, is deleted.
func (h *Handler) ownerOf(ctx context.Context, pod *corev1.Pod,
	ref *metav1.OwnerReference) (reason.Owner, *scaled, error) {
	var object client.Object
	var read func() (reason.Owner, *scaled, error)
	switch ref.APIVersion + "/" + ref.Kind {
	case "apps/v1/ReplicaSet":
		set := &appsv1.ReplicaSet{}
		object, read = set, func() (reason.Owner, *scaled, error) {
			return h.replicaSet(ctx, set)
		}
	case "apps/v1/StatefulSet":
		set := &appsv1.StatefulSet{}
		object, read = set, func() (reason.Owner, *scaled, error) {
			return statefulSet(pod, set), scaledTo(reason.StatefulSetKind, set,
				set.Spec.Replicas), nil
		}
	case "apps/v1/DaemonSet":
		set := &appsv1.DaemonSet{}
		object, read = set, func() (reason.Owner, *scaled, error) {
			return daemonSet(pod, set), nil, nil
		}
	case "v1/ReplicationController":
		controller := &corev1.ReplicationController{}
		object, read = controller, func() (reason.Owner, *scaled, error) {
			return replicationController(controller), scaledTo(reason.ReplicationControllerKind,
				controller, controller.Spec.Replicas), nil
		}
	case "batch/v1/Job":
		job := &batchv1.Job{}
		object, read = job, func() (reason.Owner, *scaled, error) {
			return reason.OwnerJob(job, h.clock.Now()), scaledJob(job), nil
		}
	default:
		return reason.Owner{}, nil, errUnread
	}
	err := h.live.Get(ctx, types.NamespacedName{Namespace: pod.Namespace, Name: ref.Name}, object)
	if apierrors.IsNotFound(err) || err == nil && object.GetUID() != ref.UID {
		return reason.Owner{UID: ref.UID, Deleted: true}, nil, nil
	}
	if err != nil {
		return reason.Owner{}, nil, err
	}
	owner, s, err := read()
	owner.UID, owner.Deleted = ref.UID, object.GetDeletionTimestamp() != nil
	if owner.Deleted || owner.Revision != reason.Wanted && !owner.Suspended && !owner.Surplus {
		s = nil
	}
	return owner, s, err
}

// replicationController: its controller removes surplus pods and no others. Why there is a surplus
// is known to what controls it, for example a DeploymentConfig of OpenShift, which is not read.
func replicationController(c *corev1.ReplicationController) reason.Owner {
	if metav1.GetControllerOf(c) != nil {
		return reason.Owner{}
	}
	return reason.Owner{Revision: reason.Wanted}
}

// replicaSet compares the template of the ReplicaSet with that of its Deployment: where they
// differ, another ReplicaSet takes its place. The revision annotations are of no use: with strategy
// Recreate they are written after the last pod was deleted (K8s v1.37
// pkg/controller/deployment/recreate.go). Nor are the labels of the pods: those of an adopted
// ReplicaSet have no hash. What another controller wants of its ReplicaSets is not known.
func (h *Handler) replicaSet(ctx context.Context,
	set *appsv1.ReplicaSet) (reason.Owner, *scaled, error) {
	wanted := reason.Owner{Revision: reason.Wanted}
	ref := metav1.GetControllerOf(set)
	switch {
	case ref == nil:
		return wanted, scaledTo(reason.ReplicaSetKind, set, set.Spec.Replicas), nil
	case ref.Kind != "Deployment" || ref.APIVersion != "apps/v1":
		return reason.Owner{}, nil, nil
	}
	deployment := &appsv1.Deployment{}
	err := h.live.Get(ctx, types.NamespacedName{Namespace: set.Namespace, Name: ref.Name},
		deployment)
	switch {
	case apierrors.IsNotFound(err) || err == nil && deployment.UID != ref.UID:
		return wanted, nil, nil // nobody is left who wants another
	case err != nil:
		return reason.Owner{}, nil, err
	case sameTemplate(set.Spec.Template, deployment.Spec.Template):
		return wanted, scaledTo(reason.DeploymentKind, deployment, deployment.Spec.Replicas), nil
	default:
		return reason.Owner{Revision: reason.Outdated}, nil, nil
	}
}

// sameTemplate is how the Deployment's controller finds the ReplicaSet of its template: all but the
// hash label is alike (K8s v1.37 pkg/controller/deployment/util, EqualIgnoreHash).
func sameTemplate(ofSet, ofDeployment corev1.PodTemplateSpec) bool {
	ofSet.Labels, ofDeployment.Labels = withoutHash(ofSet.Labels), withoutHash(ofDeployment.Labels)
	return equality.Semantic.DeepEqual(ofSet, ofDeployment)
}

func withoutHash(labels map[string]string) map[string]string {
	labels = maps.Clone(labels)
	delete(labels, appsv1.DefaultDeploymentUniqueLabelKey)
	return labels
}

// statefulSet tells whether the pod's ordinal is still wanted: then the pod gives way to a newer
// one. The revision in the status is of no use here: it is written after the first pod was deleted.
// The ordinal is the end of the pod's name (K8s v1.37
// pkg/controller/statefulset/stateful_set_utils.go, getParentNameAndOrdinal): not every pod has the
// label.
func statefulSet(pod *corev1.Pod, set *appsv1.StatefulSet) reason.Owner {
	index, err := strconv.Atoi(pod.Name[strings.LastIndex(pod.Name, "-")+1:])
	if err != nil || set.Spec.Replicas == nil {
		return reason.Owner{}
	}
	if set.Spec.Ordinals != nil {
		index -= int(set.Spec.Ordinals.Start)
	}
	if index >= 0 && index < int(*set.Spec.Replicas) {
		return reason.Owner{Revision: reason.Outdated}
	}
	return reason.Owner{Revision: reason.Wanted}
}

// daemonSet compares the generation of the template that the pod was made from with the
// DaemonSet's. A pod that it adopted has none.
func daemonSet(pod *corev1.Pod, set *appsv1.DaemonSet) reason.Owner {
	const label = "pod-template-generation"
	wanted, known := set.Annotations[appsv1.DeprecatedTemplateGeneration]
	switch {
	case !known || pod.Labels[label] == "":
		return reason.Owner{}
	case pod.Labels[label] == wanted:
		return reason.Owner{Revision: reason.Wanted}
	default:
		return reason.Owner{Revision: reason.Outdated}
	}
}
