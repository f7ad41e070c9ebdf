//go:build linux

package kernel

import (
	"encoding/json"
	"io"
	"net"
	"net/url"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/termination"
)

// forward lets the machine reach the API server, and returns the address at which it does.
func (c *cluster) forward(t *testing.T, at string) string {
	t.Helper()
	server, err := url.Parse(c.RESTConfig().Host)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go relay(conn, server.Host)
		}
	}()
	return listener.Addr().String()
}

// relay ends when either side does.
func relay(from net.Conn, address string) {
	defer from.Close()
	to, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer to.Close()
	go func() {
		_, _ = io.Copy(to, from)
		_ = to.Close()
	}()
	_, _ = io.Copy(from, to)
}

// kubeconfig is one line that an agent reads, with a token that is bound to its Node.
func (c *cluster) kubeconfig(t *testing.T, name, proxy string) string {
	t.Helper()
	node := c.nodeNow(t, name)
	token, err := c.client.CoreV1().ServiceAccounts("epitaph-system").CreateToken(t.Context(),
		"epitaph-agent", &authenticationv1.TokenRequest{
			Spec: authenticationv1.TokenRequestSpec{
				BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Node",
					APIVersion: "v1", Name: name, UID: node.UID}},
		}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	content, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "c",
		"clusters": []any{map[string]any{"name": "c", "cluster": map[string]any{
			"server": "https://" + proxy, "tls-server-name": "localhost",
			"certificate-authority-data": c.RESTConfig().CAData,
		}}},
		"users": []any{map[string]any{"name": "c",
			"user": map[string]any{"token": token.Status.Token}}},
		"contexts": []any{map[string]any{"name": "c",
			"context": map[string]any{"cluster": "c", "user": "c"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func (c *cluster) nodeNow(t *testing.T, name string) *corev1.Node {
	t.Helper()
	node, err := c.client.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return node
}

func (c *cluster) report(t *testing.T, node string) termination.Report {
	t.Helper()
	r, _, err := termination.ReportOf(c.nodeNow(t, node))
	if err != nil {
		t.Fatal(err)
	}
	return r
}
