package reports

import (
	"context"
	"fmt"

	"github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	epitaph "github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// pageSize bounds the obituaries that a list returns at once.
	pageSize = 500
	// classField is a selectable field of obituaries of pods.
	classField = "spec.class"
)

// findings selects the obituaries of pods that left without a reason.
func findings() client.MatchingFields {
	return client.MatchingFields{classField: reason.NoExplanation.String()}
}

// picture returns what the report of a namespace, or of the cluster, has to say.
func (r *Reports) picture(ctx context.Context, namespace string) (*v1alpha1.Report, error) {
	if namespace == "" {
		return r.ofNodes(ctx)
	}
	return r.ofPods(ctx, namespace)
}

func (r *Reports) ofPods(ctx context.Context, namespace string) (*v1alpha1.Report, error) {
	page := &epitaph.PodObituaryList{}
	var newest []v1alpha1.ReportResult
	for all := 0; ; {
		err := r.API.List(ctx, page, client.InNamespace(namespace), findings(),
			client.Limit(pageSize), client.Continue(page.Continue))
		if err != nil {
			return nil, fmt.Errorf("list the findings of namespace %s: %w", namespace, err)
		}
		for n := range page.Items {
			if page.Items[n].Labels[reason.HandedOverKey] != "" {
				continue // of a namespace that is gone: it waits here for the archive
			}
			newest = append(newest, ofPod(&page.Items[n]))
			all++
		}
		byAge(newest)
		newest = newest[:min(len(newest), r.grading.max)]
		if page.Continue == "" {
			return compose(newest, all, r.grading), nil
		}
	}
}

func (r *Reports) ofNodes(ctx context.Context) (*v1alpha1.Report, error) {
	list := &epitaph.NodeObituaryList{}
	if err := r.Cache.List(ctx, list); err != nil {
		return nil, fmt.Errorf("list the findings of nodes: %w", err)
	}
	var all []v1alpha1.ReportResult
	for n := range list.Items {
		if o := &list.Items[n]; o.Spec.Class == reason.NoExplanation.String() {
			all = append(all, ofNode(o))
		}
	}
	byAge(all)
	return compose(all, len(all), r.grading), nil
}
