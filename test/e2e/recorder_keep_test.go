package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit"
	composer "github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/audit/retention"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// file writes an obituary as the recorder would.
func (c *cluster) file(t *testing.T, namespace, pod string, left time.Time) {
	t.Helper()
	c.fileOf(t, namespace, pod, left, reason.New(reason.Pod, reason.Preempted, "x", "x"))
}

// fileOf writes one of a pod that left for this.
func (c *cluster) fileOf(t *testing.T, namespace, pod string, left time.Time, why reason.Reason,
	change ...func(*v1alpha1.PodObituary)) {
	t.Helper()
	o := composer.Of(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: pod, UID: types.UID(unique("11111111-1111-1111-")),
		CreationTimestamp: metav1.NewTime(left),
	}}, why, left)
	for _, f := range change {
		f(o)
	}
	if err := c.typed(t, c.RESTConfig()).Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// kept is a retention in this process.
type kept struct {
	*retention.Retention
	metrics *prometheus.Registry
}

func retain(t *testing.T, nodes *audit.NodeObituaries, api client.Client) kept {
	t.Helper()
	k := kept{metrics: prometheus.NewRegistry()}
	var err error
	k.Retention, err = retention.New(retention.Options{
		Limits: config.Default().Retention, Cache: nodes.Cache, API: api, Clock: clock.RealClock{},
		Registerer: k.metrics, Log: logr.Discard(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// expired is how many obituaries were removed by what, as the metric says.
func (k kept) expired(of, by string) int {
	families, err := k.metrics.Gather()
	if err != nil {
		return -1
	}
	for _, m := range families[0].GetMetric() {
		// labels are sorted by name
		if l := m.GetLabel(); l[0].GetValue() == by && l[1].GetValue() == of {
			return int(m.GetCounter().GetValue())
		}
	}
	return -1
}

func TestRecordsGoByAgeAndByNumber(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{LeaveOut: true}})
	records, now := c.typed(t, c.RESTConfig()), time.Now()
	many, few := c.namespace(t), c.namespace(t)
	for n := range 5 {
		if n == 3 {
			// the times of objects have whole seconds: the last two are the younger ones
			time.Sleep(1100 * time.Millisecond)
		}
		c.file(t, many, fmt.Sprintf("p-%d", n), now)
	}
	c.file(t, few, "other", now)
	k := retain(t, c.memory(t), records)
	k.Limits.Pods.MaxPerNamespace = 2

	if err := k.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	left := c.obituaries(t, many)
	if n := k.expired("pod", "number"); len(left) != 2 || left[0].Spec.PodName != "p-3" ||
		left[1].Spec.PodName != "p-4" || n != 3 {
		t.Errorf("%d obituaries are left, %d removed by number, want the two youngest", len(left),
			n)
	}
	if n := len(c.obituaries(t, few)); n != 1 {
		t.Errorf("%d obituaries of a namespace with few, want its one", n)
	}
	k.Clock = clocktesting.NewFakeClock(now.Add(k.Limits.Pods.MaxAge.Duration + time.Minute))
	if err := k.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(c.obituaries(t, many)) + len(c.obituaries(t, few)); n != 3 ||
		k.expired("pod", "age") != 0 {
		t.Errorf("%d obituaries are left after our clock alone jumped ahead; want all three", n)
	}
	k.Clock, k.Limits.Pods.MaxAge.Duration = clock.RealClock{}, time.Second
	c.eventually(t, "what is old by both clocks is gone", func(ctx context.Context) (bool, error) {
		err := k.Prune(ctx)
		return len(c.obituaries(t, many))+len(c.obituaries(t, few)) == 0 &&
			k.expired("pod", "age") == 3, err
	})
}

// One look removes a bounded share of a namespace by age, and a look at a namespace that has grown
// removes none: a clock that jumps ahead and takes the API server's with it empties nothing at
// once.
func TestRecordsGoByAgeAShareAtOnce(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{LeaveOut: true}})
	records, ns := c.typed(t, c.RESTConfig()), c.namespace(t)
	for n := range 20 {
		c.file(t, ns, fmt.Sprintf("p-%d", n), time.Now())
	}
	k := retain(t, c.memory(t), records)
	k.Limits.Pods.MaxAge.Duration = time.Second
	c.eventually(t, "all are old by the API server's clock",
		func(ctx context.Context) (bool, error) {
			now, err := audit.SharedNow(ctx, k.Clock, records)
			for _, o := range c.obituaries(t, ns) {
				if now.Sub(o.CreationTimestamp.Time) <= time.Second {
					return false, err
				}
			}
			return true, err
		})
	ofNamespace := func(ctx context.Context) error { return k.PruneNamespace(ctx, ns) }
	for n, look := range []struct {
		prune func(context.Context) error
		left  int
	}{{ofNamespace, 20}, {k.Prune, 4}, {k.Prune, 0}} {
		if err := look.prune(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left := len(c.obituaries(t, ns)); left != look.left {
			t.Errorf("%d obituaries are left after look %d, want %d", left, n, look.left)
		}
	}
}

// The leader itself keeps a namespace within its number.
func TestLeaderKeepsTheNumber(t *testing.T) {
	t.Parallel()
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(c *config.Config) {
			quick(c)
			c.Retention.Pods.MaxPerNamespace = 3
		}}})
	ns, by := c.namespace(t), c.as(t, runner)
	c.unbound(t, ns, 10)
	for n := range 10 {
		c.insistsOnDeleting(t, by, ns, fmt.Sprintf("p-%d", n))
	}
	c.eventually(t, "seven of ten were removed", func(context.Context) (bool, error) {
		return c.metric(t, "epitaph_audit_obituaries_expired_total") == 7, nil
	})
	if n := len(c.obituaries(t, ns)); n != 3 {
		t.Errorf("%d obituaries, want 3", n)
	}
}

