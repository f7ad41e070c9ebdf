package main

import (
	"context"

	"github.com/epitaph-k8s/epitaph/agent"
	"github.com/epitaph-k8s/epitaph/agent/shutdown"
	"github.com/epitaph-k8s/epitaph/agent/shutdown/button"
	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind"
	"github.com/epitaph-k8s/epitaph/agent/shutdown/process"
	"github.com/epitaph-k8s/epitaph/config"
)

// shutdown waits for the machine to be switched off. It is nil where there is no API server to
// tell, and for an agent that does not stay.
func (f *agentFlags) shutdown(c config.Config, o *agent.Options) *shutdown.Watcher {
	if !c.Agent.Shutdown.Enabled || o.Cluster == nil || !f.follows() {
		return nil
	}
	w := shutdown.New(shutdown.Options{
		Config: c.Agent.Shutdown, Node: o.Node, BootID: o.BootID, Live: o.Cluster.Live,
		Terminator: o.Cluster.Terminator,
		Connect: func(ctx context.Context, socket string) (shutdown.Bus, error) {
			bus, err := logind.Connect(ctx, socket)
			if err != nil {
				return nil, err
			}
			return bus, nil
		},
		Processes: process.New(c.Agent.Shutdown.Proc), Button: button.Listen, Clock: o.Clock,
		Log: o.Log.WithName("shutdown"),
	})
	o.Also = and(o.Also, w.Faults)
	return w
}
