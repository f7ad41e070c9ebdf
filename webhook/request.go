package webhook

import (
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

// A request is a removal as the handler works on it.
type request struct {
	deletion
	object  client.Object
	remover reason.Remover
	dryRun  bool
	// grace is how long the pod is given; nil leaves that to the pod's spec.
	grace *int64
	// eviction is set where the removal is one.
	eviction *eviction
}

var errNotOurs = errors.New(
	"only deletes of pods and nodes, evictions, and the creation of pods are decided here: check the rules of the webhook configuration")

// A kind of request.
type kind uint8

const (
	_ kind = iota
	kindDelete
	kindEvict
	kindCreate
)

// kindOf returns what a review is about.
func kindOf(req *admissionv1.AdmissionRequest) (kind, error) {
	pods := req.Resource == metav1.GroupVersionResource{Version: "v1", Resource: "pods"}
	nodes := req.Resource == metav1.GroupVersionResource{Version: "v1", Resource: "nodes"}
	switch {
	case req.Operation == admissionv1.Delete && req.SubResource == "" && (pods || nodes):
		return kindDelete, nil
	case req.Operation == admissionv1.Create && req.SubResource == "eviction" && pods:
		return kindEvict, nil
	case req.Operation == admissionv1.Create && req.SubResource == "" && pods:
		return kindCreate, nil
	default:
		return 0, fmt.Errorf("%s of %s: %w", reason.Clean(string(req.Operation)),
			reason.Clean(req.Resource.Resource), errNotOurs)
	}
}

// decodeDeletion reads a DELETE. Name and namespace come from the object: a deletecollection leaves
// the request's name empty.
func decodeDeletion(req *admissionv1.AdmissionRequest) (request, error) {
	d := requestBy(req)
	d.subject, d.operation = reason.Pod, config.Delete
	decode := func(raw []byte) (client.Object, error) { return decodePod(raw) }
	if req.Resource.Resource == "nodes" {
		d.subject = reason.Node
		decode = func(raw []byte) (client.Object, error) { return decodeNode(raw) }
	}
	if len(req.OldObject.Raw) == 0 {
		return d, fmt.Errorf("the review has no oldObject: the %s to be deleted is missing",
			d.subject)
	}
	var err error
	if d.object, err = decode(req.OldObject.Raw); err != nil {
		return d, err
	}
	if d.grace, err = graceOf(req.Options.Raw); err != nil {
		return d, err
	}
	d.namespace = d.object.GetNamespace()
	d.raw = func() ([]byte, error) { return req.OldObject.Raw, nil }
	return d, nil
}

// requestBy fills in who asks.
func requestBy(req *admissionv1.AdmissionRequest) request {
	d := request{dryRun: req.DryRun != nil && *req.DryRun}
	d.user, d.groups = req.UserInfo.Username, req.UserInfo.Groups
	d.actor = reason.ActorOf(d.user, d.groups)
	d.remover = reason.RemoverOf(d.user, d.groups)
	return d
}

// ownFacts is what the request itself says.
func (d request) ownFacts() reason.Facts {
	f := reason.Facts{Remover: d.remover}
	switch o := d.object.(type) {
	case *corev1.Node:
		f.Node = o
	case *corev1.Pod:
		f.Pod = o
	}
	return f
}
