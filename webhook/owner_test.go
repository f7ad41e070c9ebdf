package webhook

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
)

// ownersByName are read by their kind and name; an error stands for one that cannot be read.
type ownersByName map[string]any

func (o ownersByName) Get(_ context.Context, key client.ObjectKey, object client.Object,
	_ ...client.GetOption) error {
	var kind string
	switch object.(type) {
	case *appsv1.ReplicaSet:
		kind = "ReplicaSet"
	case *appsv1.Deployment:
		kind = "Deployment"
	case *appsv1.StatefulSet:
		kind = "StatefulSet"
	case *appsv1.DaemonSet:
		kind = "DaemonSet"
	}
	switch found := o[kind+" "+key.Name].(type) {
	case error:
		return found
	case *appsv1.ReplicaSet:
		found.DeepCopyInto(object.(*appsv1.ReplicaSet))
	case *appsv1.Deployment:
		found.DeepCopyInto(object.(*appsv1.Deployment))
	case *appsv1.StatefulSet:
		found.DeepCopyInto(object.(*appsv1.StatefulSet))
	case *appsv1.DaemonSet:
		found.DeepCopyInto(object.(*appsv1.DaemonSet))
	default:
		return apierrors.NewNotFound(corev1.Resource(kind), key.Name)
	}
	return nil
}

func (ownersByName) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return errors.New("owners are not listed")
}

