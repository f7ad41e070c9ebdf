// Command certmanager runs cert-manager's controllers and its CA injector in one process, for the
// tests of the chart.
//
//	certmanager --kubeconfig FILE
//
// They are the packages of the released module, started as its own programs start them: those are
// modules of their own with a replace directive, which cannot be fetched. Left out are its
// admission webhook (it cannot be imported, and issues nothing) and the controllers of what the
// chart does not use: ACME, ingresses, gateways, other issuers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctrl.SetLogger(klog.Background())
	flag.Parse()
	// controller-runtime has defined the flag --kubeconfig, and a second definition would panic.
	if err := run(ctx, flag.Lookup("kubeconfig").Value.String()); err != nil {
		fmt.Fprintln(os.Stderr, "certmanager:", err)
		os.Exit(1)
	}
}

// run returns when one of the parts has ended.
func run(ctx context.Context, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts := []func(context.Context) error{
		func(ctx context.Context) error { return runControllers(ctx, kubeconfig) },
		func(ctx context.Context) error { return runInjector(ctx, config) },
	}
	ended := make(chan error, len(parts))
	for _, part := range parts {
		go func() {
			defer cancel()
			ended <- part(ctx)
		}()
	}
	var all error
	for range parts {
		all = errors.Join(all, <-ended)
	}
	return all
}
