package demo

import (
	"context"
	"fmt"
	"io"

	"k8s.io/client-go/kubernetes"

	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// Populate makes what dies in the demonstration, and lets it live: pods of several priorities on the
// first five nodes, and a Job whose podFailurePolicy ignores disruptions, in the namespace batch.
func Populate(ctx context.Context, out io.Writer, s *sandbox.Sandbox) error {
	ctx, cancel := context.WithTimeout(ctx, sceneLimit)
	defer cancel()
	client, err := kubernetes.NewForConfig(s.RESTConfig())
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	st := &stage{sandbox: s, client: client, out: out}
	if err := st.set(ctx); err != nil {
		return err
	}
	if err := st.runs(ctx, podOn(preemptionNode, "nightly-report", prioritized("nightly", "3")),
		podOn(diskNode, "indexer-0"), podOn(diskNode, "indexer-1"),
		podOn(haltNode, "trainer-0"), podOn(haltNode, "trainer-1"),
		podOn(cloudNode, "web-0"), podOn(cloudNode, "web-1"),
		podOn(panicNode, "cache-0"), podOn(panicNode, "cache-1"),
		podOn(spareNode, "notebook")); err != nil {
		return err
	}
	_, err = st.startJob(ctx)
	return err
}

// Announce has every node say what its kernel signs with, as agents do.
func Announce(ctx context.Context, s *sandbox.Sandbox) error {
	for _, node := range s.Nodes() {
		if err := s.SignWith(ctx, node, secret); err != nil {
			return err
		}
	}
	return nil
}

// Panic has the kernel of a node panic that has announced what it signs with: nothing on the node
// answers any more, and what a real kernel once said is sent from its address. It returns the number
// of datagrams.
func Panic(ctx context.Context, s *sandbox.Sandbox, name string) (int, error) {
	node, err := nodeNamed(s, name)
	if err != nil {
		return 0, err
	}
	if err := s.StopKubelet(ctx, name); err != nil {
		return 0, err
	}
	return replay(ctx, s, node)
}
