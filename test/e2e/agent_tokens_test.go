package e2e

import (
	"context"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/epitaph-k8s/epitaph/reason"
)

// Which token it is decides for which Node it can speak, if for any.
func TestAgentsTokenNamesItsNode(t *testing.T) {
	t.Parallel()
	own, other := shared.node(t).Name, shared.node(t).Name
	impersonator := shared.agentOf(t, own)
	impersonator.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + ourNamespace + ":" + string(theAgent),
		Extra:    map[string][]string{"authentication.kubernetes.io/node-name": {other}},
	}
	const none = ownNodeOnly + "none: its token is bound to no node"
	tests := map[string]struct {
		as   *rest.Config
		want string
	}{
		"bound to its Node":          {as: shared.agentOf(t, own)},
		"bound to a pod of its node": {as: shared.withToken(shared.podToken(t, own))},
		"bound to another Node":      {as: shared.agentOf(t, other), want: ownNodeOnly + other},
		"bound to a pod of another": {as: shared.withToken(shared.podToken(t, other)),
			want: ownNodeOnly + other},
		"bound to nobody":               {as: shared.agentOf(t, ""), want: none},
		"bound to a pod without a node": {as: shared.withToken(shared.podToken(t, "")), want: none},
		"kept in a Secret":              {as: shared.withToken(shared.secretToken(t)), want: none},
		"of another account": {as: shared.withToken(shared.strangersToken(t, own)),
			want: `cannot patch resource "nodes/status" in API group ""`},
		"that claims to be another": {as: impersonator,
			want: `cannot impersonate resource "serviceaccounts" in API group ""`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			try{do: annotates(own, reason.EvidenceKey), want: tc.want}.check(t,
				shared.clientFor(t, tc.as))
		})
	}
}

// secretToken is one that does not expire and is bound to nothing but its Secret.
func (c *cluster) secretToken(t *testing.T) (token string) {
	t.Helper()
	secrets := c.client.CoreV1().Secrets(ourNamespace)
	made, err := secrets.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: unique("token"),
			Annotations: map[string]string{corev1.ServiceAccountNameKey: string(theAgent)}},
		Type: corev1.SecretTypeServiceAccountToken,
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "the Secret has a token", func(ctx context.Context) (bool, error) {
		filled, err := secrets.Get(ctx, made.Name, metav1.GetOptions{})
		if err == nil {
			token = string(filled.Data[corev1.ServiceAccountTokenKey])
		}
		return token != "", nil
	})
	return token
}

// strangersToken is one of the namespace's default account, bound to the Node.
func (c *cluster) strangersToken(t *testing.T, node string) string {
	t.Helper()
	n, err := c.client.CoreV1().Nodes().Get(t.Context(), node, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Node", APIVersion: "v1",
			Name: node, UID: n.UID},
	}}
	token, err := c.client.CoreV1().ServiceAccounts(ourNamespace).CreateToken(t.Context(),
		"default", request, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return token.Status.Token
}

// A token dies with the Node that it is bound to: it cannot speak for a later Node of that name.
func TestAgentsTokenEndsWithItsNode(t *testing.T) {
	t.Parallel()
	node := shared.node(t).Name
	as := shared.clientFor(t, shared.agentOf(t, node))
	shared.removeNode(t, node)
	if _, err := shared.client.CoreV1().Nodes().Create(t.Context(),
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}},
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	shared.eventually(t, "the token is refused", func(ctx context.Context) (bool, error) {
		return apierrors.IsUnauthorized(annotates(node, reason.EvidenceKey)(ctx, as)), nil
	})
}

// What an agent writes that nobody can read explains nothing, and keeps nobody from deleting its
// Node.
func TestUnreadableEvidenceExplainsNothing(t *testing.T) {
	t.Parallel()
	silent := shared.node(t).Name
	shared.removeNode(t, silent)
	want := shared.leaves(t, reason.Node, silent, reason.Reason{}).Reason
	for name, evidence := range map[string]string{
		"no JSON": "x", "no array": `{"what":"halt"}`, "other types": `[{"what":7}]`,
		"cut off": `[{"what":"halt","who":"ali`,
		"too large": `[{"what":"halt","who":"` + strings.Repeat("a", reason.MaxEvidenceBytes) +
			`"}]`, "nothing known": `[{"what":"gremlins"}]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := shared.node(t).Name
			agent := shared.clientFor(t, shared.agentOf(t, node))
			if err := merges(node, `{"metadata":{"annotations":{%q:%q}}}`, reason.EvidenceKey,
				evidence)(t.Context(), agent); err != nil {
				t.Fatal(err)
			}
			shared.removeNode(t, node)
			if got := shared.leaves(t, reason.Node, node,
				reason.Reason{}).Reason; got.Code != want.Code || got.By != want.By {
				t.Errorf("the node left with %+v, and without evidence with %+v", got, want)
			}
		})
	}
}

func (c *cluster) removeNode(t *testing.T, node string) {
	t.Helper()
	if err := c.as(t, runner).CoreV1().Nodes().Delete(t.Context(), node,
		metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}
