package kubelet

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const (
	// syncPeriod is how often a pod is looked at: its volumes, its probe.
	syncPeriod = 500 * time.Millisecond
	// heartbeat is how often the Lease is renewed; the sandbox's nodes are Unknown after 4 s.
	heartbeat = time.Second
	// requestLimit bounds one request.
	requestLimit = 10 * time.Second
)

// Options are what a kubelet is given.
type Options struct {
	// Node is its name.
	Node string
	// Network is the node's: it has the first address, its pods have the following ones. All of
	// them are this machine's.
	Network netip.Prefix
	// Client authenticates as the node.
	Client kubernetes.Interface
	// Dir is where volumes are.
	Dir string
	// Program is what the image has for the command; without one, it is the image's entry point.
	Program func(image string, command []string) (string, error)
	// Launch starts it.
	Launch func(name, program string, args ...string) (*sandbox.Process, error)
	// WriteKubeconfig writes a file with which whoever has the token reaches the API server.
	WriteKubeconfig func(path, token string) error
	// Logf is told what goes wrong; it is tried again.
	Logf func(format string, args ...any)
}

// A Kubelet runs until the context of Start ends.
type Kubelet struct {
	o          Options
	address    netip.Addr
	background sync.WaitGroup
	frozen     atomic.Bool

	mu    sync.Mutex
	spare netip.Addr // the last address that a pod got
	pods  map[types.UID]*worker
}

// Start registers the node and runs what is bound to it.
func Start(ctx context.Context, o Options) (*Kubelet, error) {
	first := o.Network.Masked().Addr().Next()
	k := &Kubelet{o: o, address: first, spare: first, pods: map[types.UID]*worker{}}
	if err := k.register(ctx); err != nil {
		return nil, err
	}
	if err := k.serveLogs(ctx); err != nil {
		return nil, err
	}
	factory := informers.NewSharedInformerFactoryWithOptions(o.Client, 0,
		informers.WithTweakListOptions(func(l *metav1.ListOptions) {
			l.FieldSelector = "spec.nodeName=" + o.Node
		}))
	_, err := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { k.see(ctx, object) },
		UpdateFunc: func(_, object any) { k.see(ctx, object) },
		DeleteFunc: k.lose,
	})
	if err != nil {
		return nil, fmt.Errorf("watch the pods of %s: %w", o.Node, err)
	}
	factory.Start(ctx.Done())
	k.background.Go(func() { k.beat(ctx) })
	return k, nil
}

// Wait returns when everything has ended; the context must have.
func (k *Kubelet) Wait() { k.background.Wait() }

// Address is the node's, and that of its pods in the host's network.
func (k *Kubelet) Address() netip.Addr { return k.address }

// Freeze has volumes stay as they are, or follow again: a real kubelet takes up to a minute and a
// half to project a change.
func (k *Kubelet) Freeze(frozen bool) { k.frozen.Store(frozen) }

// Process is the pod's, nil if it has none.
func (k *Kubelet) Process(pod types.UID) *sandbox.Process {
	k.mu.Lock()
	defer k.mu.Unlock()
	if w := k.pods[pod]; w != nil {
		return w.process
	}
	return nil
}

func (k *Kubelet) see(ctx context.Context, object any) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if w := k.pods[pod.UID]; w != nil {
		w.pod.Store(pod)
		return
	}
	w := newWorker(k, pod)
	k.pods[pod.UID] = w
	k.background.Go(func() { w.run(ctx) })
}

// lose is told of pods that are gone: of those that were deleted by force, the kubelet learns only
// then.
func (k *Kubelet) lose(object any) {
	if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = last.Obj
	}
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if w := k.pods[pod.UID]; w != nil {
		close(w.gone)
		delete(k.pods, pod.UID)
	}
}

// addressFor must be called under the lock.
func (k *Kubelet) addressFor(pod *corev1.Pod) netip.Addr {
	if pod.Spec.HostNetwork {
		return k.address
	}
	k.spare = k.spare.Next()
	return k.spare
}
