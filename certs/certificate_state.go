package certs

import (
	"fmt"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

// The values of MetricReady.
const (
	ready    = 1
	notReady = 0
	unknown  = -1
)

// A certificateState is the state of one Certificate as cert-manager reports it.
type certificateState struct {
	ready float64
	// fault says what is wrong, in words for people; empty if nothing is.
	fault string
	// renewal is when cert-manager will renew it; zero if it has not said.
	renewal time.Time
}

// judge reads the conditions. Ready is about what is in the Secret now. Issuing is there while
// cert-manager works on the next certificate, and stays as False if that failed
// (cert-manager pkg/apis/certmanager/v1/types_certificate.go).
func judge(c *cmv1.Certificate) certificateState {
	s := certificateState{ready: notReady}
	if c.Status.RenewalTime != nil {
		s.renewal = c.Status.RenewalTime.Time
	}
	is, there := condition(c, cmv1.CertificateConditionReady)
	issuing, begun := condition(c, cmv1.CertificateConditionIssuing)
	gaveUp := begun && issuing.Status == cmmeta.ConditionFalse
	switch {
	case !there:
		s.fault = "not issued: cert-manager has not reported on it yet: is it running?"
	case is.Status == cmmeta.ConditionTrue && is.ObservedGeneration < c.Generation:
		s.fault = "not issued: cert-manager has not processed its last change yet: is it running?"
	case is.Status == cmmeta.ConditionTrue && gaveUp:
		s.ready, s.fault = ready, "not renewed: "+words(issuing)
	case is.Status == cmmeta.ConditionTrue:
		s.ready = ready
	case gaveUp:
		s.fault = "not issued: " + words(issuing)
	default:
		s.fault = "not issued: " + words(is)
	}
	return s
}

func condition(c *cmv1.Certificate,
	kind cmv1.CertificateConditionType) (found cmv1.CertificateCondition, ok bool) {
	for _, is := range c.Status.Conditions {
		if is.Type == kind {
			return is, true
		}
	}
	return cmv1.CertificateCondition{}, false
}

// words are the issuer's own: they come from outside.
func words(c cmv1.CertificateCondition) string {
	return string(reason.Clean(fmt.Sprintf("%s: %s", c.Reason, c.Message)))
}
