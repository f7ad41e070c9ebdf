package doctor

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// agents examines the DaemonSet of the node agents, and their reports about their nodes.
func agents(ctx context.Context, p *patient) []Diagnosis {
	installed, found := agentSet(ctx, p)
	c, err := takeCensus(ctx, p)
	switch {
	case err != nil:
		return append(installed, Diagnosis{Unseen, "agents' reports", err.Error()})
	case !found && c.reports == 0:
		return installed // There are no agents, which has been reported.
	default:
		return append(installed, c.diagnoses()...)
	}
}

func agentSet(ctx context.Context, p *patient) (all []Diagnosis, found bool) {
	const what = "agents"
	sets := &appsv1.DaemonSetList{}
	err := p.List(ctx, sets, client.InNamespace(p.system),
		client.MatchingLabels{"app.kubernetes.io/component": "agent"})
	switch {
	case err != nil:
		return []Diagnosis{{Unseen, what, err.Error()}}, false
	case len(sets.Items) == 0:
		return []Diagnosis{{Dubious, what, "there is no DaemonSet of agents in " + p.system +
			": unless your images set netconsole up, no panic is heard, and nobody tells who halted a node"}}, false
	}
	s := sets.Items[0].Status
	ready := fmt.Sprintf("%d of %d are ready", s.NumberReady, s.DesiredNumberScheduled)
	if s.NumberReady < s.DesiredNumberScheduled {
		return []Diagnosis{{Dubious, what, ready + ": kubectl -n " + p.system +
			" get pods -l app.kubernetes.io/component=agent"}}, true
	}
	return []Diagnosis{{Well, what, ready}}, true
}

// nodesAtOnce bounds how many Nodes one request reads, and so the memory that a large cluster
// takes.
const nodesAtOnce = 500

// takeCensus reads what the agents have written onto the Nodes.
func takeCensus(ctx context.Context, p *patient) (*census, error) {
	c := newCensus()
	next := ""
	for {
		page := &corev1.NodeList{}
		if err := p.List(ctx, page, client.Limit(nodesAtOnce), client.Continue(next)); err != nil {
			return nil, fmt.Errorf("list nodes: %w", err)
		}
		for n := range page.Items {
			c.count(&page.Items[n])
		}
		if next = page.Continue; next == "" {
			return c, nil
		}
	}
}
