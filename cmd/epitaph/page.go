package main

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/epitaph-k8s/epitaph/page"
)

func (p parts) addPage(context.Context) error {
	if !p.config.Page.Enabled {
		return nil
	}
	clients, err := kubernetes.NewForConfigAndClient(p.mgr.GetConfig(), p.mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("make the client of the page: %w", err)
	}
	pages, err := page.New(page.Options{
		Reader:     p.mgr.GetAPIReader(),
		Namespaces: namesOfNamespaces(p.mgr.GetCache()),
		Reviewer:   clients.AuthenticationV1().TokenReviews(),
		Authorizer: clients.AuthorizationV1().SubjectAccessReviews(),
		Clock:      clock.RealClock{},
		Registerer: metrics.Registry,
		Log:        p.mgr.GetLogger().WithName("page"),
	})
	if err != nil {
		return fmt.Errorf("prepare the page: %w", err)
	}
	return p.mgr.Add(&page.Server{Page: pages, Config: p.config.Page,
		Log: p.mgr.GetLogger().WithName("page")})
}

// namesOfNamespaces lists them from the cache, which keeps their metadata.
func namesOfNamespaces(r client.Reader) func(context.Context) ([]string, error) {
	return func(ctx context.Context) ([]string, error) {
		all := &metav1.PartialObjectMetadataList{}
		all.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
		if err := r.List(ctx, all); err != nil {
			return nil, fmt.Errorf("list the namespaces: %w", err)
		}
		names := make([]string, len(all.Items))
		for n, o := range all.Items {
			names[n] = o.Name
		}
		return names, nil
	}
}
