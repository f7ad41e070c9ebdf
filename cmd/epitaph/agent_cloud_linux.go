package main

import (
	"github.com/epitaph-k8s/epitaph/agent"
	"github.com/epitaph-k8s/epitaph/agent/metadata"
	"github.com/epitaph-k8s/epitaph/config"
)

// cloud hears what the cloud announces for the machine. It is nil where there is no API server to
// tell, and for an agent that does not stay.
func (f *agentFlags) cloud(c config.Config, o *agent.Options) *metadata.Watcher {
	if !c.Agent.Cloud.Enabled || o.Cluster == nil || !f.follows() {
		return nil
	}
	w := metadata.New(metadata.Options{
		Config: c.Agent.Cloud, Node: o.Node, BootID: o.BootID, Live: o.Cluster.Live,
		Terminator: o.Cluster.Terminator, Clock: o.Clock, Log: o.Log.WithName("cloud"),
	})
	o.Also, o.Cloud = and(o.Also, w.Faults), w.State
	return w
}

// and joins two lists of faults, of which the first may be missing.
func and(first, second func() []error) func() []error {
	if first == nil {
		return second
	}
	return func() []error { return append(first(), second()...) }
}
