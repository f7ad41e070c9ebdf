package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/epitaph-k8s/epitaph/aftermath"
	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/audit/announce"
	"github.com/epitaph-k8s/epitaph/audit/definitions"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/audit/recorder"
	"github.com/epitaph-k8s/epitaph/audit/retention"
	"github.com/epitaph-k8s/epitaph/certs"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/gc"
	"github.com/epitaph-k8s/epitaph/internal/guard"
	"github.com/epitaph-k8s/epitaph/netconsole"
	"github.com/epitaph-k8s/epitaph/termination"
	"github.com/epitaph-k8s/epitaph/webhook"
	"github.com/epitaph-k8s/epitaph/webhook/policyfile"
)

// wire hands each edge its dependencies: a reader, the terminator, and the records of nodes.
// The file is where the configuration was read from.
func wire(ctx context.Context, mgr manager.Manager, file string, c config.Config,
	serving *certs.Serving) error {
	if err := index(ctx, mgr); err != nil {
		return err
	}
	for _, o := range cached(c) {
		if _, err := mgr.GetCache().GetInformer(ctx, o); err != nil {
			return fmt.Errorf("watch %T: %w", o, err)
		}
	}
	findings, err := audit.NewNodeFindings(metrics.Registry,
		mgr.GetEventRecorder("epitaph-audit"), mgr.GetLogger().WithName("audit"))
	if err != nil {
		return err
	}
	refusals, err := audit.NewRefusals(metrics.Registry,
		mgr.GetEventRecorder("epitaph-termination"), clock.RealClock{})
	if err != nil {
		return err
	}
	p := parts{
		mgr:      mgr,
		file:     file,
		config:   c,
		refusals: refusals,
		terminator: termination.New(mgr.GetClient(), c.Annotations, clock.RealClock{},
			termination.Telling(func(r termination.Refusal) {
				refusals.Note(r.Object, r.Reason, r.Held, r.Err)
			}), termination.Judging(obituary.VerdictOn)),
		obituaries: &audit.NodeObituaries{
			Cache: mgr.GetCache(), Live: mgr.GetAPIReader(), Writer: mgr.GetClient(),
			Clock: clock.RealClock{}, Findings: findings,
		},
	}
	if p.events, err = guard.New(metrics.Registry, "controllers", mgr.GetLogger()); err != nil {
		return err
	}
	if p.retention, err = p.newRetention(); err != nil {
		return err
	}
	if p.owners, err = p.newOwnerRecords(); err != nil {
		return err
	}
	p.ends = audit.NewOwnerEnds(p.owners, mgr.GetAPIReader(), clock.RealClock{})
	for _, add := range []func(context.Context) error{
		p.addWebhook, p.addGC, p.addNetconsole, p.addRetractor, p.addSweepers, p.addOwnerRecords,
		p.addJobEnds, p.addLookout, p.addRetention, p.addRecorder, p.addReports, p.addAftermath,
		p.addPage, p.addRenewal,
	} {
		if err := add(ctx); err != nil {
			return err
		}
	}
	issuance, err := newIssuance(mgr, c)
	if err != nil {
		return err
	}
	if err := serve(mgr, c, serving, issuance); err != nil {
		return err
	}
	return probes(mgr, c, serving, issuance)
}

func newIssuance(mgr manager.Manager, c config.Config) (*certs.Issuance, error) {
	log := mgr.GetLogger().WithName("certificates")
	g, err := guard.New(metrics.Registry, "certificates", log)
	if err != nil {
		return nil, err
	}
	return certs.NewIssuance(certs.IssuanceOptions{
		Reader: mgr.GetAPIReader(), Namespace: c.Namespace, Names: c.Webhook.Certificates,
		Clock: clock.RealClock{}, Guard: g, Log: log,
	}), nil
}

// addRenewal has the leader renew the certificate that Helm has made.
func (p parts) addRenewal(context.Context) error {
	if p.config.Webhook.RenewedSecret == "" {
		return nil
	}
	configuration := ""
	if p.config.Webhook.Enabled {
		configuration = webhook.ConfigurationName
	}
	log := p.mgr.GetLogger().WithName("renewal")
	g, err := guard.New(metrics.Registry, "renewal", log)
	if err != nil {
		return err
	}
	return p.mgr.Add(certs.NewRenewal(certs.RenewalOptions{
		Reader: p.mgr.GetAPIReader(), Writer: p.mgr.GetClient(), Namespace: p.config.Namespace,
		Secret: p.config.Webhook.RenewedSecret, Configuration: configuration,
		Clock: clock.RealClock{}, Guard: g, Log: log,
	}))
}

