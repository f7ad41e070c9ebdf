package webhook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/httpsserver"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

// Obituaries records why nodes left. It outlives the Node object and this process.
type Obituaries interface {
	// RecordDeletion writes why the node leaves, and who asked for its deletion. It is called
	// before the deletion is allowed.
	RecordDeletion(ctx context.Context, node *corev1.Node, r reason.Reason, deletedBy string) error
	// Find returns the reason that the node left with to which a pod created at that time was
	// bound.
	Find(ctx context.Context, node string, podCreated time.Time) (reason.Reason, bool, error)
}

// A Writer writes a reason onto an existing object, or completes the one that it has. It is
// *termination.Terminator.
type Writer interface {
	// AnnotateFor writes the reason of the deletion that the user asked for; WrittenFor returns
	// that user for an object that lives on with such a reason.
	AnnotateFor(ctx context.Context, obj client.Object, r reason.Reason,
		user string) (resourceVersion string, err error)
	WrittenFor(obj client.Object) (user string, ours bool)
	Complete(ctx context.Context, obj client.Object, r reason.Reason,
		user string) (resourceVersion string, err error)
	// Mark only writes that the user asked for the deletion.
	Mark(ctx context.Context, obj client.Object, user string) (resourceVersion string, err error)
}

// A Handler decides about deletions.
type Handler struct {
	reader   client.Reader
	live     client.Reader
	objects  *objects
	promises *promises
	pace     *pace
	// writesFirst is set if every reason has to be written before the answer.
	writesFirst atomic.Bool
	refusals    *audit.Refusals
	// supposes is set if the object in question need not exist ([WhatIf]).
	supposes bool
	bodies   *httpsserver.Bodies
	created  config.CreatedReasons
	// timeout is how long a request may take: a little less than the API server waits, so that the
	// answer arrives in time.
	timeout    time.Duration
	obituaries Obituaries
	// owners is nil if owners are not recorded.
	owners   *audit.OwnerEnds
	writer   Writer
	inferrer reason.Inferrer
	// policy may be replaced between two requests; one request is decided by one policy.
	policy       atomic.Pointer[policy]
	failure      config.FailurePolicy
	ownNamespace string
	// self is our own user.
	self         string
	writeTimeout time.Duration
	clock        clock.PassiveClock
	metrics      *metrics
	log          logr.Logger
	// denials bounds how many denials are logged: whoever is denied may try any number of times.
	denials flowcontrol.PassiveRateLimiter
}

// denialsPerSecond and denialsAtOnce are what denials bounds them to.
const denialsPerSecond, denialsAtOnce = 10, 100

// handle decides about one request and writes the resulting reason.
func (h *Handler) handle(ctx context.Context, req *admissionv1.AdmissionRequest) outcome {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	switch {
	case isOwner(req):
		return h.handleOwner(ctx, req)
	case isScaling(req):
		return h.handleScaling(ctx, req)
	}
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
	case err == nil:
		return h.remove(ctx, d)
	case apierrors.IsNotFound(err):
		return outcome{action: actionGone}
	default:
		return outcome{action: actionFault, err: err}
	}
}

// confirm checks, in our cache and then at the API server, that the object of a review exists.
// Anybody who reaches our port may claim that something is deleted; reasons and records are written
// only for an object that exists with this UID.
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

// remove decides about a removal, and writes the reason.
func (h *Handler) remove(ctx context.Context, d request) outcome {
	d = h.refreshed(ctx, d)
	if o, ok := h.keepPromise(ctx, d); ok {
		return o
	}
	d.actor = h.inferrer.ActorOf(d.user, d.groups)
	p := h.policy.Load()
	rule, err := p.decide(ctx, d.deletion, h.labelsOf)
	if err != nil {
		return outcome{action: actionFault, rule: rule.Name, err: err}
	}
	if rule.Action == config.Ignore {
		h.supersede(d)
		return outcome{action: actionIgnored, rule: rule.Name}
	}
	if h.othersPromise(ctx, d) {
		return outcome{action: actionStale, rule: rule.Name}
	}
	o := h.decide(ctx, d, rule, p.mode)
	if o.action == actionFilled || o.action == actionKept || o.action == actionWarned {
		o = h.apply(ctx, d, o)
	}
	return o
}

// decide finds the reason that the object leaves with, or denies that it leaves.
func (h *Handler) decide(ctx context.Context, d request, rule config.Rule,
	mode config.Mode) outcome {
	keys := h.inferrer.Keys.Of(d.subject)
	asked := d
	if h.leftover(d) {
		asked.object = without(d.object, keys)
	}
	_, problem := keys.Read(asked.object.GetAnnotations())
	if problem == nil {
		return h.keep(d, rule)
	}
	facts, late, err := h.facts(ctx, asked)
	if err != nil {
		return outcome{action: actionFault, rule: rule.Name,
			err: fmt.Errorf("find out why %s %s goes: %w", d.subject, d.object.GetName(), err)}
	}
	if r, ok := h.inferrer.Infer(facts); ok {
		return outcome{action: actionFilled, rule: rule.Name, reason: r, late: late}
	}
	if !errors.Is(problem, reason.ErrBlank) && rule.Action == config.Fill {
		return outcome{action: actionFilled, rule: rule.Name, reason: mended(keys, d)}
	}
	if rule.Action == config.Fill {
		return outcome{action: actionFilled, rule: rule.Name, reason: facts.Unknown(), late: late}
	}
	message := denial(d.subject, d.object.GetNamespace(), d.object.GetName(), keys.Reason,
		rule.Name, problem)
	if mode == config.AuditMode {
		return outcome{action: actionWarned, rule: rule.Name, reason: facts.Unknown(),
			message: "epitaph (audit only): " + message}
	}
	return outcome{action: actionDenied, rule: rule.Name, message: message}
}

