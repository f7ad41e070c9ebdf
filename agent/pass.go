package agent

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/epitaph-k8s/epitaph/agent/configfs"
	"github.com/epitaph-k8s/epitaph/agent/fault"
	"github.com/epitaph-k8s/epitaph/agent/listeners"
)

// A Result is the outcome of a pass.
type Result struct {
	// SpeaksTo are the targets that the kernel has now.
	SpeaksTo []configfs.Target
	Faults   []*fault.Fault
}

// blame notes a fault, each once.
func (r *Result) blame(err error) {
	if err == nil {
		return
	}
	f := fault.Of(err)
	if !slices.ContainsFunc(r.Faults, func(g *fault.Fault) bool { return g.Error() == f.Error() }) {
		r.Faults = append(r.Faults, f)
	}
}

// Pass makes everything right once.
func (a *Agent) Pass(ctx context.Context) Result {
	var r Result
	r.blame(a.work(ctx, &r))
	r.blame(a.hold(ctx))
	r.blame(a.setConsoleLevel())
	a.ensurePanicIsSent(&r)
	r.blame(a.findLastBoot())
	if a.Also != nil {
		for _, err := range a.Also() {
			r.blame(err)
		}
	}
	r.blame(a.report(ctx, r))
	// After the report: whoever acts upon the evidence needs the report.
	r.blame(a.reportLastPanic(ctx))
	a.metrics.observe(r)
	a.tell(r)
	a.heartbeat.beat()
	return r
}

// work makes the kernel's targets as they should be.
func (a *Agent) work(ctx context.Context, r *Result) error {
	files, err := a.Files()
	if err != nil {
		r.SpeaksTo = a.unseen(err)
		return err
	}
	kernel := configfs.On(files)
	found, err := kernel.Found()
	if err != nil {
		return err
	}
	if err := a.secret.recall(kernel); err != nil {
		return err
	}
	for _, t := range a.targets(ctx, r, found) {
		made, err := kernel.Set(t, a.userdata())
		r.blame(err)
		if made {
			a.metrics.made.Inc()
		}
		if err == nil {
			r.SpeaksTo = append(r.SpeaksTo, t)
		}
	}
	a.speaksTo = r.SpeaksTo
	r.blame(a.replace(kernel, found, r.SpeaksTo))
	return a.share(ctx, kernel, r.SpeaksTo)
}

// unseen returns the targets that the kernel still has while its configfs cannot be seen: they
// outlive its mount (configfs pins what was made in it, fs/configfs/mount.c). A kernel without the
// module has none.
func (a *Agent) unseen(err error) []configfs.Target {
	if code := fault.Of(err).Code; code == fault.NoConfigfs || code == fault.NoPermission {
		return a.speaksTo
	}
	return nil
}

// targets returns what the kernel should have: the way to each chosen listener. If there is no way
// to a listener, the next one takes its place; one whose link-layer address is merely not known yet
// keeps its place.
func (a *Agent) targets(ctx context.Context, r *Result, found []configfs.Found) []configfs.Target {
	var all []configfs.Target
	waiting := 0
	for _, l := range a.candidates(ctx, r, found) {
		if len(all)+waiting == a.Config.MaxListeners {
			break
		}
		way, err := a.Way(l.Address.Addr())
		r.blame(err)
		switch {
		case err == nil:
			all = append(all, configfs.Target{
				Device: way.Device, Source: netip.AddrPortFrom(way.Source,
					uint16(a.Config.SourcePort)), Listener: l.Address, NextHop: way.NextHop,
			})
		case fault.Of(err).Code == fault.NoNeighbour:
			waiting++
		}
	}
	return all
}

// sourceTimeout bounds the request for listeners: while there is no answer, the known ones are
// kept.
const sourceTimeout = 5 * time.Second

// candidates returns the listeners in the order in which this node wants them. If there are none at
// the moment, those known before stay, even those that only the kernel remembers.
func (a *Agent) candidates(ctx context.Context, r *Result,
	found []configfs.Found) []listeners.Listener {
	ctx, cancel := context.WithTimeout(ctx, sourceTimeout)
	defer cancel()
	all, err := a.Source.Listeners(ctx)
	if err != nil {
		r.blame(fault.New(fault.ListenersUnread, err,
			"read who listens",
			"the known listeners are kept; the agent needs to list EndpointSlices in Epitaph's namespace"))
	}
	own, err := a.Own()
	r.blame(err)
	all = slices.DeleteFunc(all,
		func(l listeners.Listener) bool { return slices.Contains(own, l.Address.Addr()) })
	if chosen := listeners.Choose(all, a.Node, len(all)); len(chosen) > 0 {
		a.known = chosen
		return chosen
	}
	if len(r.Faults) == 0 {
		r.blame(fault.New(fault.NoListener, nil, "there is no listener on another node",
			"run at least two replicas of the manager with hostNetwork, and name their headless Service in agent.service, or write addresses in agent.listeners"))
	}
	if len(a.known) == 0 {
		a.known = remembered(found)
	}
	return a.known
}

// remembered returns the listeners that the kernel sends to.
func remembered(found []configfs.Found) []listeners.Listener {
	var all []netip.AddrPort
	for _, f := range found {
		if f.Listener.IsValid() && !slices.Contains(all, f.Listener) {
			all = append(all, f.Listener)
		}
	}
	return listeners.ByHand(all)
}

// replace removes what has been replaced: other ways to a listener that the kernel sends to now,
// and, once it sends to any, listeners that are no longer wanted. A target of a listener that
// cannot be reached at the moment stays.
func (a *Agent) replace(kernel *configfs.Kernel, found []configfs.Found,
	speaks []configfs.Target) error {
	var failed []error
	for _, f := range found {
		current := slices.ContainsFunc(speaks,
			func(t configfs.Target) bool { return t.Name() == f.Name })
		replaced := slices.ContainsFunc(speaks,
			func(t configfs.Target) bool { return t.Listener == f.Listener })
		enough := len(speaks) > 0 && (len(speaks) == a.Config.MaxListeners || !a.wants(f.Listener))
		if current || !replaced && !enough {
			continue
		}
		if err := kernel.Remove(f.Name); err != nil {
			failed = append(failed, err)
			continue
		}
		a.metrics.removed.Inc()
	}
	return errors.Join(failed...)
}

// wants reports whether a listener is still wanted.
func (a *Agent) wants(address netip.AddrPort) bool {
	return slices.ContainsFunc(a.known,
		func(l listeners.Listener) bool { return l.Address == address })
}
