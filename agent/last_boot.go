package agent

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/agent/fault"
	"github.com/epitaph-k8s/epitaph/agent/lastboot"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

// findLastBoot finds out how the boot before this one ended.
func (a *Agent) findLastBoot() error {
	if a.LastBoot == nil {
		return nil
	}
	uptime, err := a.Uptime()
	if err != nil {
		return err
	}
	end, err := a.LastBoot.Look(lastboot.Moment{BootID: a.BootID, Now: a.Clock.Now(),
		Uptime: uptime})
	a.observeEnd(end)
	if err != nil {
		return unread(err, "find out how the last boot ended")
	}
	return nil
}

func unread(err error, what string) error {
	return fault.New(fault.LastBootUnread, err, what,
		"give the agent the host's folders of agent.lastBoot, writable where docs/agent.md says so")
}

// reportLastPanic makes a panic of the boot before this one evidence on the Node, once; if the API
// server does not answer, in a later pass.
func (a *Agent) reportLastPanic(ctx context.Context) error {
	end := a.lastEnd
	if a.Cluster == nil || end == nil || end.How != lastboot.Panic || end.Told {
		return nil
	}
	if err := a.writeEvidence(ctx, *end); err != nil {
		return err
	}
	if err := a.LastBoot.Told(); err != nil {
		return unread(err, "record that the end of the last boot was reported")
	}
	return nil
}

// observeEnd logs what is new.
func (a *Agent) observeEnd(end *lastboot.End) {
	a.metrics.end(end)
	if end != nil && (a.lastEnd == nil || a.lastEnd.How != end.How ||
		a.lastEnd.Cause != end.Cause) {
		a.Log.Info("the boot before this one has ended", "bootID", end.BootID, "how", end.How,
			"line", end.Line, "cause", end.Cause, "detail", end.Detail, "source", end.Source)
	}
	a.lastEnd = end
}

// writeEvidence writes the panic onto the Node as evidence of the boot that is over, marked as
// found later.
func (a *Agent) writeEvidence(ctx context.Context, end lastboot.End) error {
	e := reason.Evidence{
		What: reason.EvidencePanic, Detail: end.Line, When: end.At, BootID: end.BootID,
		Found: end.Found, Source: end.Source,
	}
	return a.write(ctx, reason.EvidenceKey, e, func(ctx context.Context, node *corev1.Node) error {
		return a.Cluster.Terminator.AddEvidence(ctx, node, e)
	})
}

// lastBoot returns what the report says of the boot before this one.
func (a *Agent) lastBoot() *termination.LastBoot {
	end := a.lastEnd
	if end == nil {
		return nil
	}
	return &termination.LastBoot{
		BootID: end.BootID, Ended: string(end.How), Panic: end.Line, At: end.At,
		Cause: string(end.Cause), Detail: end.Detail, Source: end.Source, Back: end.Back,
		KernelLog: end.Log,
	}
}
