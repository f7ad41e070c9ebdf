package audit

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
)

// Retract takes the obituary of a node back that did not leave after all. That there is none is success.
func (o *NodeObituaries) Retract(ctx context.Context, node *corev1.Node) error {
	record := &v1alpha1.NodeObituary{ObjectMeta: metav1.ObjectMeta{Name: obituary.Name(node.Name, node.UID)}}
	err := o.Writer.Delete(ctx, record)
	return wrapNode("take back the obituary of node", node.Name, client.IgnoreNotFound(err))
}
