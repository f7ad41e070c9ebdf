package e2e

import (
	"context"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

func statusTries(own, other string) map[string]try {
	tries := map[string]func(context.Context, *kubernetes.Clientset) error{
		"a label": merges(own, `{"metadata":{"labels":{"a":"b"}}}`),
		"all labels go": patches(types.JSONPatchType, own,
			`[{"op":"remove","path":"/metadata/labels"}]`),
		"a label is applied": applies(own,
			`"metadata":{"labels":{"node-role.kubernetes.io/control-plane":""}}`),
		"a finalizer": merges(own,
			`{"metadata":{"finalizers":["example.com/never"]}}`),
		"an owner": merges(own,
			`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":%q,"uid":"x"}]}}`, other),
		"its boot ID": merges(own, `{"status":{"nodeInfo":{"bootID":"x"}}}`),
		"its addresses": merges(own,
			`{"status":{"addresses":[{"type":"InternalIP","address":"10.66.6.6"}]}}`),
		"its port": merges(own,
			`{"status":{"daemonEndpoints":{"kubeletEndpoint":{"Port":1}}}}`),
		"its capacity": merges(own,
			`{"status":{"capacity":{"example.com/gold":"1"}}}`),
		"a condition, strategically": patches(types.StrategicMergePatchType, own,
			`{"status":{"conditions":[{"type":"ReadonlyFilesystem","status":"True"}]}}`),
		"all conditions go": patches(types.StrategicMergePatchType, own,
			`{"status":{"conditions":[{"$patch":"replace"}]}}`),
		"a condition, by a JSON patch": patches(types.JSONPatchType, own,
			`[{"op":"add","path":"/status/conditions/-","value":{"type":"KernelDeadlock","status":"True"}}]`),
		"a condition is applied": applies(own,
			`"status":{"conditions":[{"type":"Ready","status":"False","reason":"x"}]}`),
	}
	all := map[string]try{}
	for name, do := range tries {
		all[name] = try{do: do, want: nothingElse}
	}
	return all
}

func rightTries(own string) map[string]try {
	return map[string]try{
		"its status is put": {
			do: func(ctx context.Context, c *kubernetes.Clientset) error {
				_, err := c.CoreV1().Nodes().UpdateStatus(ctx,
					&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: own}}, metav1.UpdateOptions{})
				return err
			},
			want: `cannot update resource "nodes/status" in API group ""`,
		},
		"its spec": {
			do: func(ctx context.Context, c *kubernetes.Clientset) error {
				_, err := c.CoreV1().Nodes().Patch(ctx, own, types.MergePatchType,
					[]byte(`{"spec":{"unschedulable":true}}`), metav1.PatchOptions{})
				return err
			},
			want: `cannot patch resource "nodes" in API group ""`,
		},
		"the Node itself goes": {
			do: func(ctx context.Context, c *kubernetes.Clientset) error {
				return c.CoreV1().Nodes().Delete(ctx, own, metav1.DeleteOptions{})
			},
			want: `cannot delete resource "nodes" in API group ""`,
		},
		"all Nodes": {
			do: func(ctx context.Context, c *kubernetes.Clientset) error {
				_, err := c.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
				return err
			},
			want: `cannot list resource "nodes" in API group ""`,
		},
		"its kubelet": {
			do: func(ctx context.Context, c *kubernetes.Clientset) error {
				return c.CoreV1().RESTClient().Get().Resource("nodes").Name(own).SubResource(
					"proxy").Do(ctx).Error()
			},
			want: `cannot get resource "nodes/proxy" in API group ""`,
		},
		"the Lease of its Node": {
			do: func(ctx context.Context, c *kubernetes.Clientset) error {
				_, err := c.CoordinationV1().Leases("kube-node-lease").Get(ctx, own,
					metav1.GetOptions{})
				return err
			},
			want: `cannot get resource "leases" in API group "coordination.k8s.io"`,
		},
		"who listens elsewhere": {
			do: func(ctx context.Context, c *kubernetes.Clientset) error {
				_, err := c.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault).List(ctx,
					metav1.ListOptions{})
				return err
			},
			want: `cannot list resource "endpointslices" in API group "discovery.k8s.io"`,
		},
		"a better token": {
			do: func(ctx context.Context, c *kubernetes.Clientset) error {
				_, err := c.CoreV1().ServiceAccounts(ourNamespace).CreateToken(ctx,
					string(theAgent), &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
				return err
			},
			want: `cannot create resource "serviceaccounts/token" in API group ""`,
		},
	}
}

// Whoever has the token of a node's agent can say of that node what the agent says, and nothing
// else.
func TestAgentGetsNoFurther(t *testing.T) {
	t.Parallel()
	own, other := shared.node(t), shared.node(t)
	theirs := []byte(`{"metadata":{"annotations":{"example.com/theirs":"theirs"}}}`)
	if _, err := shared.client.CoreV1().Nodes().Patch(t.Context(), own.Name, types.MergePatchType,
		theirs, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	as := map[string]*rest.Config{
		"bound to the node":          shared.agentOf(t, own.Name),
		"bound to a pod on the node": shared.withToken(shared.podToken(t, own.Name)),
	}
	for token, config := range as {
		for _, tries := range []map[string]try{annotationTries(own.Name, other.Name),
			statusTries(own.Name, other.Name), rightTries(own.Name)} {
			for name, tc := range tries {
				t.Run(token+"/"+name, func(t *testing.T) {
					t.Parallel()
					tc.check(t, shared.clientFor(t, config))
				})
			}
		}
	}
}
