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
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

// An eviction is what the requester of one asks for.
type eviction struct {
	// graceless is set where the pod is to go at once.
	graceless bool
	// versioned is set where the requester bound the eviction to a resource version of the pod.
	versioned bool
}

// decodeEviction reads a CREATE of pods/eviction and looks the pod up.
func (h *Handler) decodeEviction(ctx context.Context, req *admissionv1.AdmissionRequest) (request, error) {
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
		d.eviction.graceless = o.GracePeriodSeconds != nil && *o.GracePeriodSeconds == 0
		d.eviction.versioned = o.Preconditions != nil && o.Preconditions.ResourceVersion != nil
	}
	name := req.Name
	if name == "" {
		name = asked.Name
	}
	// A live GET: this runs outside of the storage's loop, and policy wants the whole pod, which the cache does not keep.
	pod := &corev1.Pod{}
	if err := h.live.Get(ctx, types.NamespacedName{Namespace: req.Namespace, Name: name}, pod); err != nil {
		return d, fmt.Errorf("read pod %s/%s, which is to be evicted: %w", req.Namespace, reason.Clean(name), err)
	}
	d.object = pod
	d.raw = func() ([]byte, error) { return json.Marshal(pod) }
	return d, nil
}

// applyEviction sees to the reason of a pod that is to be evicted. Admission comes before the disruption budget is looked at,
// and the DELETE that follows is not admitted again. So a pod that vanishes with its eviction gets its reason now, and any
// other one when it is seen to terminate: an eviction that is refused must leave no trace.
func (h *Handler) applyEviction(ctx context.Context, d request, o outcome) outcome {
	pod := d.object.(*corev1.Pod)
	if !vanishes(pod, d.eviction) {
		h.promises.make(pod.UID, o.reason)
		o.action = actionPromised
		return o
	}
	refused, err := h.budgetRefuses(ctx, pod)
	if err != nil {
		return outcome{action: actionFault, rule: o.rule, reason: o.reason, err: err}
	}
	if refused {
		o.action = actionRefused
		return o
	}
	version, o := h.write(ctx, d, o)
	if version != "" && d.eviction.versioned {
		o.patch = []operation{{Op: "replace", Path: "/deleteOptions/preconditions/resourceVersion", Value: version}}
	}
	return o
}

// vanishes tells whether the eviction removes the pod at once, so that no terminating pod will be seen.
func vanishes(pod *corev1.Pod, e *eviction) bool {
	return e.graceless || pod.Spec.NodeName == "" || finished(pod) ||
		pod.DeletionGracePeriodSeconds != nil && *pod.DeletionGracePeriodSeconds == 0
}

func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// budgetRefuses predicts what the API server will say of a pod that it would ask a disruption budget for
// (pkg/registry/core/pod/storage/eviction.go: pending, finished and terminating pods are not asked for).
func (h *Handler) budgetRefuses(ctx context.Context, pod *corev1.Pod) (bool, error) {
	if pod.Status.Phase == corev1.PodPending || finished(pod) || pod.DeletionTimestamp != nil {
		return false, nil
	}
	budgets := &policyv1.PodDisruptionBudgetList{}
	if err := h.reader.List(ctx, budgets, client.InNamespace(pod.Namespace)); err != nil {
		return false, fmt.Errorf("list the disruption budgets of namespace %s: %w", pod.Namespace, err)
	}
	for n := range budgets.Items {
		b := &budgets.Items[n]
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil {
			return false, fmt.Errorf("read the selector of disruption budget %s: %w", client.ObjectKeyFromObject(b), err)
		}
		if selector.Matches(labels.Set(pod.Labels)) && b.Status.DisruptionsAllowed <= 0 {
			return true, nil
		}
	}
	return false, nil
}
