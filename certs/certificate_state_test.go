package certs

import (
	"testing"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func is(kind cmv1.CertificateConditionType, status cmmeta.ConditionStatus, reason,
	message string) cmv1.CertificateCondition {
	return cmv1.CertificateCondition{Type: kind, Status: status, Reason: reason, Message: message,
		ObservedGeneration: 3}
}

// certificate has the generation that cert-manager has looked at.
func certificate(conditions ...cmv1.CertificateCondition) *cmv1.Certificate {
	return &cmv1.Certificate{
		ObjectMeta: metav1.ObjectMeta{Name: "epitaph-webhook", Namespace: "epitaph-system",
			Generation: 3},
		Status: cmv1.CertificateStatus{Conditions: conditions},
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	good := is(cmv1.CertificateConditionReady, cmmeta.ConditionTrue,
		"Ready", "Certificate is up to date and has not expired")
	missing := is(cmv1.CertificateConditionReady, cmmeta.ConditionFalse,
		"DoesNotExist", "Issuing certificate as Secret does not exist")
	failed := is(cmv1.CertificateConditionIssuing, cmmeta.ConditionFalse,
		"Failed", "The certificate request has failed to complete and will be retried: no")
	changed := certificate(good)
	changed.Generation = 4
	renewed := certificate(good)
	renewed.Status.RenewalTime = &metav1.Time{Time: noon}
	for name, tc := range map[string]struct {
		certificate *cmv1.Certificate
		want        certificateState
	}{
		"issued": {renewed, certificateState{ready: ready, renewal: noon}},
		"not looked at": {certificate(),
			certificateState{
				fault: "not issued: cert-manager has not reported on it yet: is it running?"}},
		"changed since": {changed,
			certificateState{
				fault: "not issued: cert-manager has not processed its last change yet: is it running?"}},
		"not issued": {certificate(missing),
			certificateState{
				fault: "not issued: DoesNotExist: Issuing certificate as Secret does not exist"}},
		"being issued": {certificate(missing,
			is(cmv1.CertificateConditionIssuing, cmmeta.ConditionTrue,
				"DoesNotExist",
				"…")), certificateState{fault: "not issued: DoesNotExist: Issuing certificate as Secret does not exist"}},
		"issuing failed": {certificate(missing, failed),
			certificateState{
				fault: "not issued: Failed: The certificate request has failed to complete and will be retried: no"}},
		"renewal failed": {certificate(good, failed),
			certificateState{ready: ready,
				fault: "not renewed: Failed: The certificate request has failed to complete and will be retried: no"}},
		"hostile words": {
			certificate(is(cmv1.CertificateConditionReady, cmmeta.ConditionFalse,
				"No", "\x1b[2Jfine")), certificateState{fault: `not issued: No: \x1b[2Jfine`}},
		"status not known": {
			certificate(is(cmv1.CertificateConditionReady, cmmeta.ConditionUnknown, "Asking", "…")),
			certificateState{fault: "not issued: Asking: …"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := judge(tc.certificate); got != tc.want {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
		})
	}
}

func TestWordsAreBounded(t *testing.T) {
	t.Parallel()
	long := make([]byte, 1<<20)
	got := judge(
		certificate(is(cmv1.CertificateConditionReady, cmmeta.ConditionFalse,
			"Long", string(long))))
	if len(got.fault) > 1100 {
		t.Errorf("%d bytes are told", len(got.fault))
	}
}
