package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"syscall"
	"time"

	"github.com/epitaph-k8s/epitaph/test/binaries"
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
	return flags
}

// up runs a sandbox until ctx ends.
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
		Epitaph: sandbox.EpitaphOptions{LeaveOut: o.withoutEpitaph, Netconsole: o.netconsole},
	})
	if err != nil {
		return err
	}
	defer func() {
		fmt.Fprintln(out, "\nstopping")
		s.Stop()
	}()
	if err := claim.describe(s); err != nil {
		return err
	}
	fmt.Fprintf(out, "up in %.1f s\n\n", time.Since(began).Seconds())
	introduce(out, s)
	return s.Wait(ctx)
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

func introduce(out io.Writer, s *sandbox.Sandbox) {
	fmt.Fprintf(out, "export KUBECONFIG=%s\nexport PATH=%s:$PATH   # kubectl\n\n", s.Kubeconfig,
		filepath.Dir(s.Programs["kubectl"]))
	fmt.Fprintf(out, "take a cloud instance away   rm %s\n", filepath.Join(s.Instances, "node-1"))
	if s.Epitaph != nil {
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