// cached are the kinds that the edges read from the cache. A replica is ready once they are synced.
func cached(c config.Config) []client.Object {
	namespaces := &metav1.PartialObjectMetadata{}
	namespaces.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	all := []client.Object{&corev1.Pod{}, &corev1.Node{}, &v1alpha1.NodeObituary{},
		&policyv1.PodDisruptionBudget{}, namespaces}
	if c.Webhook.Enabled {
		all = append(all, &admissionregistrationv1.MutatingWebhookConfiguration{})
	}
	return all
}

// serve keeps the webhook's certificate up to date, and reports what cert-manager says about it.
func serve(mgr manager.Manager, c config.Config, serving *certs.Serving,
	issuance *certs.Issuance) error {
	if !c.Webhook.Enabled {
		return nil
	}
	return errors.Join(serving.Register(metrics.Registry), mgr.Add(serving),
		issuance.Register(metrics.Registry), mgr.Add(issuance))
}

// syncTimeout bounds how long a readiness probe waits for the caches; the kubelet asks again.
const syncTimeout = time.Second

func cachesSynced(mgr manager.Manager) healthz.Checker {
	return func(r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), syncTimeout)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return errors.New("the caches are not synced yet")
		}
		return nil
	}
}

// parts are what the edges share.
type parts struct {
	mgr        manager.Manager
	file       string
	config     config.Config
	terminator *termination.Terminator
	obituaries *audit.NodeObituaries
	refusals   *audit.Refusals
	owners     *audit.OwnerObituaries
	ends       *audit.OwnerEnds
	retention  *retention.Retention
	events     *guard.Guard // of what decides which objects concern a controller
}

func (p parts) addWebhook(context.Context) error {
	if !p.config.Webhook.Enabled {
		return nil
	}
	clients, err := kubernetes.NewForConfigAndClient(p.mgr.GetConfig(), p.mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("make the client of the webhook: %w", err)
	}
	handler, err := webhook.New(webhook.Options{
		Config:       p.config.Webhook,
		OwnNamespace: p.config.Namespace,
		Inferrer:     p.config.Inferrer(),
		Reader:       p.mgr.GetCache(),
		Live:         p.mgr.GetAPIReader(),
		Mapper:       p.mgr.GetRESTMapper(),
		Reviews:      clients.AuthorizationV1().SubjectAccessReviews(),
		Served:       discovery.ToServerResourcesInterfaceWithContext(clients.Discovery()),
		Obituaries:   p.obituaries,
		Owners:       p.ends,
		Writer:       p.terminator,
		Refusals:     p.refusals,
		Clock:        clock.RealClock{},
		Registerer:   metrics.Registry,
		Log:          p.mgr.GetLogger().WithName("webhook"),
	})
	if err != nil {
		return err
	}
	p.mgr.GetWebhookServer().Register(webhook.Path, handler)
	var records webhook.Records
	if p.config.Audit.Enabled {
		records = audit.PodObituaries{Writer: p.mgr.GetClient(), Clock: clock.RealClock{}}
	}
	return errors.Join(p.addPolicyFile(handler.SetPolicy),
		p.addPromisedReasons(handler.PromisedReasons()),
		p.addPreemptorNames(handler.PreemptorNames(p.terminator, records)))
}

// addPolicyFile has the webhook decide by what the configuration file says of its policy now.
func (p parts) addPolicyFile(apply func(config.Webhook) error) error {
	registration := &admissionregistrationv1.MutatingWebhookConfiguration{}
	registration.SetGroupVersionKind(admissionregistrationv1.SchemeGroupVersion.WithKind(
		"MutatingWebhookConfiguration"))
	registration.Name = webhook.ConfigurationName
	f, err := policyfile.New(policyfile.Options{
		File: p.file, Started: p.config, Apply: apply, About: registration,
		Events: p.mgr.GetEventRecorder("epitaph-webhook"), Clock: clock.RealClock{},
		Registerer: metrics.Registry, Log: p.mgr.GetLogger().WithName("policy"),
	})
	if err != nil {
		return err
	}
	return p.mgr.Add(f)
}

// newOwnerRecords remembers who deleted what pods belong to.
func (p parts) newOwnerRecords() (*audit.OwnerObituaries, error) {
	api, err := p.watching()
	if err != nil {
		return nil, err
	}
	log := p.mgr.GetLogger().WithName("owners")
	g, err := guard.New(metrics.Registry, "owners", log)
	return &audit.OwnerObituaries{API: api, Cache: p.mgr.GetCache(),
		After: p.config.Webhook.LeftoverAfter.Duration, Clock: clock.RealClock{}, Guard: g,
		Log: log}, err
}

// addOwnerRecords has records of owners that live on taken back, also after the webhook was
// switched off.
func (p parts) addOwnerRecords(context.Context) error { return p.mgr.Add(p.owners) }

