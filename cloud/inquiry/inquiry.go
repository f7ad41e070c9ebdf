package inquiry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cloud/explain"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// maxWait bounds how long a cloud may have itself left alone: it is asked again in time for the
	// next turn.
	maxWait = 15 * time.Minute
	// maxUnanswered and maxUnansweredBytes are the bounds of the definition.
	maxUnanswered      = 16
	maxUnansweredBytes = 512
)

// Options are the collaborators of an Inquiry.
type Options struct {
	// Askers are asked, each about the instances of its cloud.
	Askers []explain.Asker
	// Live reads from the API server, and Status writes the status of records.
	Live   client.Reader
	Status client.SubResourceWriter
	// Timeout bounds what one Ask may take.
	Timeout time.Duration
	// PerSecond bounds how often all clouds together are asked.
	PerSecond  float32
	Clock      clock.WithTicker
	Registerer prometheus.Registerer
	Log        logr.Logger
}

// An Inquiry asks clouds. It reconciles NodeObituaries, in one replica.
type Inquiry struct {
	Options
	askers  map[string]explain.Asker
	limiter flowcontrol.RateLimiter
	metrics *metrics

	mu sync.Mutex
	// silent is until when a cloud wants not to be asked.
	silent map[string]time.Time
	// settled are the records whose answer stands, until they expire.
	settled map[string]time.Time
}

// New returns an Inquiry.
func New(o Options) (*Inquiry, error) {
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	i := &Inquiry{Options: o, askers: map[string]explain.Asker{}, metrics: m,
		limiter: flowcontrol.NewTokenBucketRateLimiter(o.PerSecond, 1),
		silent:  map[string]time.Time{}, settled: map[string]time.Time{}}
	for _, a := range o.Askers {
		i.askers[a.Cloud()] = a
	}
	return i, nil
}

// Concerns selects the records of instances of the clouds that are asked.
func (i *Inquiry) Concerns() predicate.Predicate {
	return predicate.NewPredicateFuncs(i.concerns)
}

func (i *Inquiry) concerns(o client.Object) bool {
	record, ok := o.(*v1alpha1.NodeObituary)
	if !ok || i.askers[cloudOf(record.Spec.ProviderID)] == nil {
		return false
	}
	_, ok = next(record, i.Clock.Now())
	return ok && !i.isSettled(record)
}

// Reconcile asks about a record if its turn has come, and comes back for the next turn.
func (i *Inquiry) Reconcile(ctx context.Context,
	request reconcile.Request) (reconcile.Result, error) {
	record := &v1alpha1.NodeObituary{}
	if err := i.Live.Get(ctx, request.NamespacedName, record); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	cloud := cloudOf(record.Spec.ProviderID)
	asker, now := i.askers[cloud], i.Clock.Now()
	turn, ok := next(record, now)
	if asker == nil || !ok || i.isSettled(record) {
		return reconcile.Result{}, nil
	}
	if wait := max(turn.in, i.silence(cloud, now)); wait > 0 {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	if err := i.limiter.Wait(ctx); err != nil {
		return reconcile.Result{}, fmt.Errorf("wait for a turn to ask %s: %w", cloud, err)
	}
	answer, err := i.ask(ctx, asker, record)
	if wait := min(explain.After(err), maxWait); wait > 0 {
		i.beSilent(cloud, now.Add(wait))
		if !turn.last {
			return reconcile.Result{RequeueAfter: wait}, nil
		}
	}
	if err == nil || errors.Is(err, explain.ErrNotOurs) || turn.last {
		i.settle(record)
	}
	if errors.Is(err, explain.ErrNotOurs) {
		return reconcile.Result{}, nil
	}
	if err := i.write(ctx, record, answer); err != nil {
		i.unsettle(record)
		return reconcile.Result{}, err
	}
	if again, ok := next(record, i.Clock.Now()); ok && !i.isSettled(record) {
		return reconcile.Result{RequeueAfter: max(again.in, time.Second)}, nil
	}
	return reconcile.Result{}, nil
}

// ask asks once, and turns a refusal into an answer that says so.
func (i *Inquiry) ask(ctx context.Context, asker explain.Asker,
	record *v1alpha1.NodeObituary) (v1alpha1.CloudAnswer, error) {
	asking, cancel := context.WithTimeout(ctx, i.Timeout)
	defer cancel()
	began := i.Clock.Now()
	answer, err := asker.Ask(asking, explain.Instance{ProviderID: record.Spec.ProviderID,
		Node: record.Spec.NodeName, Gone: leftAt(record)})
	i.metrics.took.WithLabelValues(asker.Cloud()).Observe(i.Clock.Since(began).Seconds())
	became := outcomeOf(answer, err)
	i.metrics.asked.WithLabelValues(asker.Cloud(), string(became)).Inc()
	about := []any{"node", record.Spec.NodeName, "cloud", asker.Cloud(), "outcome", became,
		"what", reason.CleanTo(answer.What, maxUnansweredBytes)}
	switch became {
	case failed, throttled:
		answer.Unanswered = append(answer.Unanswered, reason.CleanTo(err.Error(),
			maxUnansweredBytes))
		about = append(about, "problem", string(reason.Clean(err.Error())))
	case answered, unknown, early, foreign:
	}
	answer.Unanswered = answer.Unanswered[:min(len(answer.Unanswered), maxUnanswered)]
	answer.Cloud, answer.Asked = asker.Cloud(), metav1.NewTime(i.Clock.Now())
	i.Log.Info("asked why an instance went", about...)
	return answer, err
}

// write puts the answer on the record. What was known before is not replaced by less.
func (i *Inquiry) write(ctx context.Context, record *v1alpha1.NodeObituary,
	answer v1alpha1.CloudAnswer) error {
	before := record.DeepCopy()
	if held := record.Status.Cloud; held != nil && held.What != "" && answer.What == "" {
		asked, missing := answer.Asked, answer.Unanswered
		answer = *held.DeepCopy()
		answer.Asked, answer.Unanswered = asked, missing
	}
	record.Status.Cloud = &answer
	err := i.Status.Patch(ctx, record, client.MergeFromWithOptions(before,
		client.MergeFromWithOptimisticLock{}))
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write the cloud's answer about node %s: %w", before.Spec.NodeName, err)
	}
	return nil
}

func (i *Inquiry) silence(cloud string, now time.Time) time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.silent[cloud].Sub(now)
}

func (i *Inquiry) beSilent(cloud string, until time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if until.After(i.silent[cloud]) {
		i.silent[cloud] = until
	}
}

func (i *Inquiry) isSettled(o *v1alpha1.NodeObituary) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	_, ok := i.settled[string(o.UID)]
	return ok
}

// settle remembers that nothing more is asked about a record for as long as anything would be.
func (i *Inquiry) settle(o *v1alpha1.NodeObituary) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.Clock.Now()
	for uid, until := range i.settled {
		if now.After(until) {
			delete(i.settled, uid)
		}
	}
	i.settled[string(o.UID)] = now.Add(tooOld)
}

func (i *Inquiry) unsettle(o *v1alpha1.NodeObituary) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.settled, string(o.UID))
}
