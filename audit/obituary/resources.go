package obituary

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/component-helpers/resource"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// maxResources and maxAmountBytes are the bounds of the CRD.
	maxResources   = 16
	maxAmountBytes = 64
	// maxLabels bounds the labels of an obituary.
	maxLabels = 16
)

// requests returns what the pod had asked for, as the scheduler counts it.
func requests(pod *corev1.Pod) map[string]v1alpha1.Amount {
	return amounts(resource.PodRequests(pod, resource.PodResourcesOptions{}))
}

// limits returns what the pod was allowed to use.
func limits(pod *corev1.Pod) map[string]v1alpha1.Amount {
	return amounts(resource.PodLimits(pod, resource.PodResourcesOptions{}))
}

// amounts keeps the first resources by name, should there be too many.
func amounts(all corev1.ResourceList) map[string]v1alpha1.Amount {
	var kept map[string]v1alpha1.Amount
	for _, name := range slices.Sorted(maps.Keys(all)) {
		quantity := all[name]
		if quantity.IsZero() || len(validation.IsQualifiedName(string(name))) > 0 ||
			len(kept) == maxResources {
			continue
		}
		if kept == nil {
			kept = map[string]v1alpha1.Amount{}
		}
		kept[string(name)] = v1alpha1.Amount(reason.CleanTo(quantity.String(), maxAmountBytes))
	}
	return kept
}

// Labels returns the labels of a pod's obituary: the first of those that are wanted, by name, that
// an API server accepts.
func Labels(of map[string]string, wanted func(key string) bool) map[string]string {
	var kept map[string]string
	for _, key := range slices.Sorted(maps.Keys(of)) {
		if !wanted(key) || len(validation.IsQualifiedName(key)) > 0 ||
			len(validation.IsValidLabelValue(of[key])) > 0 || len(kept) == maxLabels {
			continue
		}
		if kept == nil {
			kept = map[string]string{}
		}
		kept[key] = of[key]
	}
	return kept
}
