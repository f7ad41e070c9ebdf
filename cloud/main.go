// Command epitaph-cloud asks the clouds why they took the instances of Nodes that left, and writes
// what they say into the status of the Nodes' records.
//
//	epitaph-cloud --ask aws
//
// It exits with 0, 1 (error) or 2 (wrong usage).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	// The image has no certificates of authorities.
	_ "golang.org/x/crypto/x509roots/fallback"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cloud/aws"
	"github.com/epitaph-k8s/epitaph/cloud/azure"
	"github.com/epitaph-k8s/epitaph/cloud/explain"
	"github.com/epitaph-k8s/epitaph/cloud/gcp"
	"github.com/epitaph-k8s/epitaph/cloud/inquiry"
)

// version is stamped by the build: -ldflags "-X main.version=v1.2.3".
var version = "devel"

// The exit codes beside 0.
const (
	exitError = 1
	exitUsage = 2
)

// atOnce is how many records are asked about at the same time: one that hangs must not hold up the
// others.
const atOnce = 4

var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stderr)
	if err == nil || errors.Is(err, pflag.ErrHelp) {
		return
	}
	fmt.Fprintln(os.Stderr, "epitaph-cloud:", err)
	if errors.Is(err, errUsage) {
		os.Exit(exitUsage)
	}
	os.Exit(exitError)
}

// settings are the flags.
type settings struct {
	ask                    []string
	timeout                time.Duration
	perSecond              float32
	metrics, health        string
	namespace, kubeconfig  string
	leaderElect            bool
	verbosity              int
	awsRegion, awsEndpoint string
}

// clouds are those that can be asked.
var clouds = map[string]func(context.Context, settings) (explain.Asker, error){
	"aws": func(ctx context.Context, s settings) (explain.Asker, error) {
		return aws.New(ctx, aws.Options{Region: s.awsRegion, Endpoint: s.awsEndpoint})
	},
	"azure": func(ctx context.Context, _ settings) (explain.Asker, error) {
		return azure.New(ctx, azure.Options{})
	},
	"gcp": func(ctx context.Context, _ settings) (explain.Asker, error) {
		return gcp.New(ctx, gcp.Options{})
	},
}

