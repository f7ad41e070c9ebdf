package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/epitaph-k8s/epitaph/agent"
	"github.com/epitaph-k8s/epitaph/agent/configfs"
	"github.com/epitaph-k8s/epitaph/agent/crash"
	"github.com/epitaph-k8s/epitaph/agent/lastboot"
	"github.com/epitaph-k8s/epitaph/agent/resetreason"
	"github.com/epitaph-k8s/epitaph/agent/route"
	"github.com/epitaph-k8s/epitaph/config"
)

// agentFlags are how `epitaph agent` was called.
type agentFlags struct {
	file, kubeconfig, node, listeners string
	once, dryRun, remove, stay        bool
	verbosity                         int
}

func agentCommand() *cobra.Command {
	f := agentFlags{}
	c := &cobra.Command{
		Use:   "agent [--config FILE]",
		Short: "Run on a node and have its kernel speak to the listeners",
		Example: `  epitaph agent --config FILE                  run, and follow every change
  epitaph agent --listeners 10.0.0.9:6666      without an API server: addresses by hand
  epitaph agent --config FILE --dry-run        print what would be written`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return usage(c, err)
			}
			return f.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f.bind(c.Flags())
	return c
}

func (f *agentFlags) bind(flags *pflag.FlagSet) {
	flags.StringVar(&f.file, "config", "", "the configuration `file`; without it, the defaults")
	flags.StringVar(&f.node, "node", os.Getenv("NODE_NAME"),
		"the `name` of this machine's Node; by default that of the variable NODE_NAME, else the host's")
	flags.StringVar(&f.listeners, "listeners", "",
		"`addresses` of listeners, each IP:port, with commas between; instead of the configuration's")
	flags.BoolVar(&f.once, "once", false,
		"set netconsole up and end; nothing is followed then, and nobody holds the source port")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print what would be written, and write nothing")
	flags.BoolVar(&f.remove, "remove", false,
		"take everything away that the agent has set up, and end")
	flags.BoolVar(&f.stay, "stay", false,
		"with --remove: do not end, and be ready once all is gone; for a DaemonSet")
	clusterFlags(flags, &f.kubeconfig, &f.verbosity)
}

// check refuses flags that exclude each other.
func (f *agentFlags) check() error {
	if f.once && f.dryRun || f.once && f.remove || f.dryRun && f.remove {
		return errors.New("--once, --dry-run and --remove exclude each other: choose one")
	}
	if f.stay && !f.remove {
		return errors.New("--stay goes with --remove alone: without either, the agent stays")
	}
	return nil
}

// load reads the configuration. Flags override it.
func (f *agentFlags) load() (config.Config, error) {
	c := config.Default()
	if f.file != "" {
		var err error
		if c, err = config.Load(f.file); err != nil {
			return c, err
		}
	}
	if f.listeners != "" {
		c.Agent.Listeners = nil
		for _, text := range strings.Split(f.listeners, ",") {
			address, err := netip.ParseAddrPort(strings.TrimSpace(text))
			if err != nil {
				return c, fmt.Errorf(
					"read --listeners: %q is no address: write an IP address and a port, for example 10.0.0.9:6666 or [fd00::9]:6666", text)
			}
			c.Agent.Listeners = append(c.Agent.Listeners, address)
		}
	}
	return c, errors.Join(c.Validate()...)
}

func (f *agentFlags) run(ctx context.Context, stdout, stderr io.Writer) error {
	c, err := f.load()
	if err != nil {
		return err
	}
	log := logTo(stderr, f.verbosity)
	if err := registerBuildInfo(metrics.Registry); err != nil {
		return err
	}
	o, err := f.options(c)
	if err != nil {
		return err
	}
	o.Log = log.WithName("agent")
	cluster, err := f.connect(c, &o)
	if err != nil {
		return err
	}
	watchers := f.watchers(c, &o)
	a, err := agent.New(o)
	if err != nil {
		return err
	}
	switch {
	case f.remove && f.stay:
		return removeAndStay(ctx, a, o)
	case f.remove:
		return a.Remove(ctx)
	case f.dryRun:
		a.Rehearse(ctx, stdout)
		return nil
	case f.once:
		return once(ctx, a, stdout)
	default:
		return follow(ctx, a, o, cluster, watchers)
	}
}

// A watcher waits for an end of the machine that somebody plans.
type watcher interface {
	Run(ctx context.Context) error
}

