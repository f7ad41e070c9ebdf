package e2e

import (
	"context"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	composer "github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/reason"
)

// What is recorded of a node that lives on is taken back, although nothing on the Node says that we
// wrote it. What is true of a node that lives, and what is about a Node that had its name, stays.
func TestRecordOfANodeThatLivesIsTakenBack(t *testing.T) {
	t.Parallel()
	c, memory := shared, shared.memory(t)
	node, err := c.client.CoreV1().Nodes().Get(t.Context(), c.node(t).Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, change func(*v1alpha1.NodeObituarySpec)) *v1alpha1.NodeObituary {
		o := &v1alpha1.NodeObituary{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: v1alpha1.NodeObituarySpec{
				NodeName: node.Name, NodeUID: node.UID, Removed: metav1.Now(),
				Code: string(reason.KernelPanic), Class: "disruption", Reason: "x",
			},
		}
		change(&o.Spec)
		if err := memory.Writer.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	stay := []*v1alpha1.NodeObituary{
		write(node.Name+"-boot", func(s *v1alpha1.NodeObituarySpec) { s.Returned = true }),
		write(node.Name+"-found", func(s *v1alpha1.NodeObituarySpec) {
			s.BootID, s.Amended = "an-earlier-boot",
				&v1alpha1.Amendment{At: metav1.Now(), From: "pstore"}
		}),
		write(node.Name+"-namesake", func(s *v1alpha1.NodeObituarySpec) {
			s.NodeUID = types.UID("11111111-1111-1111")
		}),
	}

	if err := memory.Record(t.Context(), node,
		reason.New(reason.Node, reason.UserRequest, "invented", "mallory")); err != nil {
		t.Fatal(err)
	}
	is := func(ctx context.Context, name string) error {
		return memory.Live.Get(ctx, client.ObjectKey{Name: name}, &v1alpha1.NodeObituary{})
	}
	c.eventuallyWithin(t, 5*time.Minute, "the record of the living node is taken back",
		func(ctx context.Context) (bool, error) {
			err := is(ctx, composer.Name(node.Name, node.UID))
			return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
		})
	for _, o := range stay {
		if err := is(t.Context(), o.Name); err != nil {
			t.Errorf("record %s of what is true: %v", o.Name, err)
		}
	}
}
