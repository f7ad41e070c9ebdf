package e2e

import (
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/epitaph-k8s/epitaph/test/netconsolefs"
)

// agentOf is how the agent of a node authenticates: with a token that is bound to the node, or,
// without a name, to nothing.
func (c *cluster) agentOf(t *testing.T, node string) *rest.Config {
	t.Helper()
	if node == "" {
		return c.withToken(c.agentToken(t, nil))
	}
	n, err := c.client.CoreV1().Nodes().Get(t.Context(), node, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return c.withToken(
		c.agentToken(t, &authenticationv1.BoundObjectReference{Kind: "Node", APIVersion: "v1",
			Name: node, UID: n.UID}))
}

// agentToken is a token of the agent's account, bound to an object or to none.
func (c *cluster) agentToken(t *testing.T, to *authenticationv1.BoundObjectReference) string {
	t.Helper()
	request := &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: to}}
	token, err := c.client.CoreV1().ServiceAccounts(ourNamespace).CreateToken(t.Context(),
		string(theAgent), request, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return token.Status.Token
}

func (c *cluster) withToken(token string) *rest.Config {
	as := rest.AnonymousClientConfig(c.RESTConfig())
	as.BearerToken = token
	return as
}

// The agent does all its work with exactly these rights.
func TestAgentWithItsRights(t *testing.T) {
	t.Parallel()
	node := shared.node(t)
	kernel := netconsolefs.New(netconsolefs.Versions["6.14"])
	as := shared.agentOf(t, node.Name)
	// Its Service is in Epitaph's namespace, and nowhere else may it look.
	shared.listenAt(t, ourNamespace, "10.9.1.1")
	a := shared.agentOn(t, as, node.Name, ourNamespace, kernel)
	if r := pass(t, a); len(r.Faults) > 0 {
		t.Fatalf("faults %v", r.Faults)
	}
	if report, token := shared.report(t, node.Name); len(report.SpeaksTo) != 1 || token == "" {
		t.Errorf("the Node says %+v and has the token %q", report, token)
	}
	if err := a.Remove(t.Context()); err != nil {
		t.Error(err)
	}
}
