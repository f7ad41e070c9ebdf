package e2e

import (
	"testing"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// noEdge is a manager in which nothing acts and nothing records: what others wrote is tidied up all the same.
func noEdge(c *config.Config) {
	quick(c)
	c.Webhook.Enabled, c.GC.Enabled, c.Netconsole.Enabled, c.Audit.Enabled, c.Page.Enabled = false, false, false, false, false
}

func TestSurvivedEvidenceGoesWithoutTheWebhook(t *testing.T) {
	t.Parallel()
	ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: noEdge}}).forgetsSurvived(t)
}
