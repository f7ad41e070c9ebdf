package main

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit/lookup"
)

// A cluster is the API server that the flags and the kubeconfig name.
type cluster struct {
	client.WithWatch
	lookup.Finder
	config *rest.Config
	// namespace is that of -n, else that of the context.
	namespace string
}

// unconfigured says why there is no API server to ask, and what helps.
func (p *plugin) unconfigured(err error) error {
	switch {
	case p.overrides.CurrentContext != "":
		return fmt.Errorf("find the API server: %w: \"kubectl config get-contexts\" lists those there are", err)
	case clientcmd.IsEmptyConfig(err):
		return fmt.Errorf("find the API server: there is no kubeconfig (%s): name a file with --kubeconfig, or set KUBECONFIG", strings.Join(p.kubeconfig.GetLoadingPrecedence(), ", "))
	default:
		return fmt.Errorf("find the API server: %w", err)
	}
}

func (p *plugin) connect() (*cluster, error) {
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(&p.kubeconfig, &p.overrides)
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, p.unconfigured(err)
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, fmt.Errorf("find the namespace: %w", err)
	}
	config.UserAgent = "kubectl-epitaph/" + version
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("register the API types: %w", err)
		}
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("make a client of %s: %w", config.Host, err)
	}
	return &cluster{WithWatch: c, Finder: lookup.Finder{Reader: c}, config: config, namespace: namespace}, nil
}
