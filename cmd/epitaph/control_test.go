package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	runtimeconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/epitaph-k8s/epitaph/aftermath"
	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/internal/guard"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
	"github.com/epitaph-k8s/epitaph/webhook"
)

var errNobodyThere = errors.New("nobody is there")

// A stage is a cluster of one object: the informer of its kind has that object, the others have
// none. Whoever reads or writes is made to act, and finds nothing.
type stage struct {
	*informertest.FakeInformers
	act func()
}

// Start runs the informers until ctx is done.
func (s stage) Start(ctx context.Context) error {
	var running sync.WaitGroup
	for _, informer := range s.InformersByGVK {
		running.Go(func() { informer.RunWithContext(ctx) })
	}
	running.Wait()
	return nil
}

// Get reads from the cache.
func (s stage) Get(_ context.Context, key client.ObjectKey, _ client.Object,
	_ ...client.GetOption) error {
	s.act()
	return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
}

// List reads from the cache.
func (s stage) List(context.Context, client.ObjectList, ...client.ListOption) error {
	s.act()
	return nil
}

// RoundTrip is a request to the API server.
func (s stage) RoundTrip(*http.Request) (*http.Response, error) {
	s.act()
	return nil, errNobodyThere
}

// one lists the object that there is, if there is one.
type one struct {
	listed
	object client.Object
}

func (o one) List(metav1.ListOptions) (runtime.Object, error) {
	list := &metav1.List{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}
	if o.object != nil {
		list.Items = []runtime.RawExtension{{Object: o.object}}
	}
	return list, nil
}

func (o one) Watch(metav1.ListOptions) (watch.Interface, error) { return watch.NewFake(), nil }

// staged returns a manager of that cluster, which starts no server.
func staged(t *testing.T, object client.Object, act func()) parts {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme),
		v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	kinds, _, err := scheme.ObjectKinds(object)
	if err != nil {
		t.Fatal(err)
	}
	// The other kinds have informers too, of nothing: controller-runtime's fake ones may not be used by
	// several at the same time.
	informers := map[schema.GroupVersionKind]toolscache.SharedIndexInformer{}
	for _, o := range []client.Object{&corev1.Pod{}, &corev1.Node{}, &v1alpha1.NodeObituary{},
		&coordinationv1.Lease{}} {
		kind, err := apiutil.GVKForObject(o, scheme)
		if err != nil {
			t.Fatal(err)
		}
		informers[kind] = toolscache.NewSharedIndexInformer(one{}, o, 0, toolscache.Indexers{})
	}
	informers[kinds[0]] = toolscache.NewSharedIndexInformer(one{object: object}, object, 0,
		toolscache.Indexers{})
	s := stage{act: act, FakeInformers: &informertest.FakeInformers{
		Scheme: scheme, InformersByGVK: informers,
	}}
	mapper := meta.NewDefaultRESTMapper(nil)
	for kind := range scheme.AllKnownTypes() {
		var scope meta.RESTScope = meta.RESTScopeNamespace
		if strings.HasPrefix(kind.Kind, "Node") {
			scope = meta.RESTScopeRoot
		}
		mapper.Add(kind, scope)
	}
	mgr, err := ctrl.NewManager(&rest.Config{Transport: s}, ctrl.Options{
		Scheme: scheme, Logger: logr.Discard(), Metrics: metricsserver.Options{BindAddress: "0"},
		NewCache: func(*rest.Config, cache.Options) (cache.Cache, error) { return s, nil },
		MapperProvider: func(*rest.Config, *http.Client) (meta.RESTMapper, error) {
			return mapper, nil
		},
		Controller: runtimeconfig.Controller{SkipNameValidation: ptr.To(true)},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	return parts{
		mgr: mgr, config: c, events: newGuard(t), terminator: termination.New(mgr.GetClient(), c.Annotations,
			clock.RealClock{}),
		obituaries: &audit.NodeObituaries{
			Cache: mgr.GetCache(), Live: mgr.GetAPIReader(), Writer: mgr.GetClient(),
			Clock: clock.RealClock{},
		},
	}
}

func newGuard(t *testing.T) *guard.Guard {
	t.Helper()
	g, err := guard.New(prometheus.NewRegistry(), "controllers", logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// theReason is what the objects carry.
func theReason(c config.Config, subject reason.Subject, r reason.Reason) map[string]string {
	return c.Annotations.Of(subject).Annotations(r)
}

// preemptedPod terminates, and nobody knows yet for whom.
func preemptedPod(c config.Config) *corev1.Pod {
	unnamed := reason.New(reason.Pod, reason.Preempted,
		"", "system:kube-scheduler").WithoutPreemptor()
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "a", Name: "victim", UID: "u1", DeletionTimestamp: ptr.To(metav1.Now()),
		Finalizers:  []string{"a/b"},
		Annotations: theReason(c, reason.Pod, unnamed),
	}, Spec: corev1.PodSpec{NodeName: "n1"}}
}

// amender has written all that there is, and can write nothing.
type amender struct{}

func (amender) Wrote(client.Object) bool { return true }

func (amender) Correct(context.Context, client.Object, reason.Reason) error {
	return errNobodyThere
}

// evictedPod was promised a reason, and terminates.
func evictedPod() *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "a", Name: "evicted", UID: "u1", DeletionTimestamp: ptr.To(metav1.Now()),
		Finalizers: []string{"a/b"},
	}, Spec: corev1.PodSpec{NodeName: "n1", TerminationGracePeriodSeconds: ptr.To(int64(30))}}
}

