package certs

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/internal/guard"
)

// An answer is what reading a Certificate ends with.
type answer func(*cmv1.Certificate) error

func (a answer) Get(_ context.Context, _ client.ObjectKey, o client.Object,
	_ ...client.GetOption) error {
	return a(o.(*cmv1.Certificate))
}

func (answer) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return errors.New("nothing is listed")
}

func fails(err error) answer { return func(*cmv1.Certificate) error { return err } }

func answers(c *cmv1.Certificate) answer {
	return func(into *cmv1.Certificate) error {
		c.DeepCopyInto(into)
		return nil
	}
}

// asked is an Issuance that has looked once, and what it logged.
func asked(t *testing.T, reader client.Reader) (*Issuance, *strings.Builder) {
	t.Helper()
	log := &strings.Builder{}
	i := NewIssuance(IssuanceOptions{
		Reader: reader, Namespace: "epitaph-system", Names: []string{"epitaph-webhook"},
		Clock: clock.RealClock{},
		Log:   funcr.New(func(_, args string) { log.WriteString(args + "\n") }, funcr.Options{}),
	})
	i.look(t.Context())
	return i, log
}

func TestWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	resource := schema.GroupResource{Group: "cert-manager.io", Resource: "certificates"}
	for name, tc := range map[string]struct {
		err   error
		want  float64
		fault string
	}{
		"cert-manager is not there": {
			&meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: "cert-manager.io",
				Kind: "Certificate"}}, -1,
			"cert-manager's definitions are not installed: install cert-manager, or choose another source of certificates",
		},
		"cert-manager has left": {
			apierrors.NewGenericServerResponse(http.StatusNotFound, "get", resource,
				"epitaph-webhook", "404 page not found", 0, true), -1,
			"cert-manager's definitions are not installed: install cert-manager, or choose another source of certificates",
		},
		"it is forbidden": {
			apierrors.NewForbidden(resource, "epitaph-webhook", errors.New("no\x1b")), -1,
			`cannot be read: certificates.cert-manager.io "epitaph-webhook" is forbidden: no\x1b`,
		},
		"there is none": {
			apierrors.NewNotFound(resource, "epitaph-webhook"), 0,
			"not issued: there is no such Certificate in namespace epitaph-system: reinstall the chart",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i, log := asked(t, fails(tc.err))
			if got := i.certificates["epitaph-webhook"]; got.ready != tc.want ||
				got.fault != tc.fault {
				t.Errorf("got %+v, want %v, %q", got, tc.want, tc.fault)
			}
			if !strings.Contains(log.String(), "the Certificate is not ready") {
				t.Errorf("logged %q", log)
			}
		})
	}
}

func TestMetricsOfCertificates(t *testing.T) {
	t.Parallel()
	issued := certificate(is(cmv1.CertificateConditionReady, cmmeta.ConditionTrue, "Ready", ""))
	issued.Status.RenewalTime = &metav1.Time{Time: noon}
	registry := prometheus.NewPedanticRegistry()
	silent := NewIssuance(IssuanceOptions{Names: []string{"epitaph-webhook"}})
	if err := silent.Register(registry); err != nil {
		t.Fatal(err)
	}
	if n, err := testutil.GatherAndCount(registry); n != 0 || err != nil {
		t.Errorf("%d metrics (%v) before anything was looked at, want none", n, err)
	}
	i, _ := asked(t, answers(issued))
	want := `
# HELP epitaph_certificate_ready Whether cert-manager calls the Certificate ready: 1 it does, 0 it does not, -1 it cannot be read.
# TYPE epitaph_certificate_ready gauge
epitaph_certificate_ready{name="epitaph-webhook"} 1
# HELP epitaph_certificate_renewal_timestamp_seconds When cert-manager will renew the Certificate, in seconds since 1970; absent while it has not said.
# TYPE epitaph_certificate_renewal_timestamp_seconds gauge
epitaph_certificate_renewal_timestamp_seconds{name="epitaph-webhook"} 1.7954352e+09
`
	if err := testutil.CollectAndCompare(i, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

// The log tells a change once; a probe that fails tells it each time.
func TestWhatIsTold(t *testing.T) {
	t.Parallel()
	missing := certificate(is(cmv1.CertificateConditionReady, cmmeta.ConditionFalse,
		"DoesNotExist", "Secret does not exist"))
	i, log := asked(t, answers(missing))
	i.look(t.Context())
	probe := i.Explain(func(*http.Request) error {
		return errors.New("there is no serving certificate")
	})
	want :=
		"there is no serving certificate (Certificate epitaph-webhook: not issued: DoesNotExist: Secret does not exist)"
	if err := probe(nil); err == nil || err.Error() != want {
		t.Errorf("the probe says %v, want %s", err, want)
	}
	i.Reader = answers(
		certificate(is(cmv1.CertificateConditionReady, cmmeta.ConditionTrue, "Ready", "")))
	i.look(t.Context())
	if err := probe(nil); err == nil || err.Error() != "there is no serving certificate" {
		t.Errorf("the probe says %v after the Certificate was issued", err)
	}
	if err := i.Explain(func(*http.Request) error { return nil })(nil); err != nil {
		t.Errorf("a probe that succeeds says %v", err)
	}
	logged :=
		`"level"=0 "msg"="the Certificate is not ready" "certificate"="epitaph-webhook" "error"="not issued: DoesNotExist: Secret does not exist"
"level"=0 "msg"="the Certificate is ready again" "certificate"="epitaph-webhook"
`
	if log.String() != logged {
		t.Errorf("logged\n%swant\n%s", log, logged)
	}
}

// Who looks at nothing ends as soon as it is told to, and asks nobody.
func TestWithoutCertificates(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	i := NewIssuance(IssuanceOptions{Clock: clock.RealClock{}})
	cancel()
	if err := i.Start(ctx); err != nil {
		t.Error(err)
	}
}

// What one look ends with does not end the next one, nor the process.
func TestPanicOfALookIsSurvived(t *testing.T) {
	t.Parallel()
	g, err := guard.New(prometheus.NewRegistry(), "certificates", logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	clk, looked := clocktesting.NewFakeClock(time.Unix(1000, 0)), make(chan struct{}, 1)
	i := NewIssuance(IssuanceOptions{
		Reader: answer(func(*cmv1.Certificate) error {
			looked <- struct{}{}
			panic("out of order")
		}),
		Names: []string{"epitaph-webhook"}, Clock: clk, Guard: g, Log: logr.Discard(),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- i.Start(ctx) }()
	<-looked
	clk.Step(lookAgain)
	<-looked // it is tried again
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Start ended with: %v", err)
	}
}
