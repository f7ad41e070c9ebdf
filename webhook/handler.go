package webhook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/httpsserver"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

// Obituaries remembers what nodes died of, beyond the Node object and this process.
type Obituaries interface {
	// RecordDeletion writes what the node leaves with, and who asked for its deletion. It is called
	// before that is allowed.
	RecordDeletion(ctx context.Context, node *corev1.Node, r reason.Reason, deletedBy string) error
	// Find returns the reason with which the node left that a pod, created at the given time, was
	// bound to.
	Find(ctx context.Context, node string, podCreated time.Time) (reason.Reason, bool, error)
}

// A Writer puts a reason onto a living object, or completes the one that is there. It is
// *termination.Terminator.
type Writer interface {
	// AnnotateFor writes the reason of the deletion that the user has asked for; WrittenFor tells,
	// of an object that lives on with such a reason, which user that was.
	AnnotateFor(ctx context.Context, obj client.Object, r reason.Reason,
		user string) (resourceVersion string, err error)
	WrittenFor(obj client.Object) (user string, ours bool)
	Complete(ctx context.Context, obj client.Object, r reason.Reason,
		user string) (resourceVersion string, err error)
	// Mark writes no more than that the user has asked for the deletion.
	Mark(ctx context.Context, obj client.Object, user string) (resourceVersion string, err error)
}

// A Handler decides about deletions.
type Handler struct {
	reader   client.Reader
	live     client.Reader
	pending  *pendingEvictions
	refusals *audit.Refusals
	// supposes is set where a question is asked about an object that need not be there ([WhatIf]).
	supposes bool
	bodies   *httpsserver.Bodies
	created  config.CreatedReasons
	// timeout is how long a request may take: a little less than the API server waits, so that an
	// answer is heard.
	timeout    time.Duration
	obituaries Obituaries
	writer     Writer
	inferrer   reason.Inferrer
	policy     policy
	failure    config.FailurePolicy
	// self is the user that we are.
	self         string
	writeTimeout time.Duration
	clock        clock.PassiveClock
	metrics      *metrics
	log          logr.Logger
}

// handle decides about one request and writes the reason that it leads to.
func (h *Handler) handle(ctx context.Context, req *admissionv1.AdmissionRequest) outcome {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	what, err := kindOf(req)
	var d request
	switch {
	case err != nil:
		return outcome{action: actionFault, err: err}
	case what == kindCreate:
		return h.handleCreate(req)
	case what == kindEvict:
		d, err = h.decodeEviction(ctx, req)
	default:
		if d, err = decodeDeletion(req); err == nil {
			err = h.confirm(ctx, d)
		}
	}
	switch {
	case apierrors.IsNotFound(err):
		return outcome{action: actionGone}
	case err != nil:
		return outcome{action: actionFault, err: err}
	}
	return h.remove(ctx, d)
}

// confirm asks the API server, first by way of our cache, whether the object of a review is there.
// Whoever reaches our port may say that something is deleted; only what is there, with this UID,
// has a reason or a record written for it.
func (h *Handler) confirm(ctx context.Context, d request) error {
	if h.supposes {
		return nil
	}
	for _, from := range []client.Reader{h.reader, h.live} {
		var there client.Object = &corev1.Pod{}
		if d.subject == reason.Node {
			there = &corev1.Node{}
		}
		key := client.ObjectKeyFromObject(d.object)
		err := from.Get(ctx, key, there)
		switch {
		case err == nil && there.GetUID() == d.object.GetUID() && there.GetUID() != "":
			return nil
		case client.IgnoreNotFound(err) != nil:
			return fmt.Errorf("look for %s %s: %w", d.subject, reason.Clean(key.String()), err)
		}
	}
	return apierrors.NewNotFound(corev1.Resource(d.subject.String()+"s"), d.object.GetName())
}