// What is not known of an owner is not told: a look-up that fails says neither that the pod is
// wanted nor that it is not.
func TestOwnerOf(t *testing.T) {
	t.Parallel()
	const group, hash = "apps/v1", appsv1.DefaultDeploymentUniqueLabelKey
	named := func(name string, uid types.UID,
		controller ...metav1.OwnerReference) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: name, UID: uid, OwnerReferences: controller}
	}
	by := func(api, kind, name string, uid types.UID) metav1.OwnerReference {
		return metav1.OwnerReference{APIVersion: api, Kind: kind, Name: name, UID: uid,
			Controller: ptr.To(true)}
	}
	template := func(image string, labels map[string]string) corev1.PodTemplateSpec {
		return corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Image: image}}},
		}
	}
	set := func(labels map[string]string, controller ...metav1.OwnerReference) *appsv1.ReplicaSet {
		return &appsv1.ReplicaSet{ObjectMeta: named("o", "o1", controller...),
			Spec: appsv1.ReplicaSetSpec{Template: template("a", labels)}}
	}
	deployment := func(image string, uid types.UID) *appsv1.Deployment {
		return &appsv1.Deployment{ObjectMeta: named("web", uid),
			Spec: appsv1.DeploymentSpec{Template: template(image, nil)}}
	}
	ofWeb := by(group, "Deployment", "web", "d1")
	stateful := func(start, replicas int32) *appsv1.StatefulSet {
		return &appsv1.StatefulSet{ObjectMeta: named("o", "o1"), Spec: appsv1.StatefulSetSpec{
			Replicas: &replicas, Ordinals: &appsv1.StatefulSetOrdinals{Start: start},
		}}
	}
	daemons := func(generation string) *appsv1.DaemonSet {
		d := &appsv1.DaemonSet{ObjectMeta: named("o", "o1")}
		d.Annotations = map[string]string{appsv1.DeprecatedTemplateGeneration: generation}
		return d
	}
	late := context.DeadlineExceeded
	wanted, outdated := reason.Owner{UID: "o1", Revision: reason.Wanted},
		reason.Owner{UID: "o1", Revision: reason.Outdated}
	tests := map[string]struct {
		kind   string
		pod    metav1.ObjectMeta
		owners ownersByName
		want   reason.Owner
	}{
		"a ReplicaSet that is not read in time": {kind: "ReplicaSet",
			owners: ownersByName{"ReplicaSet o": late}},
		"a StatefulSet that is not read in time": {kind: "StatefulSet",
			owners: ownersByName{"StatefulSet o": late}},
		"a DaemonSet that is not read in time": {kind: "DaemonSet",
			owners: ownersByName{"DaemonSet o": late}},
		"a kind that is not looked at": {kind: "Rollout"},
		"an owner that is gone": {kind: "ReplicaSet",
			want: reason.Owner{UID: "o1", Deleted: true}},
		"a ReplicaSet of nobody": {kind: "ReplicaSet",
			owners: ownersByName{"ReplicaSet o": set(nil)}, want: wanted},
		"a Deployment that is not read in time": {kind: "ReplicaSet",
			owners: ownersByName{"ReplicaSet o": set(nil, ofWeb), "Deployment web": late},
			want:   reason.Owner{UID: "o1"}},
		"a ReplicaSet of another kind of controller": {kind: "ReplicaSet",
			owners: ownersByName{"ReplicaSet o": set(nil,
				by("argoproj.io/v1alpha1", "Rollout", "web",
					"d1"))}, want: reason.Owner{UID: "o1"}},
		"a Deployment that is gone": {kind: "ReplicaSet",
			owners: ownersByName{"ReplicaSet o": set(nil, ofWeb)}, want: wanted},
		"a namesake of the Deployment": {kind: "ReplicaSet",
			owners: ownersByName{"ReplicaSet o": set(nil, ofWeb),
				"Deployment web": deployment("b", "d2")}, want: wanted},
		"the template of the Deployment": {kind: "ReplicaSet",
			owners: ownersByName{"ReplicaSet o": set(map[string]string{hash: "1"}, ofWeb),
				"Deployment web": deployment("a", "d1")}, want: wanted},
		"another template": {kind: "ReplicaSet",
			pod: metav1.ObjectMeta{Labels: map[string]string{hash: "1"}},
			owners: ownersByName{"ReplicaSet o": set(map[string]string{hash: "1"}, ofWeb),
				"Deployment web": deployment("b", "d1")}, want: outdated},
		"adopted, with another template": {kind: "ReplicaSet",
			owners: ownersByName{"ReplicaSet o": set(nil, ofWeb),
				"Deployment web": deployment("b", "d1")}, want: outdated},
		"an ordinal that is wanted": {kind: "StatefulSet",
			pod: metav1.ObjectMeta{Name: "o-3"}, owners: ownersByName{"StatefulSet o": stateful(2, 2)},
			want: outdated},
		"an ordinal that is too high": {kind: "StatefulSet",
			pod: metav1.ObjectMeta{Name: "o-4"}, owners: ownersByName{"StatefulSet o": stateful(2, 2)},
			want: wanted},
		"an ordinal that is too low": {kind: "StatefulSet",
			pod: metav1.ObjectMeta{Name: "o-1"}, owners: ownersByName{"StatefulSet o": stateful(2, 2)},
			want: wanted},
		"no ordinal": {kind: "StatefulSet",
			pod: metav1.ObjectMeta{Name: "o-x"}, owners: ownersByName{"StatefulSet o": stateful(2, 2)},
			want: reason.Owner{UID: "o1"}},
		"the generation of the template": {kind: "DaemonSet",
			pod:    metav1.ObjectMeta{Labels: map[string]string{"pod-template-generation": "1"}},
			owners: ownersByName{"DaemonSet o": daemons("1")}, want: wanted},
		"an earlier generation": {kind: "DaemonSet",
			pod:    metav1.ObjectMeta{Labels: map[string]string{"pod-template-generation": "1"}},
			owners: ownersByName{"DaemonSet o": daemons("2")}, want: outdated},
		"adopted by a DaemonSet": {kind: "DaemonSet",
			owners: ownersByName{"DaemonSet o": daemons("2")}, want: reason.Owner{UID: "o1"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.pod.OwnerReferences = []metav1.OwnerReference{by(group, tt.kind, "o", "o1")}
			f := reason.Facts{
				Pod:     &corev1.Pod{ObjectMeta: tt.pod},
				Remover: reason.Remover{Actor: reason.ReplicaSetController},
			}
			(&Handler{live: tt.owners}).ownerFacts(t.Context(), &f)
			if diff := cmp.Diff(tt.want, f.Owner, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("the owner tells (-want +got):\n%s", diff)
			}
		})
	}
}
