package webhook

import (
	"encoding/json"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
)

// A request is a DELETE as the handler works on it.
type request struct {
	deletion
	object client.Object
	dryRun bool
}

var errNotDelete = errors.New("only deletes of pods and nodes are decided here: check the rules of the webhook configuration")

// decodeDeletion reads an admission request. Name and namespace come from the object: a deletecollection leaves the
// request's name empty.
func decodeDeletion(req *admissionv1.AdmissionRequest) (request, error) {
	d := request{dryRun: req.DryRun != nil && *req.DryRun}
	switch {
	case req.Operation != admissionv1.Delete || req.SubResource != "" || req.Resource.Group != "":
		return d, fmt.Errorf("%s of %s: %w", req.Operation, req.Resource.Resource, errNotDelete)
	case req.Resource.Resource == "pods":
		d.object, d.subject = &corev1.Pod{}, reason.Pod
	case req.Resource.Resource == "nodes":
		d.object, d.subject = &corev1.Node{}, reason.Node
	default:
		return d, fmt.Errorf("%s of %s: %w", req.Operation, req.Resource.Resource, errNotDelete)
	}
	if len(req.OldObject.Raw) == 0 {
		return d, fmt.Errorf("the review has no oldObject: the %s to be deleted is missing", d.subject)
	}
	if err := json.Unmarshal(req.OldObject.Raw, d.object); err != nil {
		return d, fmt.Errorf("read the oldObject of the review as a %s: %w", d.subject, err)
	}
	d.namespace = d.object.GetNamespace()
	d.user, d.groups = req.UserInfo.Username, req.UserInfo.Groups
	d.actor = reason.ActorOf(d.user, d.groups)
	return d, nil
}
