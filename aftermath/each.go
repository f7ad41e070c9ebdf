package aftermath

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// pageSize is the most objects that one request reads.
const pageSize = 500

// eachRecord does something with every record of a pod of the node, and returns what failed.
func (a *Aftermath) eachRecord(ctx context.Context, node string,
	do func(*v1alpha1.PodObituary) error) error {
	var failed []error
	page := &v1alpha1.PodObituaryList{}
	for {
		err := a.Live.List(ctx, page, client.MatchingFields{reason.NodeNameField: node},
			client.Limit(pageSize), client.Continue(page.Continue))
		if err != nil {
			return fmt.Errorf("list the obituaries of pods: %w", err)
		}
		for n := range page.Items {
			failed = append(failed, do(&page.Items[n]))
		}
		if page.Continue == "" {
			return errors.Join(failed...)
		}
	}
}

// eachPod does the same with every pod that is bound to the node.
func (a *Aftermath) eachPod(ctx context.Context, node string, do func(*corev1.Pod) error) error {
	var failed []error
	page := &corev1.PodList{}
	for {
		err := a.Live.List(ctx, page, client.MatchingFields{reason.NodeNameField: node},
			client.Limit(pageSize), client.Continue(page.Continue))
		if err != nil {
			return fmt.Errorf("list the pods of node %s: %w", node, err)
		}
		for n := range page.Items {
			failed = append(failed, do(&page.Items[n]))
		}
		if page.Continue == "" {
			return errors.Join(failed...)
		}
	}
}
