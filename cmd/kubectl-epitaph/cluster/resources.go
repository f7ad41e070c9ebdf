package cluster

import (
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/resource"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// Resources know the kinds that the API server serves, by all the words that kubectl takes for
// them.
type Resources struct {
	config    *rest.Config
	discovery discovery.CachedDiscoveryInterface
	mapper    meta.RESTMapper
}

// Resources asks the API server for its kinds when they are first needed, and once.
func (c *Cluster) Resources() (*Resources, error) {
	client, err := discovery.NewDiscoveryClientForConfig(c.Config)
	if err != nil {
		return nil, fmt.Errorf("make a client for the kinds of %s: %w", c.Config.Host, err)
	}
	cached := memory.NewMemCacheClient(client)
	return &Resources{config: c.Config, discovery: cached, mapper: restmapper.NewShortcutExpander(
		restmapper.NewDeferredDiscoveryRESTMapper(cached), cached, nil)}, nil
}

// Builder returns kubectl's own reader of arguments, files and selectors.
func (r *Resources) Builder() *resource.Builder { return resource.NewBuilder(getter{r}) }

// Mapping returns what a word for a kind means, such as "deploy" or "jobs.batch".
func (r *Resources) Mapping(word string) (*meta.RESTMapping, error) {
	full, group := schema.ParseResourceArg(word)
	var kind schema.GroupVersionKind
	err := error(&meta.NoResourceMatchError{PartialResource: group.WithVersion("")})
	if full != nil {
		kind, err = r.mapper.KindFor(*full)
	}
	if err != nil {
		kind, err = r.mapper.KindFor(group.WithVersion(""))
	}
	if err != nil {
		return nil, err
	}
	return r.mapper.RESTMapping(kind.GroupKind(), kind.Version)
}

// Serves reports whether the API server has a kind of that name. If that cannot be asked, it is
// said to.
func (r *Resources) Serves(word string) bool {
	_, err := r.Mapping(word)
	return !meta.IsNoMatchError(err)
}

// Words returns the names of all kinds, as kubectl takes them.
func (r *Resources) Words() []string {
	// What could be read is returned beside the error.
	lists, _ := r.discovery.ServerPreferredResources()
	var all []string
	for _, list := range lists {
		for _, one := range list.APIResources {
			all = append(append(all, one.Name, one.SingularName), one.ShortNames...)
		}
	}
	return slices.DeleteFunc(all, func(word string) bool { return word == "" })
}

// A getter is what kubectl's Builder asks.
type getter struct{ *Resources }

// ToRESTConfig returns how the API server is reached.
func (g getter) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(g.config), nil }

// ToDiscoveryClient returns what knows the kinds.
func (g getter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return g.discovery, nil
}

// ToRESTMapper returns what finds a kind by a word.
func (g getter) ToRESTMapper() (meta.RESTMapper, error) { return g.mapper, nil }

// Each returns the single errors of what kubectl's code returns: its lists do not unwrap.
func Each(err error) []error {
	if err == nil {
		return nil
	}
	var list interface{ Errors() []error }
	if !errors.As(err, &list) {
		return []error{err}
	}
	var all []error
	for _, one := range list.Errors() {
		all = append(all, Each(one)...)
	}
	return all
}
