package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/epitaph-k8s/epitaph/audit/reports"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// The leader is killed while findings come. The next knows nothing of the last, and each is
// reported once; what that costs is bounded by time, whatever is deleted.
func TestReportsAreCompleteWhenTheLeaderIsKilled(t *testing.T) {
	t.Parallel()
	const many = 200
	configure := func(c *config.Config) {
		unlimited(c)
		reporting(config.OpenReports)(c)
		c.Audit.Reports.MaxResults = many
	}
	c := ownCluster(t, sandbox.Options{Reports: []string{config.OpenReports},
		Epitaph: sandbox.EpitaphOptions{Configure: configure}})
	second, err := c.AddEpitaph(t.Context(), sandbox.EpitaphOptions{Configure: configure})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(second.Stop)
	ns, by, kind := c.namespace(t), c.as(t, runner), reportKinds[config.OpenReports].namespaced
	uids := c.unbound(t, ns, many)
	began := time.Now()
	each(many, func(i int) {
		if i == many/2 {
			c.Epitaph.Kill()
		}
		c.insistsOnDeleting(t, by, ns, fmt.Sprintf("p-%d", i))
	})
	c.onceEach(t, ns, uids)
	c.eventually(t, "all are reported", func(ctx context.Context) (bool, error) {
		u := c.theReport(ctx, t, kind, ns)
		return u != nil && len(resultsIn(u)) == many, nil
	})
	about := map[string]int{}
	for _, name := range namesIn(c.theReport(t.Context(), t, kind, ns)) {
		about[name]++
	}
	for _, name := range uids {
		if about[name] != 1 {
			t.Errorf("pod %s is reported %d times, want once", name, about[name])
		}
	}
	path := "/apis/openreports.io/v1alpha1/namespaces/" + ns + "/reports"
	writes, limit := c.asked(t, "create", path)+c.asked(t, "update", path),
		int(time.Since(began)/reportEvery)+2
	if writes == 0 || writes > limit {
		t.Errorf("%d writes to the report, want at most one each second: %d", writes, limit)
	}
	t.Logf("%d findings in %.0f s took %d writes to the report", many, time.Since(began).Seconds(),
		writes)
}

// Epitaph starts without the definitions, goes on recording, and reports once they are there: again
// after they were removed.
func TestReportsWhenTheirDefinitionsComeAndGo(t *testing.T) {
	t.Parallel()
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{
			Configure: reporting(config.OpenReports)}})
	ns, by, kind := c.namespace(t), c.as(t, runner), reportKinds[config.OpenReports].namespaced
	c.unbound(t, ns, 2)
	c.insistsOnDeleting(t, by, ns, "p-0")
	c.recorded(t, ns, "p-0")
	c.notInstalled(t, 0)
	if log := logged(t, c); !strings.Contains(log, `report not written, will be retried`) ||
		!strings.Contains(log, `"outcome":"not-installed"`) {
		t.Error("the log does not tell that reports are not known")
	}
	for _, next := range []string{"p-0", "p-1"} {
		if next == "p-1" {
			c.insistsOnDeleting(t, by, ns, next)
			c.recorded(t, ns, next)
		}
		if err := c.DefineReports(t.Context(), config.OpenReports); err != nil {
			t.Fatal(err)
		}
		c.eventually(t, next+" is reported", func(ctx context.Context) (bool, error) {
			u := c.theReport(ctx, t, kind, ns)
			return u != nil && strings.Contains(fmt.Sprint(namesIn(u)), next), nil
		})
		if next == "p-0" {
			before := c.metricOf(t, reports.MetricReports, "outcome", "not-installed")
			c.undefineReports(t)
			c.finding(t, ns, "wakes", time.Now().Add(-time.Hour))
			c.notInstalled(t, before)
		}
	}
}

// notInstalled waits until Epitaph has noticed that it cannot report.
func (c *cluster) notInstalled(t *testing.T, before float64) {
	t.Helper()
	c.eventually(t, "Epitaph sees that the API server knows no reports",
		func(context.Context) (bool, error) {
			return c.metricOf(t, reports.MetricReports, "outcome", "not-installed") > before, nil
		})
}

// undefineReports removes the definitions of OpenReports, and waits until nothing is served any
// more.
func (c *cluster) undefineReports(t *testing.T) {
	t.Helper()
	for _, name := range []string{"reports.openreports.io", "clusterreports.openreports.io"} {
		if err := c.client.RESTClient().Delete().AbsPath(
			"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/" +
				name).Do(t.Context()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	c.eventually(t, "reports are not served", func(ctx context.Context) (bool, error) {
		_, err := c.client.RESTClient().Get().AbsPath("/apis/openreports.io/v1alpha1").DoRaw(ctx)
		return err != nil, nil
	})
}