// alive is the pod as it was when its eviction was asked for.
type alive struct {
	client.Reader
	pod *corev1.Pod
	// admitted is set once the eviction was admitted.
	admitted atomic.Bool
}

func (a *alive) Get(ctx context.Context, key client.ObjectKey, o client.Object,
	opts ...client.GetOption) error {
	pod, ok := o.(*corev1.Pod)
	if !ok || a.admitted.Load() {
		return a.Reader.Get(ctx, key, o, opts...)
	}
	a.pod.DeepCopyInto(pod)
	pod.DeletionTimestamp = nil
	return nil
}

// webhookOf returns the webhook that watches the stage.
func webhookOf(t *testing.T, p parts, live client.Reader) *webhook.Handler {
	t.Helper()
	h, err := webhook.New(webhook.Options{
		Config: p.config.Webhook, OwnNamespace: p.config.Namespace, Inferrer: p.config.Inferrer(),
		Reader: p.mgr.GetCache(), Live: live, Obituaries: p.obituaries, Writer: p.terminator,
		Clock: clock.RealClock{}, Registerer: prometheus.NewRegistry(), Log: logr.Discard(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// evict has the eviction of a pod admitted. The rule that lets it pass asks for nothing that is not
// there.
func evict(t *testing.T, p parts, pod *corev1.Pod) *webhook.Handler {
	t.Helper()
	live := &alive{Reader: p.mgr.GetAPIReader(), pod: pod}
	p.config.Webhook.Rules = []config.Rule{{Name: "all", Action: config.Fill}}
	h := webhookOf(t, p, live)
	object, err := json.Marshal(policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{
		Namespace: pod.Namespace, Name: pod.Name, Annotations: map[string]string{},
	}})
	if err != nil {
		t.Fatal(err)
	}
	pods := metav1.GroupVersionResource{Version: "v1", Resource: "pods"}
	review, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "r1", Operation: admissionv1.Create, Resource: pods, RequestResource: &pods,
			SubResource:        "eviction",
			RequestSubResource: "eviction", Namespace: pod.Namespace, Name: pod.Name,
			Kind:     metav1.GroupVersionKind{Group: "policy", Version: "v1", Kind: "Eviction"},
			UserInfo: authenticationv1.UserInfo{Username: "alice"},
			Object:   runtime.RawExtension{Raw: object},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, webhook.Path,
		strings.NewReader(string(review)))
	request.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request)
	live.admitted.Store(true)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"allowed":true`) ||
		strings.Contains(w.Body.String(), "warnings") {
		t.Fatalf("the eviction was answered %d: %s", w.Code, w.Body)
	}
	return h
}

// A controlled thing is an object that one controller has something to do with.
type controlled struct {
	object func(config.Config) client.Object
	add    func(*testing.T, parts) error
}

var controllers = map[string]controlled{
	"evicted pods": {
		func(config.Config) client.Object { return evictedPod() },
		func(t *testing.T, p parts) error {
			return p.addPromisedReasons(evict(t, p, evictedPod()).PromisedReasons())
		},
	},
	"preempted pods": {
		func(c config.Config) client.Object { return preemptedPod(c) },
		func(t *testing.T, p parts) error {
			return p.addPreemptorNames(webhookOf(t, p,
				p.mgr.GetAPIReader()).PreemptorNames(amender{}, nil))
		},
	},
	"leftovers": {
		func(config.Config) client.Object {
			return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "b", UID: "u1",
				Annotations: map[string]string{
					reason.WrittenKey: "2026-05-01T12:00:00Z asked alice",
				}}}
		},
		func(t *testing.T, p parts) error { return p.addSweepers(t.Context()) },
	},
	"records of nodes": {
		func(config.Config) client.Object {
			return &v1alpha1.NodeObituary{
				ObjectMeta: metav1.ObjectMeta{Name: "n1-u1"},
				Spec:       v1alpha1.NodeObituarySpec{NodeName: "n1", NodeUID: "u1"},
			}
		},
		func(t *testing.T, p parts) error { return p.addRetractor(t.Context()) },
	},
	"late panics": {
		func(config.Config) client.Object {
			found := reason.Evidence{What: reason.EvidencePanic, BootID: "b1", Found: time.Now()}
			value, _ := json.Marshal([]reason.Evidence{found})
			return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "u1",
				Annotations: map[string]string{
					reason.EvidenceKey: string(value),
				}}}
		},
		func(_ *testing.T, p parts) error {
			a, err := aftermath.New(aftermath.Options{
				Live: p.mgr.GetAPIReader(), Clock: clock.RealClock{},
				Registerer: prometheus.NewRegistry(),
			})
			if err != nil {
				return err
			}
			return p.control("late-panics", &corev1.Node{}, a.Concerns(), a,
				controller.Options{RateLimiter: a.Limiter()})
		},
	},
}

// start runs the manager of a stage with one controller. What is asked for before is answered.
func (c controlled) start(t *testing.T, act func()) (stop func(), ended <-chan error) {
	t.Helper()
	var began atomic.Bool
	p := staged(t, c.object(config.Default()), func() {
		if began.Load() {
			act()
		}
	})
	if err := c.add(t, p); err != nil {
		t.Fatal(err)
	}
	began.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	end := make(chan error, 1)
	var running sync.WaitGroup
	running.Go(func() { end <- p.mgr.Start(ctx) })
	t.Cleanup(running.Wait)
	t.Cleanup(cancel)
	return cancel, end
}

// The manager lets go of the lease when all controllers have returned: whoever still writes then
// writes beside the next leader.
func TestControllersWaitForTheirWorkers(t *testing.T) {
	t.Parallel()
	for name, c := range controllers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			working, finish := make(chan struct{}, 100), make(chan struct{})
			stop, ended := c.start(t, func() {
				select {
				case working <- struct{}{}:
				default:
				}
				<-finish
			})
			await(t, working, "nothing was looked at")
			stop()
			select {
			case err := <-ended:
				close(finish)
				t.Fatalf("the manager ended while a worker was at it: %v", err)
			case <-time.After(200 * time.Millisecond):
			}
			close(finish)
			if err := await(t, ended, "the manager did not end"); err != nil {
				t.Errorf("the manager ended with: %v", err)
			}
		})
	}
}

// Whatever is wrong with one object, the webhook goes on to answer.
func TestControllersSurviveAPanic(t *testing.T) {
	t.Parallel()
	for name, c := range controllers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var panicked atomic.Bool
			again := make(chan struct{}, 100)
			stop, ended := c.start(t, func() {
				if panicked.CompareAndSwap(false, true) {
					panic("out of order")
				}
				select {
				case again <- struct{}{}:
				default:
				}
			})
			await(t, again, "what made a worker panic was not tried again")
			stop()
			if err := await(t, ended, "the manager did not end"); err != nil {
				t.Errorf("the manager ended with: %v", err)
			}
		})
	}
}

// A predicate that panics keeps nothing from its reconciler.
func TestPanicOfAPredicateIsSurvived(t *testing.T) {
	t.Parallel()
	out := func(client.Object) bool { panic("out of order") }
	no := func(client.Object) bool { return false }
	for name, tt := range map[string]struct {
		concerns func(client.Object) bool
		want     bool
	}{"panics": {out, true}, "says no": {no, false}} {
		p := guarded(newGuard(t), "pods", predicate.NewPredicateFuncs(tt.concerns))
		for kind, got := range map[string]bool{
			"created": p.Create(event.CreateEvent{Object: &corev1.Pod{}}),
			"updated": p.Update(event.UpdateEvent{ObjectOld: &corev1.Pod{},
				ObjectNew: &corev1.Pod{}}),
			"deleted": p.Delete(event.DeleteEvent{Object: &corev1.Pod{}}),
			"generic": p.Generic(event.GenericEvent{Object: &corev1.Pod{}}),
		} {
			if got != tt.want {
				t.Errorf("%s, %s: the reconciler is told %t, want %t", name, kind, got, tt.want)
			}
		}
	}
}

func await[T any](t *testing.T, c <-chan T, otherwise string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		t.Fatal(otherwise)
	}
	panic("unreachable")
}
