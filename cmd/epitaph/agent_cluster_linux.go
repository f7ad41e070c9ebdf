package main

import (
	"context"
	"fmt"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/agent"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/termination"
)

// A connection is the agent's to the cluster. It is empty where the configuration names the
// listeners and there is no API server.
type connection struct{ cache cache.Cache }

// connect adds to o everything that needs the API server. An agent that runs once asks it directly;
// one that stays watches it.
func (f *agentFlags) connect(c config.Config, o *agent.Options) (connection, error) {
	byHand := len(c.Agent.Listeners) > 0
	o.Source = agent.ByHand(c.Agent.Listeners)
	restConfig, err := clusterOf(f.kubeconfig, c.Client)
	if err != nil && byHand && f.kubeconfig == "" {
		return connection{}, nil
	}
	if err != nil {
		return connection{}, err
	}
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return connection{}, fmt.Errorf("register the API types: %w", err)
	}
	api, err := client.New(restConfig, client.Options{Scheme: scheme})
	if err != nil {
		return connection{}, fmt.Errorf("prepare the API client: %w", err)
	}
	o.Cluster = &agent.Cluster{Live: api, Terminator: termination.New(api, c.Annotations, o.Clock)}
	if byHand {
		return connection{}, nil
	}
	service := agent.Service{Reader: api, Namespace: c.Namespace, Name: c.Agent.Service}
	var cluster connection
	if f.follows() {
		if cluster.cache, err = sliceCache(restConfig, scheme, service); err != nil {
			return connection{}, err
		}
		service.Reader = cluster.cache
	}
	o.Source = service
	return cluster, nil
}

// sliceCache holds the EndpointSlices of one Service, and nothing else.
func sliceCache(restConfig *rest.Config, scheme *runtime.Scheme,
	s agent.Service) (cache.Cache, error) {
	all, err := cache.New(restConfig, cache.Options{
		Scheme:           scheme,
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&discoveryv1.EndpointSlice{}: {
				Namespaces: map[string]cache.Config{s.Namespace: {}},
				Label: labels.SelectorFromSet(
					labels.Set{discoveryv1.LabelServiceName: s.Name}),
			},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("prepare the cache of endpoints: %w", err)
	}
	return all, nil
}

// watch sends on changed whenever the listeners change.
func (c connection) watch(ctx context.Context, changed chan<- struct{}) error {
	if c.cache == nil {
		return nil
	}
	// The informer starts with the cache, which has not started yet: waiting for it here would
	// never end.
	informer, err := c.cache.GetInformer(ctx, &discoveryv1.EndpointSlice{},
		cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watch the endpoints of the listeners: %w", err)
	}
	tell := func(any) {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{AddFunc: tell,
		DeleteFunc: tell, UpdateFunc: func(_, o any) { tell(o) }})
	if err != nil {
		return fmt.Errorf("watch the endpoints of the listeners: %w", err)
	}
	return nil
}