// remove decides about a removal, and writes.
func (h *Handler) remove(ctx context.Context, d request) outcome {
	d.actor = h.inferrer.ActorOf(d.user, d.groups)
	rule, err := h.policy.decide(ctx, d.deletion, h.labelsOf)
	if err != nil {
		return outcome{action: actionFault, rule: rule.Name, err: err}
	}
	if rule.Action == config.Ignore {
		return outcome{action: actionIgnored, rule: rule.Name}
	}
	o := h.decide(ctx, d, rule)
	if o.action == actionFilled || o.action == actionKept || o.action == actionWarned {
		o = h.apply(ctx, d, o)
	}
	return o
}

// decide finds the reason that the object leaves with, or that it must not leave.
func (h *Handler) decide(ctx context.Context, d request, rule config.Rule) outcome {
	keys := h.inferrer.Keys.Of(d.subject)
	asked := d
	if h.leftover(d) {
		asked.object = without(d.object, keys)
	}
	_, problem := keys.Read(asked.object.GetAnnotations())
	if problem == nil {
		return h.keep(d, rule)
	}
	facts, err := h.facts(ctx, asked)
	if err != nil {
		return outcome{action: actionFault, rule: rule.Name,
			err: fmt.Errorf("find out why %s %s goes: %w", d.subject, d.object.GetName(), err)}
	}
	if r, ok := h.inferrer.Infer(facts); ok {
		return outcome{action: actionFilled, rule: rule.Name, reason: r}
	}
	if !errors.Is(problem, reason.ErrBlank) && rule.Action == config.Fill {
		return outcome{action: actionFilled, rule: rule.Name, reason: mended(keys, d)}
	}
	if rule.Action == config.Fill {
		return outcome{action: actionFilled, rule: rule.Name, reason: facts.Unknown()}
	}
	message := denial(d.subject, d.object.GetNamespace(), d.object.GetName(), keys.Reason,
		rule.Name, problem)
	if h.policy.mode == config.AuditMode {
		return outcome{action: actionWarned, rule: rule.Name, reason: facts.Unknown(),
			message: "epitaph (audit only): " + message}
	}
	return outcome{action: actionDenied, rule: rule.Name, message: message}
}

// leftover tells whether the object lives on with the reason that we wrote for somebody else's
// deletion, which did not come about.
func (h *Handler) leftover(d request) bool {
	user, ours := h.writer.WrittenFor(d.object)
	return ours && user != reason.CleanTo(d.user, reason.MaxByBytes)
}

// without returns the object as if it had no reason.
func without(object client.Object, keys reason.Keys) client.Object {
	bare := object.DeepCopyObject().(client.Object)
	annotations := bare.GetAnnotations()
	for _, key := range []string{keys.Reason, keys.Code, keys.By} {
		delete(annotations, key)
	}
	bare.SetAnnotations(annotations)
	if pod, ok := bare.(*corev1.Pod); ok {
		pod.Status.Conditions = slices.DeleteFunc(pod.Status.Conditions,
			func(c corev1.PodCondition) bool { return c.Type == reason.HeldIn })
	}
	return bare
}

// keep leaves the words that are on the object, and completes them by a missing code and actor.
func (h *Handler) keep(d request, rule config.Rule) outcome {
	own, _ := h.inferrer.Infer(d.ownFacts())
	for key, value := range h.inferrer.Keys.Of(d.subject).Annotations(own) {
		if d.object.GetAnnotations()[key] != value {
			return outcome{action: actionFilled, rule: rule.Name, reason: own, completes: true}
		}
	}
	return outcome{action: actionKept, rule: rule.Name, reason: own, marks: h.unmarked(d)}
}

// unmarked tells whether the pod does not say yet who asked for its deletion. The record of a node
// says it without a mark, and a pod that terminates was asked for before.
func (h *Handler) unmarked(d request) bool {
	if d.subject != reason.Pod || d.object.GetDeletionTimestamp() != nil || d.user == h.self {
		return false
	}
	return d.markedFor() != reason.CleanTo(d.user, reason.MaxByBytes)
}

// markedFor is the user whom the object's mark names, if any.
func (d request) markedFor() string {
	w, _ := reason.ReadWritten(d.object.GetAnnotations())
	return w.For
}

// mended keeps the words of a program whose reason is not one for its length or its characters.
func mended(keys reason.Keys, d request) reason.Reason {
	return reason.New(d.subject, reason.UserRequest, d.object.GetAnnotations()[keys.Reason], d.user)
}

