package lookup

import (
	"context"
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/story"
)

const (
	// maxLevels bounds how many controllers above a pod are looked at, as in the records.
	maxLevels = obituary.MaxOwners
	// maxKinds bounds the kinds of owners that are listed: pods may name any.
	maxKinds = 32
)

// An Owner names an owner of pods. Resource is its kind, singular or plural, in lower case, so that
// it is found on record even if its definition is gone. Kind is the same as the API has it, if that
// is known beforehand.
type Owner struct {
	Group, Resource, Kind, Namespace, Name string
}

// is reports whether a kind is that of the owner.
func (o Owner) is(apiVersion, kind string) bool {
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return false
	}
	plural, singular := meta.UnsafeGuessKindToResource(gv.WithKind(kind))
	return gv.Group == o.Group && (o.Resource == singular.Resource || o.Resource == plural.Resource)
}

// Workload gathers what is known of an owner and its pods. It reads the records of the whole
// namespace: owners are not selectable fields.
func (f Finder) Workload(ctx context.Context, o Owner, keys reason.Keys) (w story.Workload,
	err error) {
	all, _, err := f.Pods(ctx, Filter{Namespace: o.Namespace})
	if err != nil {
		return w, err
	}
	w, err = f.workload(ctx, o, keys, all)
	if err != nil || f.Past == nil || !w.Gone || w.Deletion != nil ||
		len(w.Pods)+len(w.Here) > 0 {
		return w, err
	}
	all, ends, err := f.Past(ctx, o)
	if err != nil || len(all)+len(ends) == 0 {
		return w, err
	}
	if w, err = f.workload(ctx, o, keys, all); err != nil {
		return w, err
	}
	for n := range ends {
		if s := &ends[n].Spec; s.Namespace == o.Namespace && s.Name == o.Name &&
			o.is(s.APIVersion, s.Kind) && (w.Deletion == nil ||
			!s.Removed.Before(&w.Deletion.Removed)) {
			w.APIVersion, w.Kind, w.Deletion = s.APIVersion, s.Kind, s
		}
	}
	return w, nil
}

// workload gathers what is known besides the records of pods of its namespace.
func (f Finder) workload(ctx context.Context, o Owner, keys reason.Keys,
	all []v1alpha1.PodObituary) (w story.Workload, err error) {
	w = story.Workload{Namespace: o.Namespace, Name: o.Name, Gone: true}
	for n := range all {
		if owner, ok := o.ownerOf(&all[n]); ok && owner.APIVersion != "" {
			w.APIVersion, w.Kind = owner.APIVersion, owner.Kind
		}
	}
	if gvk, ok := o.kind(f.Mapper); ok {
		w.APIVersion, w.Kind = gvk.GroupVersion().String(), gvk.Kind
	}
	if w.Kind == "" {
		return w, nil
	}
	called := reason.KindOf(w.APIVersion, w.Kind) + " " + w.Name
	for n := range all {
		if _, ok := o.ownerOf(&all[n]); ok || wentWith(called, &all[n]) {
			w.Pods = append(w.Pods, all[n])
		}
	}
	if err := f.readOwner(ctx, &w); err != nil {
		return w, err
	}
	if err := f.readDeletion(ctx, &w); err != nil {
		return w, err
	}
	return w, f.readPods(ctx, &w, keys)
}

// kind returns the owner's kind, if the API server has it. A mapper takes a group for the beginning
// of another's as well (K8s v1.37 apimachinery pkg/api/meta/restmapper.go, KindsFor): "batch" also
// finds the Job of batch.volcano.sh.
func (o Owner) kind(mapper meta.RESTMapper) (schema.GroupVersionKind, bool) {
	if o.Kind != "" {
		m, err := mapper.RESTMapping(schema.GroupKind{Group: o.Group, Kind: o.Kind})
		if err != nil {
			return schema.GroupVersionKind{}, false
		}
		return m.GroupVersionKind, true
	}
	all, err := mapper.KindsFor(schema.GroupVersionResource{Group: o.Group, Resource: o.Resource})
	if err != nil {
		return schema.GroupVersionKind{}, false
	}
	for _, gvk := range all {
		if gvk.Group == o.Group {
			return gvk, true
		}
	}
	return schema.GroupVersionKind{}, false
}

// ownerOf returns the owner as a record names it. Old records lack the API group of a Job.
func (o Owner) ownerOf(r *v1alpha1.PodObituary) (v1alpha1.Owner, bool) {
	for _, owner := range r.Spec.Owners {
		if owner.Name == o.Name && (owner.APIVersion != "" && o.is(owner.APIVersion, owner.Kind) ||
			owner.APIVersion == "" && mayBeJob(owner) && o.is(batchv1.SchemeGroupVersion.String(),
				owner.Kind)) {
			return owner, true
		}
	}
	return v1alpha1.Owner{}, false
}

// wentWith reports whether a record says that somebody deleted the owner, and the pod with it: if
// the owners between them were gone before the pod, its record does not name those above.
func wentWith(called string, r *v1alpha1.PodObituary) bool {
	if r.Spec.Code != string(reason.OwnerDeleted) {
		return false
	}
	says := r.Spec.By + " deleted " + called
	_, after, found := strings.Cut(r.Spec.Reason, says)
	return found && (after == "" || strings.HasPrefix(after, ")") ||
		strings.HasPrefix(after, ": ") || strings.HasPrefix(after, " of "))
}

