package e2e

import (
	"context"
	"strings"
	"testing"

	"github.com/epitaph-k8s/epitaph/certs"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// Whoever takes cert-manager away, its definitions too, takes away what it says, and nothing else.
func TestCertificatesWithoutCertManager(t *testing.T) {
	t.Parallel()
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(k *config.Config) {
			k.Webhook.Certificates = []string{"epitaph-webhook"}
		}}})
	want :=
		`"msg":"the Certificate is not ready","logger":"certificates","certificate":"epitaph-webhook","error":"cert-manager's definitions are not installed: install cert-manager, or choose another source of certificates"`
	c.eventually(t, "the log tells: "+want, func(context.Context) (bool,
		error) {
		return strings.Contains(logged(t, c), want), nil
	})
	if got := c.metricOf(t, certs.MetricReady, "name", "epitaph-webhook"); got != -1 {
		t.Errorf("%s is %v, want -1", certs.MetricReady, got)
	}
	ns, node := c.namespace(t), c.node(t).Name
	c.pod(t, ns, node, "a")
	c.remove(t, c.as(t, runner), ns, "a")
	c.leaves(t, reason.Pod, ns+"/a", unexplained)
}
