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

// An eviction is what its requester asks for.
type eviction struct {
	// preconditions identify the pod, and the version of it, that the requester means.
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
		// A dry run that only the body asks for leaves request.dryRun false.
		d.dryRun = d.dryRun || slices.Contains(o.DryRun, metav1.DryRunAll)
		d.grace = o.GracePeriodSeconds
		d.eviction.preconditions = ptr.Deref(o.Preconditions, metav1.Preconditions{})
	}
	name := req.Name
	if name == "" {
		name = asked.Name
	}
	// A live GET: this runs outside of the storage's retry loop, and policy needs the whole pod,
	// which the cache does not keep.
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

// applyEviction writes or promises the reason of a pod that is to be evicted. Admission comes
// before the disruption budget is checked, and the DELETE that follows is not admitted again. So a
// pod that vanishes with its eviction gets its reason now, and any other when it is seen to
// terminate: a refused eviction must leave no trace. If the pod vanishes unexpectedly, its record
// has what was decided here.
func (h *Handler) applyEviction(ctx context.Context, d request, o outcome) outcome {
	pod := d.object.(*corev1.Pod)
	if !vanishes(pod, d.grace) {
		h.promise(d, o)
		if d.markedFor() != "" && h.unmarked(d) {
			// The mark is of a deletion that did not happen, or forged. What the pod has when it
			// begins to terminate counts.
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
		// A finalizer may still keep the pod that is leaving.
		h.promise(d, o)
		o.action = actionRefused
		return o
	}
	h.refusals.Promised(pod, o.reason, true)
	version, o := h.write(ctx, d, o)
	return d.followedBy(o, version)
}

// followedBy has an eviction that names a resource version name the one of our own write.
func (d request) followedBy(o outcome, version string) outcome {
	if version != "" && d.eviction != nil && d.eviction.preconditions.ResourceVersion != nil {
		o.patch = []jsonpatch.Operation{jsonpatch.Replace(
			"/deleteOptions/preconditions/resourceVersion",
			version)}
	}
	return o
}

// refuses predicts whether the API server refuses the eviction of a pod. Our cache may lag behind
// the budgets, and a wrongly predicted refusal costs the pod its reason, so the API server's own
// budgets have to confirm a refusal. The opposite mistake leaves a reason on a pod that lives on,
// and is swept.
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
