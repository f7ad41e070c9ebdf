package e2e

import (
	"context"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/agent/fault"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// may waits until the API server's authorizer allows the agent something, or no longer does.
func (a *agentProcess) may(t *testing.T, w withdrawal, want bool) {
	t.Helper()
	resource, subresource, _ := strings.Cut(w.resource, "/")
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: "system:serviceaccount:" + ourNamespace + ":" + string(theAgent),
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: w.verb, Group: w.group,
			Resource: resource, Subresource: subresource, Namespace: w.in},
	}}
	a.eventually(t, "the authorizer knows the rules", func(ctx context.Context) (bool, error) {
		answer, err := a.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, review,
			metav1.CreateOptions{})
		return err == nil && answer.Status.Allowed == want, nil
	})
}

func agentWithdrawals() []withdrawal {
	return []withdrawal{
		{resource: "nodes", verb: "get", says: `cannot get resource "nodes"`,
			breaks: "`NodeUnwritten`: no report, no secret, and nobody is named for a shutdown"},
		{resource: "nodes/status", verb: "patch", says: `cannot patch resource "nodes/status"`,
			breaks: "`NodeUnwritten`: the same"},
		{resource: "endpointslices", group: "discovery.k8s.io", verb: "list", in: ourNamespace,
			says:   `cannot list resource "endpointslices"`,
			breaks: "`ListenersUnread`: the known listeners are kept, and a new node has none"},
	}
}

// Each rule of the agent's roles is taken away in turn: it says what it can no longer do.
func TestEveryRuleOfTheAgentIsNeeded(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{LeaveOut: true}})
	a := c.agentProcess(t)
	all := agentWithdrawals()
	wantEachRule(t, c, theAgent, all)
	if !t.Run("with all", func(t *testing.T) { a.worksWithItsRights(t) }) {
		return
	}
	for _, w := range all {
		t.Run("without "+w.verb+" "+w.resource, func(t *testing.T) {
			a.forgets(t)
			putBack := c.withdraw(t, theAgent, w)
			defer func() { putBack(); a.may(t, w, true) }()
			a.may(t, w, false)
			if w.in != "" {
				a.wantsListeners(t, w)
			} else {
				a.wantsItsNode(t, w)
			}
		})
	}
	t.Run("none is unused", func(t *testing.T) {
		var here usedRights
		if err := here.collect(c.Sandbox); err != nil {
			t.Fatal(err)
		}
		if unused, err := here.unused(theAgent); err != nil || len(unused) > 0 {
			t.Errorf("the agent was granted %q and has not used them (%v)", unused, err)
		}
	})
	t.Run("each part of the policy", func(t *testing.T) { everyValidationIsNeeded(t, c, a.node) })
}

// worksWithItsRights wants the agent to know who listens, and to write onto its Node.
func (a *agentProcess) worksWithItsRights(t *testing.T) {
	a.follows(t)
	a.eventually(t, "the Node has a report", func(context.Context) (bool, error) {
		report, _ := a.report(t, a.node)
		return len(report.Troubles) > 0, nil
	})
	report, _ := a.report(t, a.node)
	for _, trouble := range report.Troubles {
		if trouble.Code == string(fault.NodeUnwritten) ||
			trouble.Code == string(fault.ListenersUnread) {
			t.Errorf("the agent reports %s: %s", trouble.Code, trouble.Text)
		}
	}
	for _, path := range []string{"/readyz", "/healthz", "/metrics"} {
		a.answers(t, path)
	}
	// Nobody listens here: an agent of this machine would send packets to whoever did.
	if said := a.rehearses(t); !strings.Contains(said, string(fault.NoConfigfs)) ||
		strings.Contains(said, string(fault.ListenersUnread)) {
		t.Errorf("the agent could not read who listens:\n%s", said)
	}
}

func (a *agentProcess) wantsItsNode(t *testing.T, w withdrawal) {
	log := a.follows(t)
	a.eventually(t, "the log tells: "+w.says, func(context.Context) (bool, error) {
		said := log()
		return strings.Contains(said, string(fault.NodeUnwritten)) &&
			strings.Contains(said, w.says), nil
	})
	if report, _ := a.report(t, a.node); report.BootID != "" {
		t.Errorf("the Node has the report %+v", report)
	}
}

func (a *agentProcess) wantsListeners(t *testing.T, w withdrawal) {
	said := a.rehearses(t)
	if !strings.Contains(said, string(fault.ListenersUnread)) || !strings.Contains(said, w.says) {
		t.Errorf("the agent says\n%s\nwithout %s and %q", said, fault.ListenersUnread, w.says)
	}
	log := a.follows(t)
	a.eventually(t, "the log tells: "+w.says,
		func(context.Context) (bool, error) { return strings.Contains(log(), w.says), nil })
}
