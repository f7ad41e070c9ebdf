package sandbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

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
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.mu.Lock()
	s.relays = append(s.relays, cancel)
	s.mu.Unlock()
	s.background.Go(func() { s.bootKarpenters(ctx) })
	return nil
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

// bootKarpenters gives each node that Karpenter has made an instance and a kubelet, until ctx ends.
func (s *Sandbox) bootKarpenters(ctx context.Context) {
	tick := time.NewTicker(instancePoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, object := range s.registry.GetStore().List() {
			made, ok := object.(*corev1.Node)
			if !ok || !strings.HasPrefix(made.Spec.ProviderID, kwokProvider) ||
				made.Labels[kubeletLabel] != kubeletLabelValue {
				continue
			}
			if err := s.bootKarpenter(ctx, made.Name); err != nil && ctx.Err() == nil {
				fmt.Fprintf(s.options.Out, "  boot node %s of Karpenter's: %v\n", made.Name, err)
			}
		}
	}
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
	if err := os.WriteFile(filepath.Join(s.Instances, name), []byte("running\n"),
		0o644); err != nil {
		return fmt.Errorf("give node %s an instance: %w", name, err)
	}
	s.startRenewing(n)
	return s.boot(n)
}
