package webhook

import (
	"encoding/json"
	"fmt"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/internal/jsonpatch"
	"github.com/epitaph-k8s/epitaph/reason"
)

// An action is what became of a request: the word that metrics and the audit log use.
type action string

const (
	actionIgnored   action = "ignored"   // a rule says so
	actionKept      action = "kept"      // the object carried a reason already
	actionFilled    action = "filled"    // a reason was written
	actionDryRun    action = "dry-run"   // decided, written nowhere
	actionGone      action = "gone"      // the object went while we looked at it
	actionVanishing action = "vanishing" // a write would have been its deletion
	// the object has changed since the copy that we were asked about
	actionStale    action = "stale"
	actionWarned   action = "warned" // would be denied, but the mode is Audit
	actionDenied   action = "denied"
	actionPromised action = "promised" // written when the pod is seen to terminate
	// evicted: a disruption budget or a precondition will refuse
	actionRefused  action = "refused"
	actionStripped action = "stripped" // created with a reason, which was taken off
	// actionUnwritable: the API server refuses the reason on this object, and would again.
	actionUnwritable action = "unwritable"
	actionFault      action = "fault" // our own trouble; the failure policy decides
)

// An outcome is the decision about one request.
type outcome struct {
	action  action
	rule    string
	reason  reason.Reason
	message string // for people: the text of the denial or the warning
	// completes is set where the words of the reason are on the object already.
	completes bool
	// late is what the reason lacks, if it can be asked before it is written.
	late *openQuestions
	// marks is set where nothing is missing on the object but who asked for its deletion.
	marks bool
	patch []jsonpatch.Operation // of the object that is created; a DELETE cannot have one
	err   error                 // of a fault
}

// respond turns an outcome into the answer; it is the only place that does. A fault that must fail
// the call has no answer: the error becomes an HTTP status.
func respond(o outcome, policy config.FailurePolicy) (*admissionv1.AdmissionResponse, error) {
	response := &admissionv1.AdmissionResponse{Allowed: true, AuditAnnotations: auditAnnotations(o)}
	if o.patch != nil {
		patch, err := json.Marshal(o.patch)
		if err != nil {
			return nil, fmt.Errorf("encode the patch: %w", err)
		}
		response.Patch, response.PatchType = patch, ptr.To(admissionv1.PatchTypeJSONPatch)
	}
	switch o.action {
	case actionDenied:
		response.Allowed = false
		response.Result = &metav1.Status{
			Status:  metav1.StatusFailure,
			Code:    http.StatusForbidden,
			Reason:  metav1.StatusReasonForbidden,
			Message: o.message,
		}
	case actionFault:
		if policy == config.FailClosed {
			return nil, o.err
		}
		response.Warnings = []string{unwritten(o.err)}
	default:
		if o.message != "" {
			response.Warnings = []string{o.message}
		}
	}
	return response, nil
}

// unwritten warns about a deletion whose reason is not on the object.
func unwritten(err error) string {
	return "epitaph: the reason could not be written: " + string(reason.Clean(err.Error()))
}

// auditAnnotations puts what was decided into the API server's audit log. They do not change
// between the calls for one request: the first value wins there.
func auditAnnotations(o outcome) map[string]string {
	annotations := map[string]string{"rule": o.rule}
	if o.reason.Code != "" {
		annotations["code"] = string(o.reason.Code)
	}
	return annotations
}

// denial is the text that a person reads whose delete was denied: what, by which rule, and the two
// commands that work.
func denial(s reason.Subject, namespace, name string, key string, rule string,
	problem error) string {
	where := ""
	if namespace != "" {
		where = " -n " + namespace
	}
	return fmt.Sprintf(
		`%s %s must not leave without a reason (rule %q): %v. Say why, then delete it:
  kubectl annotate %s %s%s --overwrite %s='WHY IT HAS TO GO'
  kubectl delete %s %s%s`, s, name, rule, problem, s, name, where, key, s, name, where)
}