// apply writes the outcome's reason: for a Node first into its obituary, which must outlive it.
func (h *Handler) apply(ctx context.Context, d request, o outcome) outcome {
	if d.dryRun {
		o.action = actionDryRun
		return o
	}
	ctx, cancel := context.WithTimeout(ctx, h.writeTimeout)
	defer cancel()
	if node, ok := d.object.(*corev1.Node); ok {
		if err := h.obituaries.RecordDeletion(ctx, node, o.reason,
			h.deleter(d, o.reason)); err != nil {
			return outcome{action: actionFault, rule: o.rule, reason: o.reason, err: err}
		}
	}
	switch {
	case o.action == actionKept && !o.marks:
		return o
	case d.eviction != nil:
		return h.applyEviction(ctx, d, o)
	}
	_, o = h.write(ctx, d, o)
	return o
}

// write puts the outcome's reason onto the object, and returns its new resource version.
func (h *Handler) write(ctx context.Context, d request, o outcome) (version string, _ outcome) {
	var err error
	switch {
	case o.marks:
		return h.mark(ctx, d, o)
	case o.completes:
		version, err = h.writer.Complete(ctx, d.object, o.reason, d.user)
	default:
		version, err = h.writer.AnnotateFor(ctx, d.object, o.reason, d.user)
	}
	switch {
	case errors.Is(err, termination.ErrGone):
		o.action = actionGone
	case errors.Is(err, termination.ErrVanishing):
		o.action = actionVanishing
	case errors.Is(err, termination.ErrChanged):
		// The API server cannot commit a delete of this copy either: it reads again, and asks again
		// if there is still no reason.
		o.action = actionStale
	case errors.Is(err, termination.ErrUnwritable):
		// Whatever the failure policy: what can never be written must not keep the object for ever.
		o.action, o.message = actionUnwritable, unwritten(err)
	case err != nil:
		return "", outcome{action: actionFault, rule: o.rule, reason: o.reason, err: err}
	}
	return version, o
}

// mark writes who asked for the deletion beside a reason that stays as it is. A deletion that has a
// reason is not held up for it: without the mark, the record says that it is not known who asked.
func (h *Handler) mark(ctx context.Context, d request, o outcome) (version string, _ outcome) {
	version, err := h.writer.Mark(ctx, d.object, d.user)
	for _, expected := range []error{nil, termination.ErrGone, termination.ErrVanishing,
		termination.ErrChanged, termination.ErrUnwritable} {
		if errors.Is(err, expected) {
			return version, o
		}
	}
	h.log.Error(err, "who asked for a deletion was not written")
	return "", o
}

// deleter names who deletes: the user whom the API server authenticated, or the component of ours
// that asks as ourselves.
func (h *Handler) deleter(d request, r reason.Reason) string {
	if d.user == h.self {
		return reason.OwnDeleter(r.By)
	}
	return d.user
}

// answer decides, counts, logs and turns the outcome into a response.
func (h *Handler) answer(ctx context.Context,
	req *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
	start := h.clock.Now()
	o := h.guard(ctx, req)
	h.metrics.observe(req.Resource.Resource, o, h.clock.Since(start))
	log := logr.FromContextOrDiscard(ctx).WithValues("resource", req.Resource.Resource,
		"namespace", req.Namespace,
		"rule", o.rule, "action", string(o.action))
	if o.action == actionFault {
		log.Error(o.err, "decision failed", "failurePolicy", string(h.failure))
	} else {
		log.V(1).Info("deletion decided", "code", string(o.reason.Code))
	}
	response, err := respond(o, h.failure)
	if err != nil {
		return nil, err
	}
	response.UID = req.UID
	return response, nil
}

// guard turns a panic of ours into a fault: it must not become the denial of a delete, nor take the
// process down.
func (h *Handler) guard(ctx context.Context, req *admissionv1.AdmissionRequest) (o outcome) {
	defer func() {
		if p := recover(); p != nil {
			o = outcome{action: actionFault, err: fmt.Errorf("decide about a deletion: panic: %v",
				p)}
		}
	}()
	return h.handle(ctx, req)
}
