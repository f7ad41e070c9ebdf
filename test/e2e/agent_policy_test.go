package e2e

import (
	"context"
	"slices"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"

	"github.com/epitaph-k8s/epitaph/reason"
)

// asAgentAndMore is a client with the agent's token whom RBAC allows everything.
func (c *cluster) asAgentAndMore(t *testing.T, node string) *kubernetes.Clientset {
	t.Helper()
	as := c.As("system:serviceaccount:"+ourNamespace+":"+string(theAgent), "system:masters")
	as.Impersonate.Extra = map[string][]string{"authentication.kubernetes.io/node-name": {node}}
	return c.clientFor(t, as)
}

// What RBAC may one day allow by mistake, the policy still refuses.
func TestAgentPolicyIsTheSecondNet(t *testing.T) {
	t.Parallel()
	node := shared.node(t).Name
	pod := shared.pod(t, ourNamespace, node, unique("p")).Name
	as := shared.asAgentAndMore(t, node)
	for name, do := range map[string]func(context.Context, *kubernetes.Clientset) error{
		"delete its Node": func(ctx context.Context, c *kubernetes.Clientset) error {
			return c.CoreV1().Nodes().Delete(ctx, node, metav1.DeleteOptions{})
		},
		"delete all that are called so": func(ctx context.Context, c *kubernetes.Clientset) error {
			return c.CoreV1().Nodes().DeleteCollection(ctx, metav1.DeleteOptions{},
				metav1.ListOptions{FieldSelector: "metadata.name=" + node})
		},
		"cordon its Node": func(ctx context.Context, c *kubernetes.Clientset) error {
			_, err := c.CoreV1().Nodes().Patch(ctx, node, types.MergePatchType,
				[]byte(`{"spec":{"unschedulable":true}}`), metav1.PatchOptions{})
			return err
		},
		"say it of the Node and not of its status": func(ctx context.Context,
			c *kubernetes.Clientset) error {
			body := []byte(`{"metadata":{"annotations":{"epitaph-k8s.io/evidence":"x"}}}`)
			_, err := c.CoreV1().Nodes().Patch(ctx, node, types.MergePatchType, body,
				metav1.PatchOptions{})
			return err
		},
		"make a Node": func(ctx context.Context, c *kubernetes.Clientset) error {
			_, err := c.CoreV1().Nodes().Create(ctx,
				&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: unique("forged")}},
				metav1.CreateOptions{})
			return err
		},
		"make a ConfigMap": func(ctx context.Context, c *kubernetes.Clientset) error {
			_, err := c.CoreV1().ConfigMaps(ourNamespace).Create(ctx,
				&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: unique("c")}},
				metav1.CreateOptions{})
			return err
		},
		"ask for a token": func(ctx context.Context, c *kubernetes.Clientset) error {
			_, err := c.CoreV1().ServiceAccounts(ourNamespace).CreateToken(ctx, string(theAgent),
				&authenticationv1.TokenRequest{}, metav1.CreateOptions{})
			return err
		},
		"evict a pod": func(ctx context.Context, c *kubernetes.Clientset) error {
			return c.PolicyV1().Evictions(ourNamespace).Evict(ctx,
				&policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod,
					Namespace: ourNamespace}})
		},
		"speak to its kubelet": func(ctx context.Context, c *kubernetes.Clientset) error {
			return c.CoreV1().RESTClient().Get().Resource("nodes").Name(node).SubResource(
				"proxy").Do(ctx).Error()
		},
		"run a program in a pod": func(ctx context.Context, c *kubernetes.Clientset) error {
			return c.CoreV1().RESTClient().Post().Namespace(ourNamespace).Resource("pods").Name(
				pod).SubResource("exec").Param("command", "id").Do(ctx).Error()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			try{do: do, want: ownNodeOnly + node}.check(t, as)
		})
	}
	t.Run("put its status", func(t *testing.T) {
		t.Parallel()
		put := func(ctx context.Context, c *kubernetes.Clientset) error {
			n, err := c.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
			if err != nil {
				return err
			}
			n.Labels["a"] = "b"
			n.ResourceVersion = "" // its kubelet may be quicker
			_, err = c.CoreV1().Nodes().UpdateStatus(ctx, n, metav1.UpdateOptions{})
			return err
		}
		try{do: put, want: nothingElse}.check(t, as)
	})
}

