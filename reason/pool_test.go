package reason

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Each label of the file is read, the first that a Node has.
func TestPoolOf(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		labels map[string]string
		want   string
	}{
		"none":       {map[string]string{"pool": "mine"}, ""},
		"karpenter":  {map[string]string{"karpenter.sh/nodepool": "gpu", "eks.amazonaws.com/nodegroup": "b"}, "gpu"},
		"gke":        {map[string]string{"cloud.google.com/gke-nodepool": "default-pool"}, "default-pool"},
		"eks":        {map[string]string{"eks.amazonaws.com/nodegroup": "ng", "alpha.eksctl.io/nodegroup-name": "x"}, "ng"},
		"eksctl":     {map[string]string{"alpha.eksctl.io/nodegroup-name": "unmanaged"}, "unmanaged"},
		"aks":        {map[string]string{"kubernetes.azure.com/agentpool": "nodepool1"}, "nodepool1"},
		"doks":       {map[string]string{"doks.digitalocean.com/node-pool": "pool-a"}, "pool-a"},
		"kops":       {map[string]string{"kops.k8s.io/instancegroup": "nodes-eu-1a"}, "nodes-eu-1a"},
		"empty name": {map[string]string{"karpenter.sh/nodepool": "", "kops.k8s.io/instancegroup": "a"}, "a"},
	}
	for name, tc := range tests {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: tc.labels}}
		if got := PoolOf(node); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}
