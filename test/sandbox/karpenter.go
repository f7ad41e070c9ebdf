package sandbox

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/epitaph-k8s/epitaph/test/binaries"
)

const (
	// karpenter names the program, and its service account in kube-system.
	karpenter = "karpenter"
	// kwokProvider is what the provider IDs of Karpenter's kwok provider begin with.
	kwokProvider = "kwok://"
)

// StartKarpenter installs Karpenter's definitions and starts it with its kwok provider, as a
// process that Stop ends. It has a service account of its own, as an administrator: its rights are
// not what is tested here. The nodes that it makes get a kubelet once they have the labels in
// KubeletLabels, which a NodePool's template gives them.
func (s *Sandbox) StartKarpenter(ctx context.Context) error {
	paths, err := binaries.Ensure(ctx, s.options.Out, binaries.Karpenter)
	if err != nil {
		return err
	}
	if err := s.DefineNodeClaims(ctx); err != nil {
		return err
	}
	kubeconfig, err := s.serviceAccount(ctx, karpenter, "cluster-admin")
	if err != nil {
		return err
	}
	// It has no flag for the file.
	_, err = s.Launch(karpenter, "/usr/bin/env", "KUBECONFIG="+kubeconfig, paths[karpenter],
		"--disable-leader-election", "--metrics-port=0", "--health-probe-port=0",
		"--feature-gates=NodeRepair=true",
		"--batch-idle-duration=200ms", "--batch-max-duration=1s")
	if err != nil {
		return err
	}
	return s.bootKarpenters()
}

// DefineNodeClaims installs Karpenter's definitions and those of its kwok provider.
func (s *Sandbox) DefineNodeClaims(ctx context.Context) error {
	dir, err := binaries.Module(ctx, binaries.Karpenter, "sigs.k8s.io/karpenter")
	if err != nil {
		return err
	}
	if err := s.define(filepath.Join(dir, "pkg", "apis", "crds"),
		filepath.Join(dir, "kwok", "apis", "crds")); err != nil {
		return fmt.Errorf("install Karpenter's definitions: %w", err)
	}
	return nil
}

// KubeletLabels are those of nodes whose kubelet lives.
func KubeletLabels() map[string]string { return map[string]string{kubeletLabel: kubeletLabelValue} }

// bootKarpenters gives each node that Karpenter makes an instance and a kubelet. The cloud's controller
// leaves Nodes of another provider alone.
func (s *Sandbox) bootKarpenters() error {
	ctx, cancel := context.WithCancel(context.Background())
	does := func(what func(name string) error) func(any) {
		return func(object any) {
			made, ok := object.(*corev1.Node)
			if !ok || !strings.HasPrefix(made.Spec.ProviderID, kwokProvider) {
				return
			}
			if err := what(made.Name); err != nil {
				fmt.Fprintf(s.options.Out, "  boot node %s of Karpenter's: %v\n", made.Name, err)
			}
		}
	}
	boots := func(object any) {
		if made, ok := object.(*corev1.Node); ok && made.Labels[kubeletLabel] == kubeletLabelValue {
			does(func(name string) error { return s.bootKarpenter(ctx, name) })(object)
		}
	}
	handler, err := s.registry.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) {
			does(s.giveInstance)(object)
			boots(object)
		},
		UpdateFunc: func(_, object any) { boots(object) },
	})
	if err != nil {
		cancel()
		return fmt.Errorf("watch Karpenter's nodes: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.relays = append(s.relays, func() {
		cancel()
		_ = s.registry.RemoveEventHandler(handler)
	})
	return nil
}

func (s *Sandbox) bootKarpenter(ctx context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil || s.find(name) != nil {
		return nil
	}
	n := &node{name: name}
	var err error
	if n.address, n.hold, err = freeAddress(nodeNetwork); err != nil {
		return err
	}
	s.nodes = append(s.nodes, n)
	s.startRenewing(n)
	return s.boot(n)
}
