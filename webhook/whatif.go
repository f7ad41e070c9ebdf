package webhook

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

// A Supposition is the cluster that a question is asked about.
type Supposition struct {
	// Cached has what the manager's caches keep of the objects, Live has them whole.
	Cached, Live client.Reader
	// Mapper knows the kinds that are installed.
	Mapper     meta.RESTMapper
	Obituaries Obituaries
}

// A Decision is what the webhook says to a request.
type Decision struct {
	Allowed bool
	// Rule is the one that decided.
	Rule string
	// Reason is what the object would leave with.
	Reason reason.Reason
	// Message is what a person reads whose request is denied, or would be.
	Message string
}

// WhatIf decides about a request as the webhook would in that cluster, and writes nothing.
func WhatIf(ctx context.Context, c config.Config, req *admissionv1.AdmissionRequest, s Supposition,
	clk clock.PassiveClock) (Decision, error) {
	h, err := New(Options{
		Config: c.Webhook, OwnNamespace: c.Namespace, Inferrer: c.Inferrer(), Reader: s.Cached,
		Live: s.Live, Mapper: s.Mapper, Obituaries: s.Obituaries,
		// A dry run writes nothing; the writer is only asked what was written.
		Writer: termination.New(nil, c.Annotations, clk), Clock: clk,
		Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		return Decision{}, err
	}
	h.supposes = true
	req = req.DeepCopy()
	dryRun := true
	req.DryRun = &dryRun
	o := h.handle(ctx, req)
	if o.action == actionFault {
		return Decision{}, o.err
	}
	return Decision{Allowed: o.action != actionDenied, Rule: o.rule, Reason: o.reason,
		Message: o.message}, nil
}
