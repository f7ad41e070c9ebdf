package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/audit/definitions"
	"github.com/epitaph-k8s/epitaph/certs"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/netconsole"
	"github.com/epitaph-k8s/epitaph/podcache"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/webhook"
)

func managerCommand() *cobra.Command {
	return resident("manager", "Run the webhook, the garbage collector and the netconsole listener",
		runManager)
}

// A setting is what a program that stays in a cluster starts from.
type setting struct {
	file    string
	config  config.Config
	cluster *rest.Config
	log     logr.Logger
}

// resident makes the command of a program that stays in a cluster.
func resident(name, short string, run func(context.Context, setting) error) *cobra.Command {
	var file, kubeconfig string
	var verbosity int
	c := &cobra.Command{
		Use:   name + " --config FILE",
		Short: short,
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if file == "" {
				return usage(c, errors.New("--config is missing: name the configuration file"))
			}
			s, err := settle(file, kubeconfig, c.ErrOrStderr(), verbosity)
			if err != nil {
				return err
			}
			return run(c.Context(), s)
		},
	}
	flags := c.Flags()
	flags.StringVar(&file, "config", "", "the configuration `file` (required)")
	clusterFlags(flags, &kubeconfig, &verbosity)
	return c
}

func settle(file, kubeconfig string, stderr io.Writer, verbosity int) (setting, error) {
	c, err := config.Load(file)
	if err != nil {
		return setting{}, err
	}
	cluster, err := clusterOf(kubeconfig, c.Client)
	if err != nil {
		return setting{}, err
	}
	log := logTo(stderr, verbosity)
	if err := registerBuildInfo(metrics.Registry); err != nil {
		return setting{}, err
	}
	log.Info("starting", "version", version)
	boundMemory()
	return setting{file, c, cluster, log}, nil
}

// clusterFlags adds the flags of everything that runs in a cluster.
func clusterFlags(flags *pflag.FlagSet, kubeconfig *string, verbosity *int) {
	flags.StringVar(kubeconfig, "kubeconfig", "",
		"a kubeconfig `file`; without it, the service account of the pod is used")
	flags.IntVarP(verbosity, "v", "v", 0,
		"log `level`: 0 for decisions that matter, 1 for every decision")
}

func runManager(ctx context.Context, s setting) error {
	c := s.config
	serving := certs.NewServing(c.Webhook.CertDir, clock.RealClock{})
	mgr, err := newManager(s.cluster, c, serving, s.log)
	if err != nil {
		return err
	}
	if err := wire(ctx, mgr, s.file, c, serving); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// clusterOf returns how to reach the API server.
func clusterOf(kubeconfig string, c config.Client) (*rest.Config, error) {
	restConfig, err := rest.InClusterConfig()
	if kubeconfig != "" {
		restConfig, err = clientcmd.BuildConfigFromFlags("", kubeconfig)
	}
	if err != nil {
		return nil,
			fmt.Errorf("find the API server: %w: name a file with --kubeconfig, or run in a pod",
				err)
	}
	restConfig.QPS, restConfig.Burst = c.QPS, c.Burst
	restConfig.UserAgent = "epitaph/" + version
	return restConfig, nil
}

func newManager(restConfig *rest.Config, c config.Config,
	serving *certs.Serving, log logr.Logger) (manager.Manager, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme,
		v1alpha1.AddToScheme, cmv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("register the API types: %w", err)
		}
	}
	mgr, err := ctrl.NewManager(restConfig, ctrl.Options{
		Scheme:                  scheme,
		Logger:                  log,
		Cache:                   cacheOptions(c),
		Metrics:                 metricsOptions(c.Metrics),
		HealthProbeBindAddress:  c.HealthAddress,
		LeaderElection:          c.LeaderElection.Enabled,
		LeaderElectionID:        "epitaph",
		LeaderElectionNamespace: c.Namespace,
		// The process ends when the manager does, so the next leader need not wait for the lease to
		// run out.
		LeaderElectionReleaseOnCancel: true,
		WebhookServer:                 newWebhookServer(c.Webhook, serving, log),
		MapperProvider: func(c *rest.Config, h *http.Client) (meta.RESTMapper, error) {
			m, err := apiutil.NewDynamicRESTMapper(c, h)
			return definitions.Mapper(m), err
		},
	})
	if err != nil {
		return nil, fmt.Errorf("prepare the manager: %w", err)
	}
	return mgr, nil
}

// cacheOptions keep only the fields that are read. Pods are resynced from time to time, which is
// the collector's safety net.
func cacheOptions(c config.Config) cache.Options {
	inferrer := c.Inferrer()
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		NewInformer:      definitions.Tolerate(podcache.NewInformer(inferrer.ReadsOfPods())),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}: {SyncPeriod: &c.GC.Resync.Duration},
			&corev1.Node{}: {Transform: podcache.TrimNodes(inferrer.ReadsOfNodes(),
				reason.WrittenKey, reason.MarkedDeadKey, reason.TokenKey)},
			&v1alpha1.NodeObituary{}:  {Transform: podcache.TrimObituaries},
			&v1alpha1.OwnerObituary{}: {Transform: audit.TrimOwnerObituary},
			// Those of nodes alone: nobody else's may be read.
			&coordinationv1.Lease{}: {Namespaces: map[string]cache.Config{
				corev1.NamespaceNodeLease: {}}, Transform: netconsole.TrimLease},
			// Ours alone: nobody else's registration may be read.
			&admissionregistrationv1.MutatingWebhookConfiguration{}: {
				Field: fields.OneTermEqualSelector("metadata.name", webhook.ConfigurationName)},
		},
	}
}

// index adds the indexes by which the edges look objects up.
func index(ctx context.Context, mgr manager.Manager) error {
	err := mgr.GetFieldIndexer().IndexField(ctx, &corev1.Pod{}, reason.NodeNameField,
		func(o client.Object) []string {
			return []string{o.(*corev1.Pod).Spec.NodeName}
		})
	if err != nil {
		return fmt.Errorf("index the pods by node: %w", err)
	}
	return audit.IndexNodeObituaries(ctx, mgr.GetFieldIndexer())
}

// probes tell the kubelet that the process is alive, and that it is ready: the caches are synced,
// the webhook listens, and the API server accepts its certificate.
func probes(mgr manager.Manager, c config.Config, serving *certs.Serving,
	issuance *certs.Issuance) error {
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("add the liveness probe: %w", err)
	}
	ready := map[string]healthz.Checker{"caches": cachesSynced(mgr)}
	if c.Webhook.Enabled {
		ready["webhook"] = mgr.GetWebhookServer().StartedChecker()
		ready["certificate"] = issuance.Explain(
			serving.Checker(mgr.GetCache(), webhook.ConfigurationName))
	}
	for name, check := range ready {
		if err := addReadiness(mgr, name, check); err != nil {
			return err
		}
	}
	return nil
}

func addReadiness(mgr manager.Manager, name string, check healthz.Checker) error {
	if err := mgr.AddReadyzCheck(name, aloud(name, check,
		mgr.GetLogger().WithName("readiness"))); err != nil {
		return fmt.Errorf("add the readiness probe %s: %w", name, err)
	}
	return nil
}