// leftover tells whether the object still has the reason that we wrote for somebody else's
// deletion, which did not happen.
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

// keep leaves the object's words as they are, and adds the code and the actor if they are missing.
func (h *Handler) keep(d request, rule config.Rule) outcome {
	own, _ := h.inferrer.Infer(d.ownFacts())
	for key, value := range h.inferrer.Keys.Of(d.subject).Annotations(own) {
		if d.object.GetAnnotations()[key] != value {
			return outcome{action: actionFilled, rule: rule.Name, reason: own, completes: true}
		}
	}
	return outcome{action: actionKept, rule: rule.Name, reason: own, marks: h.unmarked(d)}
}

// unmarked tells whether the pod does not yet say who asked for its deletion. A node's record says
// so without a mark, and the deletion of a terminating pod was requested before.
func (h *Handler) unmarked(d request) bool {
	if d.subject != reason.Pod || d.object.GetDeletionTimestamp() != nil || d.user == h.self {
		return false
	}
	return d.markedFor() != reason.CleanTo(d.user, reason.MaxByBytes)
}

// markedFor returns the user that the object's mark names, if any.
func (d request) markedFor() string {
	w, _ := reason.ReadWritten(d.object.GetAnnotations())
	return w.For
}

// mended keeps a program's words if they are not a valid reason only because of their length or
// characters.
func mended(keys reason.Keys, d request) reason.Reason {
	return reason.New(d.subject, reason.UserRequest, d.object.GetAnnotations()[keys.Reason], d.user)
}

// apply writes the outcome's reason. A Node's goes into its obituary first, which must outlive it.
func (h *Handler) apply(ctx context.Context, d request, o outcome) outcome {
	if d.dryRun {
		o.action = actionDryRun
		return o
	}
	if h.lingers(d, o) && h.promises.owe(d.object.GetUID()) {
		return h.later(d, o)
	}
	ctx, cancel := context.WithTimeout(ctx, h.writeTimeout)
	defer cancel()
	if node, ok := d.object.(*corev1.Node); ok {
		if err := h.obituaries.RecordDeletion(logr.NewContext(ctx, h.log), node, o.reason,
			h.deleter(d, o.reason)); err != nil {
			return outcome{action: actionFault, rule: o.rule, reason: o.reason, err: err}
		}
	}
	switch {
	case o.action == actionKept && !o.marks:
	case d.eviction != nil:
		return h.applyEviction(ctx, d, o)
	default:
		_, o = h.write(ctx, d, o)
	}
	if d.eviction == nil && o.action != actionStale {
		h.supersede(d)
	}
	return o
}

// write writes the outcome's reason onto the object, and returns its new resource version.
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
		// The API server cannot commit a delete of this copy either: it reads the object again, and
		// calls us again if there is still no reason.
		o.action = actionStale
	case errors.Is(err, termination.ErrUnwritable):
		// Whatever the failure policy is, an object must not stay forever because its reason can
		// never be written.
		o.action, o.message = actionUnwritable, unwritten(err)
	case err != nil:
		return "", outcome{action: actionFault, rule: o.rule, reason: o.reason, err: err}
	}
	return version, o
}

// mark writes who asked for the deletion, and leaves the reason as it is. A failure does not hold
// the deletion up: without the mark, the record says that it is unknown who asked.
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

// deleter returns who deletes: the user that the API server authenticated or, for our own user, the
// component of ours.
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
	resource := req.Resource.Resource
	if isOwner(req) || isScaling(req) {
		resource = ownersResource
	}
	h.metrics.observe(resource, o, h.clock.Since(start))
	about := func(more ...any) []any {
		return append(more, "resource", req.Resource.Resource, "namespace", req.Namespace,
			"rule", o.rule, "action", string(o.action))
	}
	switch {
	case o.action == actionFault:
		h.log.Error(o.err, "decision failed", about("failurePolicy", string(h.failure))...)
	case o.action == actionDenied && h.denials.TryAccept():
		h.log.Info("deletion denied", about("name", req.Name, "user",
			string(reason.Clean(req.UserInfo.Username)))...)
	case h.log.V(1).Enabled():
		h.log.V(1).Info("deletion decided", about("code", string(o.reason.Code))...)
	}
	response, err := respond(o, h.failure)
	if err != nil {
		return nil, err
	}
	response.UID = req.UID
	return response, nil
}

// guard turns a panic of ours into a fault: it must neither deny a delete nor end the process.
func (h *Handler) guard(ctx context.Context, req *admissionv1.AdmissionRequest) (o outcome) {
	defer func() {
		if p := recover(); p != nil {
			o = outcome{action: actionFault, err: fmt.Errorf("decide about a deletion: panic: %v",
				p)}
		}
	}()
	return h.handle(ctx, req)
}
