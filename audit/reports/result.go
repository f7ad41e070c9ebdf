package reports

import (
	"cmp"
	"slices"

	"github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	epitaph "github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// source is the reporter.
	source = "epitaph"
	// policy is what is violated; the rules say by the deletion of what.
	policy    = "every-deletion-has-a-reason"
	rulePods  = "pods"
	ruleNodes = "nodes"

	category = "Audit"
	// maxWordBytes bounds codes, kinds and UIDs, as the obituaries do.
	maxWordBytes = 64
)

// Results of a finding, if the webhook enforces that there is a reason and if it does not.
const (
	enforced   v1alpha1.Result = "fail"
	unenforced v1alpha1.Result = "warn"
	// leftOut is the result of the note about findings that there was no room for.
	leftOut v1alpha1.Result = "skip"
)

// ofPod makes a finding of the obituary of a pod. Only Epitaph may write obituaries. The text is
// made harmless nevertheless, since whoever may edit definitions can give themselves that right.
func ofPod(o *epitaph.PodObituary) v1alpha1.ReportResult {
	r := ofObituary(rulePods, o.Spec.Reason, o.Spec.Removed)
	r.Subjects = []corev1.ObjectReference{subject("Pod", o.Namespace, o.Spec.PodName,
		o.Spec.PodUID)}
	r.Properties = properties(map[string]string{
		"by": o.Spec.By, "code": o.Spec.Code, "node": o.Spec.NodeName, "obituary": o.Name,
		"owner": ownerOf(o),
	})
	return r
}

func ofNode(o *epitaph.NodeObituary) v1alpha1.ReportResult {
	r := ofObituary(ruleNodes, o.Spec.Reason, o.Spec.Removed)
	r.Subjects = []corev1.ObjectReference{subject("Node", "", o.Spec.NodeName, o.Spec.NodeUID)}
	r.Properties = properties(map[string]string{"by": o.Spec.By, "code": o.Spec.Code,
		"obituary": o.Name})
	return r
}

func ofObituary(rule, sentence string, left metav1.Time) v1alpha1.ReportResult {
	return v1alpha1.ReportResult{
		Source: source, Policy: policy, Rule: rule, Category: category, Severity: "medium",
		Timestamp:   metav1.Timestamp{Seconds: left.Unix()},
		Description: cmp.Or(string(reason.Clean(sentence)), "It left without a reason"),
	}
}

func subject(kind, namespace, name string, uid types.UID) corev1.ObjectReference {
	return corev1.ObjectReference{
		APIVersion: "v1", Kind: kind, Namespace: namespace,
		Name: reason.CleanTo(name, obituary.MaxNameBytes),
		UID:  types.UID(reason.CleanTo(string(uid), maxWordBytes)),
	}
}

// ownerOf returns the outermost owner: who looks for a Deployment's pods does not know its
// ReplicaSet.
func ownerOf(o *epitaph.PodObituary) string {
	if len(o.Spec.Owners) == 0 {
		return ""
	}
	owner := o.Spec.Owners[len(o.Spec.Owners)-1]
	return reason.CleanTo(reason.KindOf(owner.APIVersion, owner.Kind), maxWordBytes) + "/" +
		owner.Name
}

// properties leaves out empty values.
func properties(all map[string]string) map[string]string {
	known := map[string]string{}
	for key, value := range all {
		if value = reason.CleanTo(value, maxPropertyBytes); value != "" {
			known[key] = value
		}
	}
	return known
}

// maxPropertyBytes has room for an owner's kind and name.
const maxPropertyBytes = maxWordBytes + 1 + obituary.MaxNameBytes

// byAge sorts the newest first, in a stable order.
func byAge(results []v1alpha1.ReportResult) {
	slices.SortFunc(results, func(a, b v1alpha1.ReportResult) int {
		return cmp.Or(cmp.Compare(b.Timestamp.Seconds, a.Timestamp.Seconds),
			cmp.Compare(a.Properties["obituary"], b.Properties["obituary"]))
	})
}