// The status of a Node is no way to its spec: the API server does not even ask the policy.
func TestAgentTaintsNothing(t *testing.T) {
	t.Parallel()
	node := shared.node(t).Name
	before, err := shared.client.CoreV1().Nodes().Get(t.Context(), node, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	taint := merges(node,
		`{"spec":{"unschedulable":true,"taints":[{"key":"a","effect":"NoExecute"}]}}`)
	if err := taint(t.Context(), shared.clientFor(t, shared.agentOf(t, node))); err != nil {
		t.Fatal(err)
	}
	after, err := shared.client.CoreV1().Nodes().Get(t.Context(), node, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if after.Spec.Unschedulable || !slices.Equal(after.Spec.Taints, before.Spec.Taints) {
		t.Errorf("the Node has the taints %v, and had %v", after.Spec.Taints, before.Spec.Taints)
	}
}

// everyValidationIsNeeded takes each part of the policy away, and gets through where it stood.
func everyValidationIsNeeded(t *testing.T, c *cluster, node string) {
	other := c.node(t).Name
	as := c.clientFor(t, c.agentOf(t, node))
	// By the message of the validation that refuses it; the first has an expression for one.
	tries := map[string]try{
		"":              {do: annotates(other, reason.EvidenceKey), want: ownNodeOnly + node},
		annotationsOnly: {do: annotates(node, "example.com/a"), want: annotationsOnly},
		nothingElse:     {do: merges(node, `{"metadata":{"labels":{"a":"b"}}}`), want: nothingElse},
		atMost:          annotationTries(node, other)["more than is read"],
	}
	policies := c.client.AdmissionregistrationV1().ValidatingAdmissionPolicies()
	policy, err := policies.Get(t.Context(), string(theAgent), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for n, validation := range policy.Spec.Validations {
		tc, ok := tries[validation.Message]
		if !ok {
			t.Errorf("nothing tries to get around %q", validation.Message)
			continue
		}
		tc.check(t, as)
		c.setValidations(t, theAgent, slices.Delete(slices.Clone(policy.Spec.Validations), n, n+1))
		c.eventually(t, "it gets through without: "+tc.want,
			func(ctx context.Context) (bool, error) { return tc.do(ctx, as) == nil, nil })
		c.setValidations(t, theAgent, policy.Spec.Validations)
		c.eventually(t, "it is refused again: "+tc.want, func(ctx context.Context) (bool, error) {
			c.cleans(t, node, other) // what is there already changes nothing
			return tc.do(ctx, as) != nil, nil
		})
	}
}

func (c *cluster) setValidations(t *testing.T, whose account,
	all []admissionregistrationv1.Validation) {
	t.Helper()
	policies := c.client.AdmissionregistrationV1().ValidatingAdmissionPolicies()
	// A controller writes the policy's status.
	if err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		policy, err := policies.Get(t.Context(), string(whose), metav1.GetOptions{})
		if err != nil {
			return err
		}
		policy.Spec.Validations = all
		_, err = policies.Update(t.Context(), policy, metav1.UpdateOptions{})
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// cleans takes off what has got through.
func (c *cluster) cleans(t *testing.T, nodes ...string) {
	t.Helper()
	for _, node := range nodes {
		body := []byte(
			`{"metadata":{"labels":{"a":null},"annotations":{"example.com/a":null,"epitaph-k8s.io/evidence":null}}}`)
		if _, err := c.client.CoreV1().Nodes().Patch(t.Context(), node, types.MergePatchType, body,
			metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}
