package reports

import (
	"fmt"

	"github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/epitaph-k8s/epitaph/config"
)

const (
	// Name is the name of each of our reports: one in each namespace, and one of the cluster.
	Name = "epitaph-findings"
	// OwnerLabel distinguishes our reports from somebody else's of that name, by its value.
	OwnerLabel = "app.kubernetes.io/managed-by"
	owner      = "epitaph"
)

// An api is the API that reports are written in. The two differ in their names, and in what a
// report says of itself; their results are alike, field by field (openreports/reports-api v0.2.1
// and kyverno v1.19.1 have the types).
type api struct {
	version schema.GroupVersion
	// namespaced and cluster are the kinds.
	namespaced, cluster string
	// unknown are fields of an OpenReports report that this API's report lacks.
	unknown []string
}

var apis = map[string]api{
	config.OpenReports: {
		version: schema.GroupVersion{Group: v1alpha1.GroupName,
			Version: v1alpha1.GroupVersion.Version},
		namespaced: "Report", cluster: "ClusterReport",
	},
	config.PolicyReport: {
		version:    schema.GroupVersion{Group: "wgpolicyk8s.io", Version: "v1alpha2"},
		namespaced: "PolicyReport", cluster: "ClusterPolicyReport",
		unknown: []string{"source", "configuration"},
	},
}

// kind returns the kind of the report of a namespace, or of the cluster if namespace is empty.
func (a api) kind(namespace string) schema.GroupVersionKind {
	if namespace == "" {
		return a.version.WithKind(a.cluster)
	}
	return a.version.WithKind(a.namespaced)
}

// empty returns an object of that kind and our name, to read into or to fill.
func (a api) empty(namespace string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(a.kind(namespace))
	u.SetNamespace(namespace)
	u.SetName(Name)
	return u
}

// body returns the content of a report, without what every object has.
func (a api) body(r *v1alpha1.Report) (map[string]any, error) {
	body, err := runtime.DefaultUnstructuredConverter.ToUnstructured(r)
	if err != nil {
		return nil, fmt.Errorf("encode a report: %w", err)
	}
	for _, field := range append([]string{"metadata"}, a.unknown...) {
		delete(body, field)
	}
	return body, nil
}

// fill sets the whole content of a report, and reports whether that changed it.
func fill(u *unstructured.Unstructured, body map[string]any) (changed bool) {
	for field := range u.Object {
		if _, ours := body[field]; !ours && field != "apiVersion" && field != "kind" &&
			field != "metadata" {
			delete(u.Object, field)
			changed = true
		}
	}
	for field, value := range body {
		if !equality.Semantic.DeepEqual(u.Object[field], value) {
			u.Object[field] = value
			changed = true
		}
	}
	return changed
}

func isOurs(u *unstructured.Unstructured) bool { return u.GetLabels()[OwnerLabel] == owner }
