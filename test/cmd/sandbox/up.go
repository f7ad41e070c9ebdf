package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/demo"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// preferredNetconsole is where Linux sends kernel messages unless told another port, if that is
// free here.
const preferredNetconsole = "127.0.0.1:6666"

// upOptions are the flags of up.
type upOptions struct {
	nodes                     int
	netconsole                string
	withoutEpitaph, builtInGC bool
	demo                      bool
}

func (o *upOptions) flags() *flag.FlagSet {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.IntVar(&o.nodes, "nodes", sandbox.DefaultNodes, "how many nodes")
	flags.StringVar(&o.netconsole, "netconsole", "",
		"UDP address of netconsole (default "+preferredNetconsole+
			", or another port if that is taken)")
	flags.BoolVar(&o.withoutEpitaph, "without-epitaph", false, "start the cluster only")
	flags.BoolVar(&o.builtInGC, "built-in-gc", false,
		"leave kube-controller-manager's own pod garbage collector on")
	flags.BoolVar(&o.demo, "demo", false, "make the demonstration's pods and its Job")
	return flags
}

// up runs a sandbox until ctx ends, and does what is typed meanwhile.
func up(ctx context.Context, out io.Writer, args []string) error {
	var o upOptions
	flags := o.flags()
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(out)
		flags.PrintDefaults()
		return nil
	case err != nil:
		return fmt.Errorf("%w: %w", errUsage, err)
	case o.demo && (o.withoutEpitaph || o.nodes < sandbox.DefaultNodes):
		return fmt.Errorf("%w: -demo needs Epitaph and %d nodes", errUsage, sandbox.DefaultNodes)
	case flags.NArg() > 0:
		return fmt.Errorf("%w: up takes no arguments, and was given %q", errUsage, flags.Arg(0))
	}
	nodes, err := sandbox.NumberedNodes(o.nodes)
	if err != nil {
		return fmt.Errorf("%w: -nodes: %w", errUsage, err)
	}
	return o.run(ctx, out, nodes)
}

func (o upOptions) run(ctx context.Context, out io.Writer, nodes []sandbox.NodeSpec) error {
	ctrl.SetLogger(logr.Discard()) // What the client library logs is of no use here.
	checkout, err := binaries.Checkout()
	if err != nil {
		return err
	}
	claim, err := claimFolder(filepath.Join(checkout, ".cache", "sandbox"))
	if err != nil {
		return err
	}
	defer claim.release()
	if o.netconsole == "" {
		o.netconsole = preferOr(preferredNetconsole, out)
	}
	began := time.Now()
	fmt.Fprintln(out, "starting the sandbox")
	s, err := sandbox.Start(ctx, sandbox.Options{
		Dir: claim.dir, Out: out, Nodes: nodes, BuiltInPodGC: o.builtInGC,
		Epitaph: sandbox.EpitaphOptions{LeaveOut: o.withoutEpitaph, Netconsole: o.netconsole,
			Configure: func(c *config.Config) { c.Page.Enabled = true }},
	})
	if err != nil {
		return err
	}
	defer func() {
		fmt.Fprintln(out, "\nstopping")
		s.Stop()
	}()
	bin := filepath.Join(claim.dir, "bin")
	if err := o.furnish(ctx, out, s, bin); err != nil {
		return err
	}
	if err := claim.describe(s); err != nil {
		return err
	}
	fmt.Fprintf(out, "up in %.1f s\n\n", time.Since(began).Seconds())
	introduce(out, s, bin)
	go obey(ctx, os.Stdin, out, s) // It ends with the process: nothing interrupts a read of a terminal.
	return s.Wait(ctx)
}

// visitor is a service account that may read everything, the page included.
const visitor = "visitor"

// furnish adds what a person at the keyboard expects: the plugin beside kubectl, somebody who may
// open the page, kernels that sign, and the demonstration's objects where they are asked for.
func (o upOptions) furnish(ctx context.Context, out io.Writer, s *sandbox.Sandbox,
	bin string) error {
	if s.Epitaph == nil {
		return nil
	}
	if err := binaries.Product(ctx, out, "kubectl-epitaph",
		filepath.Join(bin, "kubectl-epitaph")); err != nil {
		return err
	}
	if _, err := s.ServiceAccount(ctx, metav1.NamespaceDefault, visitor,
		"cluster-admin"); err != nil {
		return err
	}
	if err := demo.Announce(ctx, s); err != nil {
		return err
	}
	if o.demo {
		return demo.Populate(ctx, out, s)
	}
	return nil
}

// preferOr returns the address, or nothing, for "any", where it is taken.
func preferOr(address string, out io.Writer) string {
	conn, err := net.ListenPacket("udp4", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		fmt.Fprintf(out, "%s is taken; netconsole gets another port\n", address)
		return ""
	}
	if err == nil {
		_ = conn.Close()
	}
	return address
}

func introduce(out io.Writer, s *sandbox.Sandbox, bin string) {
	fmt.Fprintf(out, "export KUBECONFIG=%s\nexport PATH=%s:%s:$PATH   # kubectl, kubectl epitaph\n\n",
		s.Kubeconfig, filepath.Dir(s.Programs["kubectl"]), bin)
	fmt.Fprint(out, help+"\n")
	if s.Epitaph != nil {
		fmt.Fprintf(out, "drain a node                 kubectl epitaph drain node-2 %s\n",
			`--ignore-daemonsets --force --reason "kernel update"`)
		fmt.Fprintf(out, "what was it?                 kubectl epitaph list; kubectl epitaph why NAME\n")
		fmt.Fprintf(out, "page                         https://%s   (sign in: kubectl create token %s)\n",
			s.Epitaph.Config.Page.Address, visitor)
		fmt.Fprintf(out, "netconsole                   udp %s\n",
			s.Epitaph.Config.Netconsole.Address)
		fmt.Fprintf(out, "metrics                      curl -k --oauth2-bearer $(%s) %s\n",
			"kubectl -n kube-system create token epitaph-metrics-reader", s.Epitaph.MetricsURL)
	}
	fmt.Fprintf(out, "logs                         %s\n\n", s.Logs)
	for _, n := range s.Nodes() {
		fmt.Fprintf(out, "%-10s %s\n", n.Name, n.Address)
	}
	fmt.Fprintln(out, "\nCtrl-C stops everything")
}
