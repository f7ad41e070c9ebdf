package e2e

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// noEdge is a manager in which nothing acts and nothing records: what others wrote is tidied up all
// the same.
func noEdge(c *config.Config) {
	quick(c)
	c.Webhook.Enabled, c.GC.Enabled, c.Netconsole.Enabled, c.Audit.Enabled, c.Page.Enabled = false,
		false, false, false, false
}

func TestSurvivedEvidenceGoesWithoutTheWebhook(t *testing.T) {
	t.Parallel()
	ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: noEdge}}).forgetsSurvived(t)
}

func TestRecordsExpireWhateverIsSwitchedOff(t *testing.T) {
	t.Parallel()
	const most, surplus = 100, 5
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(c *config.Config) {
			noEdge(c)
			c.Retention.Nodes.Max, c.Retention.Pods.MaxPerNamespace = most, 2
		}}})
	c.Epitaph.Stop() // it looks at all records when it begins to lead
	o, ns := c.memory(t), c.namespace(t)
	owners := &audit.OwnerObituaries{API: c.typed(t, c.RESTConfig()), Clock: clock.RealClock{}}
	for range most + surplus {
		name := unique("gone-")
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name,
			UID: types.UID(unique("11111111-1111-1111-"))}}
		if err := o.Record(t.Context(), node,
			reason.New(reason.Node, reason.KernelPanic, "x", "x")); err != nil {
			t.Fatal(err)
		}
		c.file(t, ns, name, time.Now())
		if err := owners.Record(t.Context(), v1alpha1.OwnerObituarySpec{APIVersion: "batch/v1",
			Kind: "Job", Namespace: ns, Name: name, UID: types.UID(name), DeletedBy: "alice",
			Deleted: "Job " + name, Created: metav1.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Epitaph.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "records beyond the numbers are gone", func(ctx context.Context) (bool, error) {
		all := &v1alpha1.NodeObituaryList{}
		err := o.Live.List(ctx, all)
		if err != nil {
			return false, err
		}
		ofOwners := &v1alpha1.OwnerObituaryList{}
		err = o.Live.List(ctx, ofOwners)
		return len(all.Items) == most && len(ofOwners.Items) == most &&
			len(c.obituaries(t, ns)) == 2, err
	})
}
