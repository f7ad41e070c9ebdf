package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cert-manager/cert-manager/pkg/controller"
	"github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	requestsca "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	requestsselfsigned "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	"github.com/cert-manager/cert-manager/pkg/controller/clusterissuers"
	"github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"         // registers itself
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned" // registers itself
)

const (
	// workers of each controller.
	workers = 5
	// retry is how soon a failed request is made again; an hour upstream, which no test waits for.
	retry = time.Second
	// clusterIssuerNamespace is where ClusterIssuers keep their Secrets, as in cert-manager's own
	// installation.
	clusterIssuerNamespace = "cert-manager"
)

// names are the controllers that run.
var names = []string{
	trigger.ControllerName, issuing.ControllerName, keymanager.ControllerName,
	requestmanager.ControllerName,
	readiness.ControllerName, revisionmanager.ControllerName, issuers.ControllerName,
	clusterissuers.ControllerName,
	approver.ControllerName, requestsca.CRControllerName, requestsselfsigned.CRControllerName,
}

// runControllers returns when ctx has ended, or when one of them has.
func runControllers(ctx context.Context, kubeconfig string) error {
	options := controller.ContextOptions{
		Kubeconfig:    kubeconfig,
		IssuerOptions: controller.IssuerOptions{ClusterResourceNamespace: clusterIssuerNamespace},
		CertificateOptions: controller.CertificateOptions{
			CertificateRequestMinimumBackoffDuration: retry,
			CertificateRequestMaximumBackoffDuration: retry,
		},
	}
	factory, err := controller.NewContextFactory(ctx, options)
	if err != nil {
		return fmt.Errorf("connect the controllers: %w", err)
	}
	built, err := construct(factory)
	if err != nil {
		return err
	}
	shared, err := factory.Build()
	if err != nil {
		return fmt.Errorf("build the controllers' context: %w", err)
	}
	shared.KubeSharedInformerFactory.Start(ctx.Done())
	shared.SharedInformerFactory.Start(ctx.Done())
	shared.HTTP01ResourceMetadataInformersFactory.Start(ctx.Done())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, len(built))
	var running sync.WaitGroup
	for name, c := range built {
		running.Go(func() {
			defer cancel()
			if err := c.Run(workers, ctx); err != nil {
				ended <- fmt.Errorf("run %s: %w", name, err)
			}
		})
	}
	running.Wait()
	close(ended)
	var all error
	for err := range ended {
		all = errors.Join(all, err)
	}
	return all
}

func construct(factory *controller.ContextFactory) (map[string]controller.Interface, error) {
	built := make(map[string]controller.Interface, len(names))
	for _, name := range names {
		constructor, ok := controller.Known()[name]
		if !ok {
			return nil, fmt.Errorf("cert-manager has no controller %q", name)
		}
		c, err := constructor(factory)
		if err != nil {
			return nil, fmt.Errorf("construct %s: %w", name, err)
		}
		built[name] = c
	}
	return built, nil
}
