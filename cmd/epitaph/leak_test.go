package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/epitaph-k8s/epitaph/certs"
)

// A goroutine that outlives its component is a fault.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Every goroutine of the manager has an owner that joins it. The API server does not answer here:
// what waits to try again must end as well. Only the webhook's own server is missing, which has to
// have a port.
func TestNothingOutlivesTheManager(t *testing.T) {
	registry := metrics.Registry
	metrics.Registry = prometheus.NewRegistry()
	t.Cleanup(func() { metrics.Registry = registry })
	before := goleak.IgnoreCurrent()
	asked := make(chan struct{}, 1)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "u1"}}
	p := staged(t, node, func() {
		select {
		case asked <- struct{}{}:
		default:
		}
	})
	p.config.Netconsole.Address = "127.0.0.1:0"
	p.config.Audit.Reports.Enabled = true
	var err error
	if p.retention, err = p.newRetention(); err != nil {
		t.Fatal(err)
	}
	for _, add := range []func(context.Context) error{
		p.addGC, p.addNetconsole, p.addRetractor, p.addSweepers, p.addLookout, p.addRetention,
		p.addRecorder,
		p.addReports, p.addAftermath,
	} {
		if err := add(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	p.config.Webhook.Certificates = []string{"epitaph"}
	issuance, err := newIssuance(p.mgr, p.config)
	if err != nil {
		t.Fatal(err)
	}
	h := webhookOf(t, p, p.mgr.GetAPIReader())
	err = errors.Join(p.mgr.Add(issuance),
		p.mgr.Add(certs.NewServing(t.TempDir(), clock.RealClock{})),
		p.addPromisedReasons(h.PromisedReasons()),
		p.addPreemptorNames(h.PreemptorNames(amender{}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- p.mgr.Start(ctx) }()
	await(t, asked, "nobody asked the API server for anything")
	time.Sleep(100 * time.Millisecond) // some have begun, and some have not: both must end
	cancel()
	if err := await(t, ended, "the manager did not end"); err != nil {
		t.Errorf("the manager ended with: %v", err)
	}
	goleak.VerifyNone(t, before)
}
