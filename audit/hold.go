package audit

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// Hold notes on the record of a Node that left unexplained that its pods are held: whoever leads later, and counts, has it from
// there.
func (o *NodeObituaries) Hold(ctx context.Context, of *v1alpha1.NodeObituary) error {
	held := of.DeepCopy()
	metav1.SetMetaDataAnnotation(&held.ObjectMeta, reason.HeldKey, o.Clock.Now().UTC().Format(time.RFC3339))
	return wrapNode("note that the pods are held of node", of.Spec.NodeName, o.patch(ctx, held, client.MergeFrom(of)))
}
