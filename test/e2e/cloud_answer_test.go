package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// recordOf waits for the record of a Node that left.
func (c *cluster) recordOf(t *testing.T, node string) (found v1alpha1.NodeObituary) {
	t.Helper()
	c.eventually(t, "node "+node+" is on record", func(ctx context.Context) (bool, error) {
		all := &v1alpha1.NodeObituaryList{}
		err := c.typed(t, c.RESTConfig()).List(ctx, all,
			client.MatchingFields{reason.NodeNameField: node})
		if err != nil || len(all.Items) == 0 {
			return false, err
		}
		found = all.Items[0]
		return true, nil
	})
	return found
}

// answers writes what a cloud says of a node's end.
func (c *cluster) answers(t *testing.T, node string, said v1alpha1.CloudAnswer) {
	t.Helper()
	record := c.recordOf(t, node)
	asked := record.DeepCopy()
	said.Cloud, said.Asked = "aws", metav1.Now()
	asked.Status.Cloud = &said
	if err := c.typed(t, c.RESTConfig()).Status().Patch(t.Context(), asked,
		client.MergeFrom(&record)); err != nil {
		t.Fatal(err)
	}
}

// amended waits until a pod's record has a reason of this code from a cloud.
func (c *cluster) amended(t *testing.T, ns, name string, code reason.Code) v1alpha1.PodObituarySpec {
	t.Helper()
	c.eventually(t, "the record of pod "+name+" says "+string(code),
		func(context.Context) (bool, error) {
			return c.recorded(t, ns, name).Spec.Code == string(code), nil
		})
	return c.recorded(t, ns, name).Spec
}

// What the agent had heard yields to what the API says; both are kept. A pod that a person removed
// before keeps its reason.
func TestCloudKnowsBetter(t *testing.T) {
	t.Parallel()
	const detail = "Server.InternalError: the host failed"
	n := shared.cloudNode(t)
	shared.pod(t, n.ns, n.Name, "explained")
	n.announces(t, shared, "asglifecycle")
	n.evidence(t, shared, reason.EvidenceScaleIn)
	shared.annotate(t, n.ns, "explained", "frees the licence")
	shared.remove(t, shared.as(t, runner), n.ns, "explained")
	n.goes(t, shared, reason.NodeScaledDown, "its Auto Scaling group terminates it", "Amazon EC2")
	shared.recorded(t, n.ns, "p")

	panicked := "[  812.104501] Kernel panic - not syncing: Machine check"
	shared.answers(t, n.Name, v1alpha1.CloudAnswer{What: reason.EvidenceHostFailure, Who: "Amazon EC2",
		Detail: detail, When: metav1.NewTime(time.Now()), KernelLog: []string{"eth0: up", panicked}})
	p := shared.amended(t, n.ns, "p", reason.HardwareFailure)
	record := shared.recordOf(t, n.Name)
	if diff := cmp.Diff([]string{
		"This pod had to be terminated because the underlying hardware failed (" + detail + ")",
		"Amazon EC2", record.Name, "aws api", "NodeScaledDown"},
		[]string{p.Reason, p.By, p.NodeObituary, p.Amended.From, p.Amended.Was}); diff != "" {
		t.Errorf("the pod, -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"HardwareFailure",
		"This node had to be removed because its hardware failed (" + detail + ")", "aws api",
		"NodeScaledDown", reason.EvidenceScaleIn, panicked},
		[]string{record.Spec.Code, record.Spec.Reason, record.Spec.Amended.From,
			record.Spec.Amended.Was, record.Spec.Evidence[0].What,
			record.Spec.KernelLog[1]}); diff != "" {
		t.Errorf("the node, -want +got:\n%s", diff)
	}
	if e := shared.recorded(t, n.ns, "explained"); e.Spec.Amended != nil {
		t.Errorf("a reason that somebody gave was changed: %+v", e.Spec)
	}
	// It knows more when it is asked again.
	shared.answers(t, n.Name, v1alpha1.CloudAnswer{What: reason.EvidenceTerminated, Who: "alice"})
	p = shared.amended(t, n.ns, "p", reason.CloudInstanceGone)
	if !strings.HasSuffix(p.Reason, "is gone: alice terminated it in the cloud") ||
		p.Amended.Was != "NodeScaledDown" {
		t.Errorf("it says %q, before %s", p.Reason, p.Amended.Was)
	}
}
