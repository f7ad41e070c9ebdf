package policytest

import (
	"encoding/json"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/reason"
)

// ReadReviews reads a file of AdmissionReviews, one a YAML document.
func ReadReviews(path string) (all []*admissionv1.AdmissionRequest, err error) {
	documents, err := documentsOf(path)
	if err != nil {
		return nil, fmt.Errorf("read the review: %w", err)
	}
	for n, document := range documents {
		review := &admissionv1.AdmissionReview{}
		if err := yaml.UnmarshalStrict(document, review); err != nil {
			return nil, fmt.Errorf("read the review %s: document %d: %w", path, n+1, err)
		}
		if review.Request == nil {
			return nil, fmt.Errorf(
				"read the review %s: document %d: it has no request: write an AdmissionReview of admission.k8s.io/v1", path, n+1)
		}
		all = append(all, review.Request)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf(
			"read the review %s: it is empty: write an AdmissionReview of admission.k8s.io/v1",
			path)
	}
	return all, nil
}

// A Target names an object of the cluster.
type Target struct {
	// Kind is Pod or Node.
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

func (t Target) String() string {
	if t.Namespace == "" {
		return t.Kind + " " + t.Name
	}
	return t.Kind + " " + t.Namespace + "/" + t.Name
}

// request is what the API server sends when the user deletes or evicts an object of the cluster.
func (c Case) request(all Objects) (*admissionv1.AdmissionRequest, error) {
	target, field := c.Deletes, "deletes"
	if c.Evicts != nil {
		target, field = c.Evicts, "evicts"
	}
	if c.User == "" {
		return nil, errors.New("user: is missing: write who asks, as the API server knows them")
	}
	if target.Kind != "Pod" && (target.Kind != "Node" || field == "evicts") {
		return nil, fmt.Errorf("%s.kind: is %q: write Pod, or Node where it is deleted", field,
			target.Kind)
	}
	object := all.find(schema.GroupKind{Kind: target.Kind},
		types.NamespacedName{Namespace: target.Namespace, Name: target.Name})
	if object == nil {
		return nil, fmt.Errorf("%s: there is no %s: add it to objects", field, target)
	}
	req := &admissionv1.AdmissionRequest{
		UID: "policy-test", Name: target.Name, Namespace: target.Namespace,
		Operation: admissionv1.Delete,
		Resource: metav1.GroupVersionResource{Version: "v1",
			Resource: map[string]string{"Pod": "pods", "Node": "nodes"}[target.Kind]},
		UserInfo: authenticationv1.UserInfo{Username: c.User, Groups: c.Groups},
	}
	if field == "evicts" {
		req.Operation, req.SubResource = admissionv1.Create, "eviction"
		return req, raw(&req.Object, c.eviction())
	}
	return req, raw(&req.OldObject, withUID(object))
}

// eviction is the Eviction that the user creates.
func (c Case) eviction() *policyv1.Eviction {
	e := &policyv1.Eviction{
		TypeMeta: metav1.TypeMeta{APIVersion: "policy/v1", Kind: "Eviction"},
		ObjectMeta: metav1.ObjectMeta{Namespace: c.Evicts.Namespace, Name: c.Evicts.Name,
			Annotations: map[string]string{}},
	}
	if c.Says != "" {
		e.Annotations[reason.EvictionReasonKey] = c.Says
	}
	if c.For != "" {
		e.Annotations[reason.EvictionRequesterKey] = c.For
	}
	return e
}

// withUID gives an object the UID that each has in a cluster.
func withUID(u *unstructured.Unstructured) *unstructured.Unstructured {
	if u.GetUID() == "" {
		u = u.DeepCopy()
		u.SetUID("policy-test")
	}
	return u
}

func raw(into *runtime.RawExtension, o any) error {
	data, err := json.Marshal(o)
	into.Raw = data
	return err
}