// readOwner reads the owner itself: a Job or a CronJob with what it wants of its Jobs.
func (f Finder) readOwner(ctx context.Context, w *story.Workload) error {
	gv, err := schema.ParseGroupVersion(w.APIVersion)
	if err != nil {
		return nil
	}
	job, cron, other := &batchv1.Job{}, &batchv1.CronJob{}, &metav1.PartialObjectMetadata{}
	other.SetGroupVersionKind(gv.WithKind(w.Kind))
	var o client.Object = other
	switch kind := gv.WithKind(w.Kind).GroupKind(); kind {
	case reason.JobKind:
		o = job
	case reason.CronJobKind:
		o = cron
	}
	found, err := f.get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: w.Name}, o)
	if meta.IsNoMatchError(err) {
		found, err = missing, nil
	}
	if err != nil {
		return fmt.Errorf("read %s %s/%s: %w", w.Kind, w.Namespace, w.Name, err)
	}
	w.Gone = found == missing
	if found != there {
		return nil
	}
	w.UID, w.Created = o.GetUID(), o.GetCreationTimestamp()
	switch o {
	case job:
		w.Job, w.JobSpec = job, &job.Spec
	case cron:
		w.JobSpec = &cron.Spec.JobTemplate.Spec
	}
	return nil
}

// readDeletion reads who deleted the owner. Without the right to read that, the pods' records may
// still say it.
func (f Finder) readDeletion(ctx context.Context, w *story.Workload) error {
	kind := reason.KindIn(w.APIVersion, w.Kind)
	o := &v1alpha1.OwnerObituary{}
	found, err := f.get(ctx, client.ObjectKey{Name: obituary.OwnerName(kind, w.Namespace, w.Name)},
		o)
	if meta.IsNoMatchError(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read who deleted %s %s/%s: %w", w.Kind, w.Namespace, w.Name, err)
	}
	s := &o.Spec
	if found == there && reason.KindIn(s.APIVersion, s.Kind) == kind &&
		s.Namespace == w.Namespace && s.Name == w.Name {
		w.Deletion = s
	}
	return nil
}

// readPods finds the owner's pods that exist.
func (f Finder) readPods(ctx context.Context, w *story.Workload, keys reason.Keys) error {
	var pods []corev1.Pod
	page := &corev1.PodList{}
	for {
		err := f.Reader.List(ctx, page, client.InNamespace(w.Namespace), client.Limit(pageSize),
			client.Continue(page.Continue))
		if apierrors.IsForbidden(err) {
			w.Unread = true
			return nil
		}
		if err != nil {
			return fmt.Errorf("list the pods of namespace %s: %w", w.Namespace, err)
		}
		pods = append(pods, page.Items...)
		if page.Continue == "" {
			break
		}
	}
	c := climber{Finder: f, workload: w, above: map[types.UID]*metav1.OwnerReference{},
		listed: map[schema.GroupKind]bool{}}
	mine, err := c.ofWorkload(ctx, pods)
	if err != nil {
		return err
	}
	for n := range mine {
		w.Here = append(w.Here, *Living(mine[n], keys))
	}
	slices.SortStableFunc(w.Here, func(a, b v1alpha1.PodObituary) int {
		return strings.Compare(a.Spec.PodName, b.Spec.PodName)
	})
	return nil
}

// A climber follows the owner references of pods upwards, level by level. It lists each kind that
// it meets once, its metadata only.
type climber struct {
	Finder
	workload *story.Workload
	above    map[types.UID]*metav1.OwnerReference
	listed   map[schema.GroupKind]bool
}

// ofWorkload returns the pods that belong to the workload.
func (c climber) ofWorkload(ctx context.Context, pods []corev1.Pod) (mine []*corev1.Pod,
	err error) {
	// at is how far the climb from each pod has come.
	at := map[*corev1.Pod]*metav1.OwnerReference{}
	for n := range pods {
		at[&pods[n]] = metav1.GetControllerOfNoCopy(&pods[n])
	}
	for range maxLevels {
		for pod, ref := range at {
			switch {
			case ref == nil:
				delete(at, pod)
			case c.isIt(ref):
				mine = append(mine, pod)
				delete(at, pod)
			}
		}
		for pod, ref := range at {
			if err := c.list(ctx, ref); err != nil {
				return nil, err
			}
			at[pod] = c.above[ref.UID]
		}
	}
	return mine, nil
}

// isIt reports whether a reference is to the workload: by its UID, if that is known.
func (c climber) isIt(ref *metav1.OwnerReference) bool {
	w := c.workload
	return ref.Name == w.Name &&
		reason.KindIn(ref.APIVersion, ref.Kind) == reason.KindIn(w.APIVersion, w.Kind) &&
		(w.UID == "" || ref.UID == w.UID)
}

// list reads what controls the objects of the referenced kind. What may not be read, or is not
// installed, ends the climb.
func (c climber) list(ctx context.Context, ref *metav1.OwnerReference) error {
	kind := reason.KindIn(ref.APIVersion, ref.Kind)
	if c.listed[kind] || len(c.listed) == maxKinds {
		return nil
	}
	c.listed[kind] = true
	mapping, err := c.Mapper.RESTMapping(kind)
	if err != nil || mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return nil // Nodes control their static pods.
	}
	page := &metav1.PartialObjectMetadataList{}
	gvk := mapping.GroupVersionKind
	page.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
	for {
		err := c.Reader.List(ctx, page, client.InNamespace(c.workload.Namespace),
			client.Limit(pageSize), client.Continue(page.Continue))
		switch {
		case apierrors.IsForbidden(err):
			c.workload.Unread = true
			return nil
		case apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err),
			meta.IsNoMatchError(err):
			return nil
		case err != nil:
			return fmt.Errorf("list the owners of pods of kind %s: %w", kind.Kind, err)
		}
		for n := range page.Items {
			if above := metav1.GetControllerOf(&page.Items[n]); above != nil {
				c.above[page.Items[n].UID] = above
			}
		}
		if page.Continue == "" {
			return nil
		}
	}
}
