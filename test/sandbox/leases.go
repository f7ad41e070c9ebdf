package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

const (
	// leaseSeconds is how long a Lease says that it lasts; a kubelet renews it after a quarter of
	// that (pkg/kubelet/kubelet.go).
	leaseSeconds = 4
	renewal      = leaseSeconds * time.Second / 4
	// renewalLimit bounds one try, as a kubelet does.
	renewalLimit = 10 * time.Second
)

// A renewer renews the Lease of one node, as its kubelet does, until it is stopped. While the Node
// is not there it waits for it.
//
// kwok could do that, too, but not for kubelets that restart: where its queue holds a node twice,
// as it does when a node is taken from it and given back while a renewal is under way, no other
// node's Lease is ever renewed again (weightDelayingQueue.next of pkg/utils/queue, v0.8.0).
type renewer struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// startRenewing has the node's Lease renewed from now on. The caller holds the sandbox's mutex.
func (s *Sandbox) startRenewing(n *node) {
	if n.renewer != nil {
		n.renewer.cancel()
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &renewer{cancel: cancel, done: make(chan struct{})}
	n.renewer = r
	name := n.name
	s.background.Go(func() {
		defer close(r.done)
		defer cancel()
		s.renewing(ctx, name)
	})
}

// stop returns when no renewal can come any more.
func (r *renewer) stop() {
	if r != nil {
		r.cancel()
		<-r.done
	}
}

func (s *Sandbox) renewing(ctx context.Context, node string) {
	tick := time.NewTicker(renewal)
	defer tick.Stop()
	for {
		if s.registered(node) {
			_ = s.renew(ctx, node) // what fails is tried again
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// registered tells whether there is a Node of that name, as far as is known.
func (s *Sandbox) registered(name string) bool {
	s.mu.Lock()
	all := s.registry
	s.mu.Unlock()
	if all == nil || !all.HasSynced() {
		return true
	}
	_, there, err := all.GetStore().GetByKey(name)
	return there || err != nil
}

// renew renews the node's Lease once, or makes one.
func (s *Sandbox) renew(ctx context.Context, node string) error {
	ctx, cancel := context.WithTimeout(ctx, renewalLimit)
	defer cancel()
	spec := coordinationv1.LeaseSpec{
		HolderIdentity: &node, LeaseDurationSeconds: ptr.To(int32(leaseSeconds)),
		RenewTime: ptr.To(metav1.NowMicro()),
	}
	patch, err := json.Marshal(map[string]any{"spec": spec})
	if err != nil {
		return fmt.Errorf("encode the Lease of node %s: %w", node, err)
	}
	leases := s.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	if _, err := leases.Patch(ctx, node, types.MergePatchType, patch,
		metav1.PatchOptions{}); !apierrors.IsNotFound(err) {
		return err
	}
	owner, err := s.client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
	if err != nil {
		return err
	}
	// It goes with its Node, as in pkg/kubelet/util/nodelease.go.
	lease := &coordinationv1.Lease{Spec: spec, ObjectMeta: metav1.ObjectMeta{
		Name: node,
		OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "Node", Name: node, UID: owner.UID}},
	}}
	_, err = leases.Create(ctx, lease, metav1.CreateOptions{})
	return err
}
