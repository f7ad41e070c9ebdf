package retention

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// pageSize bounds the obituaries that a list returns at once.
	pageSize = 500
	// maxHandedOver bounds those that wait for the archive: some 36 MB of etcd.
	maxHandedOver = 20000
)

// prunePods prunes the obituaries of the pods of one namespace or, if none is named, of all. It
// reads their metadata page by page, and holds those of one namespace at a time.
func (r *Retention) prunePods(ctx context.Context, namespace string, now time.Time) error {
	page := &metav1.PartialObjectMetadataList{}
	page.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("PodObituaryList"))
	var failures []error
	var current string
	var held []metav1.ObjectMeta // of the current namespace: a list is in the order of namespaces
	for {
		err := r.API.List(ctx, page, client.InNamespace(namespace), client.Limit(pageSize),
			client.Continue(page.Continue))
		if meta.IsNoMatchError(err) {
			return nil // pods are not recorded, and the kind is not installed
		}
		if err != nil {
			return errors.Join(append(failures,
				fmt.Errorf("list the obituaries of pods: %w", err))...)
		}
		for n := range page.Items {
			o := page.Items[n].ObjectMeta
			if o.Namespace != current {
				failures = append(failures, r.pruneNamespace(ctx, held, now))
				current, held = o.Namespace, held[:0]
			}
			held = append(held, metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name, UID: o.UID,
				ResourceVersion: o.ResourceVersion, CreationTimestamp: o.CreationTimestamp,
				Labels: handedOver(o)})
		}
		if page.Continue == "" {
			return errors.Join(append(failures, r.pruneNamespace(ctx, held, now))...)
		}
	}
}

// handedOver returns the label of a record that waits for the archive, of all labels.
func handedOver(o metav1.ObjectMeta) map[string]string {
	if namespace := o.Labels[reason.HandedOverKey]; namespace != "" {
		return map[string]string{reason.HandedOverKey: namespace}
	}
	return nil
}

// pruneNamespace removes the oldest obituaries of one namespace beyond the limit, and a share of
// those that are too old.
func (r *Retention) pruneNamespace(ctx context.Context, held []metav1.ObjectMeta,
	now time.Time) error {
	var waiting []metav1.ObjectMeta
	held = slices.DeleteFunc(held, func(m metav1.ObjectMeta) bool {
		waits := m.Namespace == r.Namespace && m.Labels != nil
		if waits {
			waiting = append(waiting, m)
		}
		return waits
	})
	maxAge := r.Limits.Pods.MaxAge.Duration
	err := r.pruneRecords(ctx, held, bounds{r.Limits.Pods.MaxPerNamespace, maxAge}, now)
	if r.Archived == nil {
		err = errors.Join(err, r.pruneRecords(ctx, waiting, bounds{maxHandedOver, maxAge}, now))
	}
	return err
}

func (r *Retention) pruneRecords(ctx context.Context, held []metav1.ObjectMeta, b bounds,
	now time.Time) error {
	return r.pruneOldest(ctx, ofPod, held, b, now, func(m metav1.ObjectMeta) client.Object {
		return &v1alpha1.PodObituary{ObjectMeta: m}
	})
}
