package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// serviceAddress is that of the Service "kubernetes", at which containers look for the API server.
var serviceAddress = netip.MustParsePrefix("10.96.0.1/32")

const servicePort = 443

// ServiceAddress has to be an address of this machine's before ServeInCluster: in a network
// namespace of its own, as a rule.
func ServiceAddress() netip.Prefix { return serviceAddress }

// ServeInCluster makes the API server answer at the address of its Service too, until Stop: nothing
// here plays kube-proxy.
func (s *Sandbox) ServeInCluster(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", hostPort(serviceAddress.Addr(), servicePort))
	if err != nil {
		return fmt.Errorf("listen at the address of the Service kubernetes: %w", err)
	}
	r := &relay{to: strings.TrimPrefix(s.server, "https://"), open: map[net.Conn]bool{}}
	s.mu.Lock()
	s.relays = append(s.relays, func() { _ = listener.Close(); r.close() })
	s.mu.Unlock()
	s.background.Go(func() { r.serve(listener) })
	return nil
}

// A relay hands connections on.
type relay struct {
	to         string
	background sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]bool // nil once it is closed
}

// serve returns when the listener and every connection are closed.
func (r *relay) serve(listener net.Listener) {
	defer r.background.Wait()
	for {
		from, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			r.background.Go(func() { r.hand(from) })
		}
	}
}

// hand connects one caller; where the server does not answer, the caller sees the end of the
// connection.
func (r *relay) hand(from net.Conn) {
	defer from.Close()
	to, err := net.Dial("tcp4", r.to)
	if err != nil {
		return
	}
	defer to.Close()
	if !r.hold(from, to) {
		return
	}
	defer r.release(from, to)
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_ = way[0].Close()
		})
	}
	both.Wait()
}

func (r *relay) hold(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		if r.open != nil {
			r.open[c] = true
		}
	}
	return r.open != nil
}

func (r *relay) release(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		delete(r.open, c)
	}
}

func (r *relay) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.open {
		_ = c.Close()
	}
	r.open = nil
}

// GiveInstance is what the cloud does for a machine.
func (s *Sandbox) GiveInstance(name string) error {
	if err := os.WriteFile(filepath.Join(s.Instances, name), []byte("running\n"),
		0o644); err != nil {
		return fmt.Errorf("give node %s an instance: %w", name, err)
	}
	return nil
}

// JoinNode is what the cloud and kubeadm do for a machine that is to become a node: an instance,
// and a kubeconfig with which its kubelet registers by itself, where ServeInCluster serves.
func (s *Sandbox) JoinNode(name, kubeconfig string) error {
	if err := s.GiveInstance(name); err != nil {
		return err
	}
	credential, err := s.authority.client("system:node:"+name, "system:nodes")
	if err != nil {
		return err
	}
	return s.kubeconfigFor("https://"+hostPort(serviceAddress.Addr(), servicePort), kubeconfig,
		&clientcmdapi.AuthInfo{ClientCertificateData: credential.certificate,
			ClientKeyData: credential.key})
}
