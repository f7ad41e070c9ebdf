// Package cluster finds the API server that the flags and the kubeconfig name.
package cluster

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/story/lookup"
)

// Flags are kubectl's, which say where the cluster is and who asks.
type Flags struct {
	kubeconfig clientcmd.ClientConfigLoadingRules
	overrides  clientcmd.ConfigOverrides
}

// Bind adds the flags.
func (f *Flags) Bind(flags *pflag.FlagSet) {
	f.kubeconfig = *clientcmd.NewDefaultClientConfigLoadingRules()
	flags.StringVar(&f.kubeconfig.ExplicitPath, "kubeconfig", "", "the kubeconfig `file` to use")
	clientcmd.BindOverrideFlags(&f.overrides, flags, clientcmd.RecommendedConfigOverrideFlags(""))
}

// Namespace is that of -n; empty where there is none.
func (f *Flags) Namespace() string { return f.overrides.Context.Namespace }

// A Cluster is the API server that the flags and the kubeconfig name.
type Cluster struct {
	client.WithWatch
	lookup.Finder
	Config *rest.Config
	// Namespace is that of -n, else that of the context.
	Namespace string
}

// Connect makes a client. It asks nothing of the API server.
func (f *Flags) Connect(userAgent string) (*Cluster, error) {
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(&f.kubeconfig, &f.overrides)
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, f.unconfigured(err)
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, fmt.Errorf("find the namespace: %w", err)
	}
	config.UserAgent = userAgent
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme,
		v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("register the API types: %w", err)
		}
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("make a client of %s: %w", config.Host, err)
	}
	return &Cluster{WithWatch: c, Finder: lookup.Finder{Reader: c}, Config: config,
		Namespace: namespace}, nil
}

// unconfigured says why there is no API server to ask, and what helps.
func (f *Flags) unconfigured(err error) error {
	switch {
	case f.overrides.CurrentContext != "":
		return fmt.Errorf(
			"find the API server: %w: \"kubectl config get-contexts\" lists those there are", err)
	case clientcmd.IsEmptyConfig(err):
		return fmt.Errorf(
			"find the API server: there is no kubeconfig (%s): name a file with --kubeconfig, or set KUBECONFIG", strings.Join(f.kubeconfig.GetLoadingPrecedence(), ", "))
	default:
		return fmt.Errorf("find the API server: %w", err)
	}
}