// watchers are those that are enabled.
func (f *agentFlags) watchers(c config.Config, o *agent.Options) []watcher {
	var all []watcher
	if w := f.shutdown(c, o); w != nil {
		all = append(all, w)
	}
	if w := f.cloud(c, o); w != nil {
		all = append(all, w)
	}
	return all
}

// follows reports whether the agent stays and follows every change.
func (f *agentFlags) follows() bool { return !f.once && !f.dryRun && !f.remove }

// options are those that need no API server.
func (f *agentFlags) options(c config.Config) (agent.Options, error) {
	bootID, release, err := agent.Machine()
	if err != nil {
		return agent.Options{}, err
	}
	if f.node == "" {
		if f.node, err = os.Hostname(); err != nil {
			return agent.Options{}, fmt.Errorf(
				"ask for the host's name: %w: name the node with --node", err)
		}
	}
	// Neither a dry run nor a removal needs the module.
	mayLoad := c.Agent.LoadModule && !f.dryRun && !f.remove
	return agent.Options{
		Config: c.Agent, Node: f.node, BootID: bootID, Kernel: release,
		Files: func() (configfs.Files, error) {
			return configfs.Prepare(c.Agent.Configfs, mayLoad, configfs.Host{})
		},
		Way: route.To, Own: route.Own, Hold: agent.HoldPort, ConsoleLevel: agent.SetConsoleLevel,
		Proc:      "/proc",
		Watchdogs: watchdogs, LastBoot: f.lastBoot(c.Agent.LastBoot),
		Uptime: agent.Uptime,
		Clock:  clock.RealClock{}, Registerer: metrics.Registry,
	}, nil
}

// watchdogs is where the kernel shows those of the machine, in a container, too.
const watchdogs = "/sys/class/watchdog"

// lastBoot finds out how the previous boot ended. It is nil unless the agent stays and may do so.
func (f *agentFlags) lastBoot(c config.LastBoot) agent.LastBoot {
	if !c.Enabled || !f.follows() {
		return nil
	}
	places := crash.Places{Pstore: c.Pstore, Moved: c.SystemdPstore, Kdump: c.Kdump}
	machine := resetreason.Places{Firmware: c.Firmware, Watchdogs: watchdogs}
	if c.KernelLog {
		machine.Log = agent.KernelLog
	}
	return &lastboot.History{Dir: c.State, Dumps: places.Dumps, Reasons: machine.Reasons,
		Remove: c.Remove}
}

// once sets everything up and prints the result.
func once(ctx context.Context, a *agent.Agent, stdout io.Writer) error {
	r := a.Once(ctx)
	if _, err := io.WriteString(stdout, r.String()); err != nil {
		return fmt.Errorf("say what came of it: %w", err)
	}
	if len(r.Faults) > 0 {
		return fmt.Errorf("set netconsole up: something is wrong (%s)", r.Faults[0].Code)
	}
	return nil
}

// follow runs until the context ends.
func follow(ctx context.Context, a *agent.Agent, o agent.Options, cluster connection,
	watchers []watcher) error {
	work, ctx := errgroup.WithContext(ctx)
	changed := make(chan struct{}, 1)
	if err := serveProbes(ctx, work, o.Config.MetricsAddress, a.Alive, a.Ready); err != nil {
		return err
	}
	if err := cluster.watch(ctx, changed); err != nil {
		return err
	}
	if cluster.cache != nil {
		work.Go(func() error { return cluster.cache.Start(ctx) })
	}
	work.Go(func() error {
		route.Follow(ctx, o.Clock, o.Log, changed)
		return nil
	})
	for _, w := range watchers {
		work.Go(func() error { return w.Run(ctx) })
	}
	work.Go(func() error { return a.Run(ctx, changed) })
	return work.Wait()
}

// serveProbes has the metrics, and what the kubelet probes beside them, served until the context
// ends; nothing is without an address.
func serveProbes(ctx context.Context, work *errgroup.Group, address string,
	alive, ready func() error) error {
	if address == "" {
		return nil
	}
	answers := func(is func() error) http.Handler {
		return healthz.CheckHandler{Checker: func(*http.Request) error { return is() }}
	}
	server, err := metricsserver.NewServer(metricsserver.Options{BindAddress: address,
		ExtraHandlers: map[string]http.Handler{
			"/healthz": answers(alive), "/readyz": answers(ready)}}, nil, nil)
	if err != nil {
		return fmt.Errorf("serve metrics: %w", err)
	}
	work.Go(func() error { return server.Start(ctx) })
	return nil
}