// Who may look at a namespace may read its obituaries, because Kubernetes' own role view says so,
// and no others.
func TestWhoMayReadRecords(t *testing.T) {
	t.Parallel()
	mine, theirs := shared.namespace(t), shared.namespace(t)
	admin := shared.typed(t, shared.RESTConfig())
	for _, ns := range []string{mine, theirs} {
		shared.file(t, ns, "p", time.Now())
	}
	err := admin.Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: mine, Name: "view"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "dora"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	dora := shared.typed(t, shared.As("dora"))
	shared.eventually(t, "dora may read the obituaries of her namespace",
		func(ctx context.Context) (bool, error) {
			all := &v1alpha1.PodObituaryList{}
			err := dora.List(ctx, all, client.InNamespace(mine))
			return err == nil && len(all.Items) == 1, nil
		})
	own := shared.obituaries(t, mine)[0]
	tests := map[string]func(ctx context.Context) error{
		"lists another namespace's": func(ctx context.Context) error {
			return dora.List(ctx, &v1alpha1.PodObituaryList{}, client.InNamespace(theirs))
		},
		"lists everybody's": func(ctx context.Context) error {
			return dora.List(ctx, &v1alpha1.PodObituaryList{})
		},
		"lists those of nodes": func(ctx context.Context) error {
			return dora.List(ctx, &v1alpha1.NodeObituaryList{})
		},
		"removes one of her own": func(ctx context.Context) error { return dora.Delete(ctx, &own) },
		"writes one": func(ctx context.Context) error {
			forged := own.DeepCopy()
			forged.ObjectMeta = metav1.ObjectMeta{Namespace: mine, Name: "forged"}
			return dora.Create(ctx, forged)
		},
	}
	for name, try := range tests {
		if err := try(t.Context()); !apierrors.IsForbidden(err) {
			t.Errorf("dora %s: ended with %v, want it forbidden", name, err)
		}
	}
}

// Nothing can be created in a namespace that is being deleted. Its pods hold up nobody else's.
func TestPodsThatGoWithTheirNamespaceHoldUpNobody(t *testing.T) {
	t.Parallel()
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(c *config.Config) {
			quick(c)
			c.Audit.Classes = []string{"disruption", "unexplained", "routine"}
		}}})
	doomed, other := c.namespace(t), c.namespace(t)
	const many = 20
	c.unbound(t, doomed, many)
	c.unbound(t, other, 1)
	if err := c.client.CoreV1().Namespaces().Delete(t.Context(), doomed,
		metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "the namespace is gone", func(ctx context.Context) (bool, error) {
		_, err := c.client.CoreV1().Namespaces().Get(ctx, doomed, metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})
	c.insistsOnDeleting(t, c.as(t, runner), other, "p-0")
	c.recorded(t, other, "p-0")
	c.eventually(t, "all pods are counted", func(context.Context) (bool, error) {
		return c.metric(t, "epitaph_audit_pods_left_total") == many+1, nil
	})
	if n := c.metric(t, "epitaph_audit_obituaries_total"); n != many+1 {
		t.Errorf("%v obituaries have an outcome, want %d", n, many+1)
	}
}
