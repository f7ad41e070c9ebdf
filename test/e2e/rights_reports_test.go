package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

func reportWithdrawals() []withdrawal {
	return []withdrawal{
		{resource: "reports", verb: "create", shows: aFindingIsNotReported,
			says:   `cannot create resource "reports"`,
			breaks: "no new report; existing ones are kept up to date"},
		{resource: "reports", verb: "update", shows: aFindingIsNotReported,
			says:   `cannot get resource "reports"`,
			breaks: "no new report, and none is kept up to date"},
		{resource: "reports", verb: "list", shows: aFindingIsNotReported,
			says: `cannot list resource "reports"`, breaks: "no findings of pods are reported"},
	}
}

// Each rule that comes with config.audit.reports is taken away in turn; all else goes on.
func TestEveryRuleOfReportsIsNeeded(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{
		Reports: []string{config.OpenReports},
		Epitaph: sandbox.EpitaphOptions{Configure: reporting(config.OpenReports)},
	})
	c.needsEachRule(t, theReporter, reportWithdrawals())
}

func aFindingIsNotReported(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	c.finding(t, ns, "p", time.Now())
	time.Sleep(3 * reportEvery)
	if u := c.theReport(t.Context(), t, reportKinds[config.OpenReports].namespaced, ns); u != nil {
		t.Errorf("there is a report: %v", u.Object)
	}
}

// noReportRightIsUnused wants the tests that were run in the cluster to have used all that a
// format's file grants.
func noReportRightIsUnused(t *testing.T, c *cluster, format string) {
	granted, err := grantedRights("reports-"+strings.ToLower(format)+".yaml", theReporter)
	if err != nil {
		t.Fatal(err)
	}
	var here usedRights
	if err := here.collect(c.Sandbox); err != nil {
		t.Fatal(err)
	}
	if unused := here.notUsed(theManager, granted); len(granted) == 0 || len(unused) > 0 {
		t.Errorf("of %d rights to report, %q are not used", len(granted), unused)
	}
}
