package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/internal/jsonpatch"
	"github.com/epitaph-k8s/epitaph/reason"
)

// An eviction is what the requester of one asks for.
type eviction struct {
	// grace is how long the pod is given; nil leaves that to the pod's spec.
	grace *int64
	// preconditions say which pod, and which version of it, the requester means.
	preconditions metav1.Preconditions
}

// decodeEviction reads a CREATE of pods/eviction and looks the pod up.
func (h *Handler) decodeEviction(ctx context.Context,
	req *admissionv1.AdmissionRequest) (request, error) {
	d := requestBy(req)
	d.subject, d.operation, d.namespace = reason.Pod, config.Evict, req.Namespace
	asked := &policyv1.Eviction{}
	if err := json.Unmarshal(req.Object.Raw, asked); err != nil {
		return d, fmt.Errorf("read the object of the review as an Eviction: %w", err)
	}
	d.remover.Evicts = true
	d.remover.Says = asked.Annotations[reason.EvictionReasonKey]
	d.remover.For = asked.Annotations[reason.EvictionRequesterKey]
	d.eviction = &eviction{}
	if o := asked.DeleteOptions; o != nil {
		// A dry run that is asked for in the body only leaves request.dryRun false.
		d.dryRun = d.dryRun || slices.Contains(o.DryRun, metav1.DryRunAll)
		d.eviction.grace = o.GracePeriodSeconds
		d.eviction.preconditions = ptr.Deref(o.Preconditions, metav1.Preconditions{})
	}
	name := req.Name
	if name == "" {
		name = asked.Name
	}
	// A live GET: this runs outside of the storage's loop, and policy wants the whole pod, which
	// the cache does not keep.
	pod := &corev1.Pod{}
	if err := h.live.Get(ctx, types.NamespacedName{Namespace: req.Namespace, Name: name},
		pod); err != nil {
		return d, fmt.Errorf("read pod %s/%s, which is to be evicted: %w", req.Namespace,
			reason.Clean(name), err)
	}
	d.object = pod
	d.raw = func() ([]byte, error) { return json.Marshal(pod) }
	return d, nil
}

// applyEviction sees to the reason of a pod that is to be evicted. Admission comes before the
// disruption budget is looked at, and the DELETE that follows is not admitted again. So a pod that
// vanishes with its eviction gets its reason now, and any other one when it is seen to terminate:
// an eviction that is refused must leave no trace. Where the pod goes although that was not
// foreseen, its record has what was decided here.
func (h *Handler) applyEviction(ctx context.Context, d request, o outcome) outcome {
	pod := d.object.(*corev1.Pod)
	h.refusals.Evicting(pod, o.reason)
	if !vanishes(pod, d.eviction.grace) {
		h.pending.add(pod.UID, pendingEviction{reason: o.reason, user: d.user, marks: o.marks})
		if d.markedFor() != "" && h.unmarked(d) {
			// The mark of a deletion that did not come about, or a forgery. The first that the pod
			// terminates with counts.
			_, o = h.mark(ctx, d, o)
		}
		if !o.marks {
			o.action = actionPromised
		}
		return o
	}
	refused, err := h.refuses(ctx, pod, d.eviction.preconditions)
	if err != nil {
		return outcome{action: actionFault, rule: o.rule, reason: o.reason, err: err}
	}
	if refused {
		// A finalizer may keep the pod that goes all the same.
		h.pending.add(pod.UID, pendingEviction{reason: o.reason, user: d.user, marks: o.marks})
		o.action = actionRefused
		return o
	}
	version, o := h.write(ctx, d, o)
	if version != "" && d.eviction.preconditions.ResourceVersion != nil {
		o.patch = []jsonpatch.Operation{jsonpatch.Replace(
			"/deleteOptions/preconditions/resourceVersion",
			version)}
	}
	return o
}

// refuses predicts whether the API server refuses the eviction of a pod. Our cache may be behind
// the budgets, and a refusal that does not come costs the pod its reason, so what it says is
// believed only if the API server has it, too. The other error leaves a reason on a pod that lives
// on, which is swept.
func (h *Handler) refuses(ctx context.Context, pod *corev1.Pod,
	only metav1.Preconditions) (bool, error) {
	if !met(pod, only) {
		return true, nil
	}
	if skipsBudgets(pod) {
		return false, nil
	}
	for _, from := range []client.Reader{h.reader, h.live} {
		budgets := &policyv1.PodDisruptionBudgetList{}
		if err := from.List(ctx, budgets, client.InNamespace(pod.Namespace)); err != nil {
			return false, fmt.Errorf("list the disruption budgets of namespace %s: %w",
				pod.Namespace, err)
		}
		if !budgetsRefuse(pod, budgets.Items) {
			return false, nil
		}
	}
	return true, nil
}
