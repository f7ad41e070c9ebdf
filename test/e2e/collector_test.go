package e2e

import (
	"errors"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/gc"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

// collectorOptions are where a test stands between the collector and the API server: what happens
// at the same time in the world can there be made to happen one after the other. A function that is
// nil changes nothing.
type collectorOptions struct {
	// Nodes and Pods see what the watches bring, before the collector does; as long as one does not
	// return, that watch lags.
	Nodes, Pods toolscache.TransformFunc
	// Live is asked for Nodes.
	Live func(client.Client) client.Reader
	// Terminator ends the pods.
	Terminator func(gc.Terminator) gc.Terminator
}

// collect runs a collector in this process, with the administrator's rights, that works on one pod
// after another.
func (c *cluster) collect(t *testing.T, o collectorOptions) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme),
		v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	writer, err := client.New(c.RESTConfig(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	cached, err := cache.New(c.RESTConfig(), cache.Options{Scheme: scheme,
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Node{}: {Transform: o.Nodes}, &corev1.Pod{}: {Transform: o.Pods},
		}})
	if err != nil {
		t.Fatal(err)
	}
	byNode := func(o client.Object) []string { return []string{o.(*corev1.Pod).Spec.NodeName} }
	if err := errors.Join(audit.IndexNodeObituaries(t.Context(), cached),
		cached.IndexField(t.Context(), &corev1.Pod{}, reason.NodeNameField, byNode)); err != nil {
		t.Fatal(err)
	}
	settings := config.Default()
	quick(&settings)
	settings.GC.Workers = 1
	options := gc.Options{
		Config: settings.GC, Inferrer: settings.Inferrer(), Cache: cached, Live: writer,
		Obituaries: &audit.NodeObituaries{Cache: cached, Live: writer, Writer: writer,
			Clock: clock.RealClock{}},
		Terminator: termination.New(writer, settings.Annotations, clock.RealClock{}),
		Recorder:   events.NewFakeRecorder(100), Clock: clock.RealClock{},
		Registerer: prometheus.NewRegistry(), Log: logr.Discard(),
	}
	if o.Live != nil {
		options.Live = o.Live(writer)
	}
	if o.Terminator != nil {
		options.Terminator = o.Terminator(options.Terminator)
	}
	collector, err := gc.New(options)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = cached.Start(t.Context()) }()
	if !cached.WaitForCacheSync(t.Context()) {
		t.Fatal("the cache did not sync")
	}
	go func() { _ = collector.Standby().Start(t.Context()) }()
	go func() { _ = collector.Start(t.Context()) }()
}
