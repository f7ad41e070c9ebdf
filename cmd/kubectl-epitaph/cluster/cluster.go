// Package cluster finds the API server that the flags and the kubeconfig name.
package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/story/lookup"
)

// Flags are kubectl's flags for the cluster and the user.
type Flags struct {
	kubeconfig clientcmd.ClientConfigLoadingRules
	overrides  clientcmd.ConfigOverrides
	// Near finds the known word that is meant by a mistyped one; empty if there is none.
	Near func(typed string, known []string) string
}

// Bind adds the flags.
func (f *Flags) Bind(flags *pflag.FlagSet) {
	f.kubeconfig = *clientcmd.NewDefaultClientConfigLoadingRules()
	flags.StringVar(&f.kubeconfig.ExplicitPath, "kubeconfig", "", "the kubeconfig `file` to use")
	clientcmd.BindOverrideFlags(&f.overrides, flags, clientcmd.RecommendedConfigOverrideFlags(""))
}

// Namespace returns that of -n; empty if there is none.
func (f *Flags) Namespace() string { return f.overrides.Context.Namespace }

// File returns the kubeconfig's content: an empty one if it cannot be read.
func (f *Flags) File() *clientcmdapi.Config {
	c, err := f.kubeconfig.Load()
	if err != nil {
		return clientcmdapi.NewConfig()
	}
	return c
}

// A Cluster is the API server that the flags and the kubeconfig name.
type Cluster struct {
	client.WithWatch
	lookup.Finder
	Config *rest.Config
	// Namespace is that of -n, else that of the context.
	Namespace string
	// Elsewhere is another cluster, whose records are read from the archive of this one; "*" is
	// all.
	Elsewhere string
	// Note tells the user something besides the answer.
	Note func(string)

	archive archived
	noted   bool
}

// How fast we may ask, as kubectl does: client-go's own limit is 5 requests per second, which makes
// a deletion of a hundred pods a minute long.
const (
	requestsPerSecond = 50
	burst             = 300
)

// Connect makes a client. It sends no request.
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
	config.QPS, config.Burst = requestsPerSecond, burst
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
	found := &Cluster{WithWatch: c, Config: config, Namespace: namespace}
	found.Finder = lookup.Finder{Reader: withArchive{c, found}, Mapper: c.RESTMapper(),
		Past: found.past}
	return found, nil
}

// unconfigured says why no API server is configured, and what helps.
func (f *Flags) unconfigured(err error) error {
	switch {
	case f.overrides.CurrentContext != "":
		near := f.Near(f.overrides.CurrentContext, slices.Sorted(maps.Keys(f.File().Contexts)))
		if near != "" {
			return fmt.Errorf("find the API server: %w: did you mean %s?", err, near)
		}
		return fmt.Errorf(
			"find the API server: %w: \"kubectl config get-contexts\" lists those there are", err)
	case clientcmd.IsEmptyConfig(err):
		return fmt.Errorf(
			"find the API server: there is no kubeconfig (%s): name a file with --kubeconfig, or set KUBECONFIG", strings.Join(f.kubeconfig.GetLoadingPrecedence(), ", "))
	default:
		return fmt.Errorf("find the API server: %w", err)
	}
}