func parse(args []string, stderr io.Writer) (s settings, err error) {
	flags := pflag.NewFlagSet("epitaph-cloud", pflag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringSliceVar(&s.ask, "ask", nil, "the `clouds` to ask: aws, azure, gcp (required)")
	flags.DurationVar(&s.timeout, "timeout", 30*time.Second, "how long a cloud may take to answer")
	flags.Float32Var(&s.perSecond, "per-second", 1, "how many instances are asked about in a second")
	flags.StringVar(&s.metrics, "metrics-address", "0", "where metrics are served; 0 for nowhere")
	flags.StringVar(&s.health, "health-address", "0", "where probes are answered; 0 for nowhere")
	flags.BoolVar(&s.leaderElect, "leader-elect", false, "ask only while holding the Lease")
	flags.StringVar(&s.namespace, "namespace", "epitaph-system", "the `namespace` of the Lease")
	flags.StringVar(&s.kubeconfig, "kubeconfig", "",
		"a kubeconfig `file`; without it, the service account of the pod is used")
	flags.IntVarP(&s.verbosity, "v", "v", 0, "log `level`: 0 or 1")
	flags.StringVar(&s.awsRegion, "aws-region", "", "the `region` whose credentials are drawn")
	flags.StringVar(&s.awsEndpoint, "aws-endpoint", "", "a `URL` in place of EC2's and CloudTrail's")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	return s, s.check()
}

// check says which flag is wrong, and what it may be.
func (s settings) check() error {
	switch {
	case len(s.ask) == 0:
		return fmt.Errorf("%w: --ask is missing: name the clouds, such as aws", errUsage)
	case s.timeout < time.Second || s.timeout > 5*time.Minute:
		return fmt.Errorf("%w: --timeout is %s: it is between 1s and 5m", errUsage, s.timeout)
	case s.perSecond <= 0 || s.perSecond > 100:
		return fmt.Errorf("%w: --per-second is %v: it is above 0, up to 100", errUsage, s.perSecond)
	}
	for _, name := range s.ask {
		if clouds[name] == nil {
			return fmt.Errorf("%w: --ask is %q: the clouds are %s", errUsage, name,
				strings.Join(slices.Sorted(maps.Keys(clouds)), ", "))
		}
	}
	return nil
}

func run(ctx context.Context, args []string, stderr io.Writer) error {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	log := logTo(stderr, s.verbosity)
	cluster, err := clusterOf(s.kubeconfig)
	if err != nil {
		return err
	}
	mgr, err := newManager(cluster, s, log)
	if err != nil {
		return err
	}
	var askers []explain.Asker
	for _, name := range s.ask {
		asker, err := clouds[name](ctx, s)
		if err != nil {
			return err
		}
		askers = append(askers, asker)
	}
	i, err := inquiry.New(inquiry.Options{Askers: askers, Live: mgr.GetAPIReader(),
		Status: mgr.GetClient().Status(), Timeout: s.timeout, PerSecond: s.perSecond,
		Clock: clock.RealClock{}, Registerer: metrics.Registry, Log: log.WithName("inquiry")})
	if err != nil {
		return err
	}
	err = builder.ControllerManagedBy(mgr).Named("inquiry").For(&v1alpha1.NodeObituary{},
		builder.WithPredicates(i.Concerns())).
		WithOptions(controller.Options{MaxConcurrentReconciles: atOnce}).Complete(i)
	if err != nil {
		return fmt.Errorf("watch the records of nodes: %w", err)
	}
	log.Info("starting", "version", version, "clouds", s.ask)
	return mgr.Start(ctx)
}

func newManager(cluster *rest.Config, s settings, log logr.Logger) (manager.Manager, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("register the API types: %w", err)
	}
	mgr, err := ctrl.NewManager(cluster, ctrl.Options{
		Scheme: scheme, Logger: log,
		Cache: cache.Options{ByObject: map[client.Object]cache.ByObject{
			&v1alpha1.NodeObituary{}: {Transform: trim}}},
		Metrics:                       metricsserver.Options{BindAddress: s.metrics},
		HealthProbeBindAddress:        s.health,
		LeaderElection:                s.leaderElect,
		LeaderElectionID:              "epitaph-cloud",
		LeaderElectionNamespace:       s.namespace,
		LeaderElectionReleaseOnCancel: true,
	})
	if err != nil {
		return nil, fmt.Errorf("prepare the manager: %w", err)
	}
	for _, err := range []error{mgr.AddHealthzCheck("ping", healthz.Ping),
		mgr.AddReadyzCheck("ping", healthz.Ping)} {
		if err != nil {
			return nil, fmt.Errorf("add the probes: %w", err)
		}
	}
	return mgr, nil
}

// trim keeps of a record what says whether it is to be asked about.
func trim(o any) (any, error) {
	if r, ok := o.(*v1alpha1.NodeObituary); ok {
		r.ManagedFields, r.Spec.KernelLog, r.Spec.Panic, r.Spec.Addresses = nil, nil, nil, nil
		if c := r.Status.Cloud; c != nil {
			r.Status.Cloud = &v1alpha1.CloudAnswer{Asked: c.Asked}
		}
	}
	return o, nil
}

func clusterOf(kubeconfig string) (*rest.Config, error) {
	c, err := rest.InClusterConfig()
	if kubeconfig != "" {
		c, err = clientcmd.BuildConfigFromFlags("", kubeconfig)
	}
	if err != nil {
		return nil, fmt.Errorf(
			"find the API server: %w: name a file with --kubeconfig, or run in a pod", err)
	}
	c.UserAgent = "epitaph-cloud/" + version
	return c, nil
}

// logTo has the program and its libraries write JSON, one line for each entry.
func logTo(w io.Writer, verbosity int) logr.Logger {
	handler := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.Level(-verbosity)})
	log := logr.FromSlogHandler(handler)
	ctrl.SetLogger(log)
	klog.SetLogger(log.WithName("client-go"))
	slog.SetDefault(slog.New(handler).With("logger", "net/http"))
	return log
}