// addPromisedReasons has terminating pods get the reasons that were found when their deletion was
// admitted.
func (p parts) addPromisedReasons(k *webhook.PromisedReasons) error {
	return errors.Join(p.mgr.Add(k), p.control("promised-reasons", &corev1.Pod{},
		predicate.NewPredicateFuncs(k.Concerns), k, k.Options()))
}

// addPreemptorNames has the reasons of preempted pods name their preemptors.
func (p parts) addPreemptorNames(n *webhook.PreemptorNames) error {
	return builder.TypedControllerManagedBy[types.UID](p.mgr).Named("preempted-pods").
		WatchesRawSource(source.TypedKind(p.mgr.GetCache(), &corev1.Pod{},
			n.Handler())).WatchesRawSource(n.Source()).
		WithOptions(n.Options()).Complete(n)
}

func (p parts) addGC(context.Context) error {
	if !p.config.GC.Enabled {
		return nil
	}
	collector, err := gc.New(gc.Options{
		Config:     p.config.GC,
		Inferrer:   p.config.Inferrer(),
		Cache:      p.mgr.GetCache(),
		Live:       p.mgr.GetAPIReader(),
		Obituaries: p.obituaries,
		Owners:     p.ends,
		Terminator: p.terminator,
		Recorder:   p.mgr.GetEventRecorder("epitaph-gc"),
		Clock:      clock.RealClock{},
		Registerer: metrics.Registry,
		Log:        p.mgr.GetLogger().WithName("gc"),

		WrittenBehind: p.config.Webhook.Enabled,
	})
	if err != nil {
		return err
	}
	return errors.Join(p.mgr.Add(collector.Standby()), p.mgr.Add(collector))
}

func (p parts) addNetconsole(context.Context) error {
	if !p.config.Netconsole.Enabled {
		return nil
	}
	listener, err := netconsole.New(netconsole.Options{
		Config:     p.config.Netconsole,
		Keys:       p.config.Annotations,
		Reader:     p.mgr.GetCache(),
		Informers:  p.mgr.GetCache(),
		Live:       p.mgr.GetAPIReader(),
		Terminator: p.terminator,
		Obituary:   p.obituaries,
		Recorder:   p.mgr.GetEventRecorder("epitaph-netconsole"),
		Clock:      clock.RealClock{},
		Registerer: metrics.Registry,
		Log:        p.mgr.GetLogger().WithName("netconsole"),
	})
	if err != nil {
		return err
	}
	// It hears before: what is signed needs no Lease.
	if err := addReadiness(p.mgr, "netconsole",
		func(*http.Request) error { return listener.Ready() }); err != nil {
		return err
	}
	return p.mgr.Add(listener)
}

// addJobEnds completes the reasons of pods that their Job has deleted, when it tells how it ended.
func (p parts) addJobEnds(context.Context) error {
	j := &aftermath.JobEnds{
		Keys: p.config.Annotations, Live: p.mgr.GetAPIReader(), Terminator: p.terminator,
		Clock: clock.RealClock{},
		Log:   p.mgr.GetLogger().WithName("job-ends"),
	}
	return p.control("job-ends", &corev1.Pod{}, predicate.NewPredicateFuncs(j.Concerns), j,
		j.Options())
}

// addRetractor takes back what is on record about nodes that live, whichever edge had it written.
func (p parts) addRetractor(context.Context) error {
	r := &audit.Retractor{
		Cache:      p.mgr.GetCache(),
		Obituaries: p.obituaries,
		After:      p.config.Webhook.LeftoverAfter.Duration,
		Intended: func(node *corev1.Node) bool {
			_, marked := termination.MarkedDead(node)
			return marked
		},
		Clock: clock.RealClock{},
		Log:   p.mgr.GetLogger().WithName("retractor"),
	}
	concerns := predicate.NewPredicateFuncs(r.Concerns)
	return p.control("node-records", &v1alpha1.NodeObituary{}, concerns, r, controller.Options{})
}

// addSweepers takes off what lives on what was written for an end that did not come, whichever edge
// wrote it.
func (p parts) addSweepers(context.Context) error {
	var failed []error
	for name, kind := range map[string]client.Object{"pod-leftovers": &corev1.Pod{},
		"node-leftovers": &corev1.Node{}} {
		s := &aftermath.Sweeper{
			Cache:      p.mgr.GetCache(),
			Kind:       kind,
			After:      p.config.Webhook.LeftoverAfter.Duration,
			Terminator: p.terminator,
			Obituaries: p.obituaries,
			Clock:      clock.RealClock{},
			Log:        p.mgr.GetLogger().WithName(name),
		}
		concerns := predicate.NewPredicateFuncs(s.Concerns)
		failed = append(failed, p.control(name, kind, concerns, s, controller.Options{}))
	}
	return errors.Join(failed...)
}

