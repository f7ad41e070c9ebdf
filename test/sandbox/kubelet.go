package sandbox

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

const (
	kubeletPort = 10250
	// podResync is how often pods are looked at that no event drew attention to: their kubelet was
	// dead at the time.
	podResync = 5 * time.Second
	// deleteLimit bounds one of a kubelet's requests.
	deleteLimit = 10 * time.Second
)

// A userSpace is what of a node answers: a TLS server at the kubelet's port. It has nothing to say
// but that it lives.
type userSpace struct {
	server *http.Server
	// asked counts those who began to shake hands.
	asked atomic.Int64
}

func (s *Sandbox) openUserSpace(n *node) (*userSpace, error) {
	credential, err := s.authority.server(n.name, n.address.AsSlice())
	if err != nil {
		return nil, err
	}
	config, err := credential.tls()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp4", hostPort(n.address, kubeletPort))
	if err != nil {
		return nil, fmt.Errorf("open the kubelet's port of %s: %w", n.name, err)
	}
	u := &userSpace{}
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		u.asked.Add(1)
		return nil, nil // the same
	}
	u.server = &http.Server{
		Handler:           http.NotFoundHandler(),
		TLSConfig:         config,
		ReadHeaderTimeout: time.Second,
		// Whoever only shakes hands, to see whether we live, is no error.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	s.background.Go(func() { _ = u.server.ServeTLS(listener, "", "") })
	return u, nil
}

// Asked is how often somebody has asked the node whether it lives, since it last began to answer.
func (s *Sandbox) Asked(node string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.find(node); n != nil && n.kubelet != nil {
		return n.kubelet.asked.Load()
	}
	return 0
}

// close ends the server and every connection to it.
func (u *userSpace) close() { _ = u.server.Close() }

// freeAddress takes the first address of the network that no sandbox of this machine has. The UDP
// port of the kubelet's number, which no kubelet uses, is the sign that it is taken, also while its
// kubelet is dead.
func freeAddress(network netip.Prefix) (netip.Addr, net.PacketConn, error) {
	for address := network.Addr().Next(); network.Contains(
		address.Next()); address = address.Next() {
		hold, err := net.ListenPacket("udp4", hostPort(address, kubeletPort))
		if err != nil {
			continue
		}
		listener, err := net.Listen("tcp4", hostPort(address, kubeletPort))
		if err != nil {
			_ = hold.Close()
			continue
		}
		_ = listener.Close()
		return address, hold, nil
	}
	return netip.Addr{}, nil, fmt.Errorf(
		"find a free address for a node: port %d of every address in %s is taken or cannot be listened on",
		kubeletPort, network)
}

// watch runs, until Stop, what the kubelets do themselves, and kills those whose instance is gone.
func (s *Sandbox) watch() error {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	factory := informers.NewSharedInformerFactory(s.client, podResync)
	_, err := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { s.finish(ctx, object) },
		UpdateFunc: func(_, object any) { s.finish(ctx, object) },
	})
	if err != nil {
		return fmt.Errorf("watch the pods: %w", err)
	}
	registry := factory.Core().V1().Nodes().Informer()
	s.mu.Lock()
	s.registry = registry
	s.mu.Unlock()
	factory.Start(ctx.Done())
	s.background.Go(func() { s.watchInstances(ctx) })
	s.background.Go(func() {
		<-ctx.Done()
		factory.Shutdown()
	})
	return nil
}

// finish takes an ended pod out of the API, which the kubelet does as its node: user
// system:node:NAME, grace 0, and the UID, so that a namesake is safe. Nobody else's identity would
// be treated alike by admission and authorization.
func (s *Sandbox) finish(ctx context.Context, object any) {
	pod, ok := object.(*corev1.Pod)
	if !ok || !ended(pod) || !s.kubeletLives(pod.Spec.NodeName) {
		return
	}
	s.background.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, deleteLimit)
		defer cancel()
		client, err := kubernetes.NewForConfig(
			s.As("system:node:"+pod.Spec.NodeName, "system:nodes"))
		if err != nil {
			return
		}
		// What fails is tried again at the next event or resync.
		_ = client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
			GracePeriodSeconds: new(int64),
			Preconditions:      metav1.NewUIDPreconditions(string(pod.UID)),
		})
	})
}

// ended tells whether the pod was asked to go, has stopped, and was not yet deleted for good: at
// grace 0 only a finalizer still holds it, and that is not the kubelet's business.
func ended(pod *corev1.Pod) bool {
	asked := pod.DeletionTimestamp != nil && pod.DeletionGracePeriodSeconds != nil &&
		*pod.DeletionGracePeriodSeconds > 0
	return asked && (pod.Status.Phase == corev1.PodSucceeded ||
		pod.Status.Phase == corev1.PodFailed)
}

func (s *Sandbox) kubeletLives(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.find(name)
	return n != nil && n.kubelet != nil
}

// watchInstances kills the kubelets of instances that were taken away, by whomever.
func (s *Sandbox) watchInstances(ctx context.Context) {
	tick := time.NewTicker(instancePoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, n := range s.Nodes() {
			_, err := os.Stat(filepath.Join(s.Instances, n.Name))
			if errors.Is(err, os.ErrNotExist) && s.kubeletLives(n.Name) {
				if err := s.StopKubelet(ctx, n.Name); err != nil && ctx.Err() == nil {
					fmt.Fprintf(s.options.Out,
						"  stop the kubelet of %s, whose instance is gone: %v\n", n.Name, err)
				}
			}
		}
	}
}