func (p parts) newRetention() (*retention.Retention, error) {
	api, err := p.watching()
	if err != nil {
		return nil, err
	}
	return retention.New(retention.Options{
		Limits: p.config.Retention.Held(p.config.Archive), Bound: p.config.Archive.Enabled,
		Namespace: p.config.Namespace, Cache: p.mgr.GetCache(), API: api, Clock: clock.RealClock{},
		Registerer: metrics.Registry,
		Log:        p.mgr.GetLogger().WithName("retention"),
	})
}

// addLookout says which definitions of records the API server lacks.
func (p parts) addLookout(context.Context) error {
	served, err := discovery.NewDiscoveryClientForConfigAndClient(p.mgr.GetConfig(),
		p.mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("ask for the definitions of records: %w", err)
	}
	l, err := definitions.NewLookout(definitions.Options{
		Discovery: served, Events: p.mgr.GetEventRecorder("epitaph-audit"),
		Clock: clock.RealClock{}, Registerer: metrics.Registry,
		Log: p.mgr.GetLogger().WithName("definitions"),
	})
	if err != nil {
		return err
	}
	return p.mgr.Add(l)
}

// addRetention keeps the records within their limits, whoever writes them.
func (p parts) addRetention(context.Context) error { return p.mgr.Add(p.retention) }

// watching is a client that reads past the cache, watches and writes.
func (p parts) watching() (client.WithWatch, error) {
	api, err := client.NewWithWatch(p.mgr.GetConfig(), client.Options{
		HTTPClient: p.mgr.GetHTTPClient(), Scheme: p.mgr.GetScheme(), Mapper: p.mgr.GetRESTMapper(),
	})
	if err != nil {
		return nil, fmt.Errorf("make the audit's client: %w", err)
	}
	return api, nil
}

func (p parts) addRecorder(context.Context) error {
	if !p.config.Audit.Enabled {
		return nil
	}
	api, err := p.watching()
	if err != nil {
		return err
	}
	events, err := p.addEvents(api)
	if err != nil {
		return err
	}
	r, err := recorder.New(recorder.Options{
		Config:     p.config.Audit,
		Namespace:  p.config.Namespace,
		Inferrer:   p.config.Inferrer(),
		Cache:      p.mgr.GetCache(),
		API:        api,
		Mapper:     p.mgr.GetRESTMapper(),
		Nodes:      p.obituaries,
		Owners:     p.ends,
		Refusals:   p.refusals,
		HandOver:   p.config.Archive.Enabled,
		Grown:      p.retention.Grew,
		Events:     events,
		Clock:      clock.RealClock{},
		Registerer: metrics.Registry,
		Log:        p.mgr.GetLogger().WithName("audit"),
	})
	if err != nil {
		return err
	}
	return errors.Join(p.mgr.Add(r.Standby(p.mgr.GetCache())), p.mgr.Add(r))
}

// addEvents returns who tells of what is recorded, nil where nobody does.
func (p parts) addEvents(api client.Client) (*announce.Announcer, error) {
	if !p.config.Audit.Events {
		return nil, nil
	}
	a, err := announce.New(announce.Options{
		Writer: api, PerSecond: p.config.Audit.EventsPerSecond, More: recorder.OfJobs(api),
		Clock: clock.RealClock{}, Registerer: metrics.Registry,
		Log: p.mgr.GetLogger().WithName("audit"),
	})
	if err != nil {
		return nil, err
	}
	return a, p.mgr.Add(a)
}

func (p parts) addAftermath(context.Context) error {
	if !p.config.Audit.Enabled {
		return nil
	}
	a, err := aftermath.New(aftermath.Options{
		Keys:       p.config.Annotations,
		Live:       p.mgr.GetAPIReader(),
		Nodes:      p.obituaries,
		Pods:       audit.PodObituaries{Writer: p.mgr.GetClient(), Clock: clock.RealClock{}},
		Terminator: p.terminator,
		Events:     p.mgr.GetEventRecorder("epitaph-aftermath"),
		Clock:      clock.RealClock{},
		Registerer: metrics.Registry,
		Log:        p.mgr.GetLogger().WithName("aftermath"),
	})
	if err != nil {
		return err
	}
	late := controller.Options{RateLimiter: a.Limiter()}
	told := a.Inquest()
	return errors.Join(p.control("late-panics", &corev1.Node{}, a.Concerns(), a, late),
		p.control("cloud-answers", &v1alpha1.NodeObituary{}, told.Concerns(), told, late))
}
