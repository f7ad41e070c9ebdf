package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/webhook"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// An API server that cannot be reached is told with what helps against it; all else is unseen. Who
// stops the doctor hears no more.
func TestRunWithoutAnAPIServer(t *testing.T) {
	t.Parallel()
	nowhere := &rest.Config{Host: "http://127.0.0.1:1"} // tcpmux: nobody listens there
	c, err := client.New(nowhere, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var found []Diagnosis
	o := Options{
		Client: c, Config: nowhere, Clock: clocktesting.NewFakePassiveClock(noon),
		Remedy: func(error) string { return "\nPlug it in." },
		Found:  func(d Diagnosis) { found = append(found, d) },
	}
	all := Run(ctx, o)
	if len(all) == 0 || all[0].Health != Broken || all[0].What != "API server" ||
		!strings.HasSuffix(all[0].Found, "connection refused\nPlug it in.") {
		t.Fatalf("got %+v", all)
	}
	if diff := cmp.Diff(all, found); diff != "" {
		t.Errorf("what is told at once is something else (-returned +told):\n%s", diff)
	}
	o.Remedy = nil
	o.Found = func(Diagnosis) { stop() }
	if all = Run(ctx, o); len(all) != 1 || !strings.HasSuffix(all[0].Found, "connection refused") {
		t.Errorf("stopped after the first, it found %+v", all)
	}
}

// What a release lacks is told, with what cannot be told for it; a kind of another version is not
// what is made use of.
func TestFeaturesOfARelease(t *testing.T) {
	t.Parallel()
	group := resourcev1.SchemeGroupVersion.Group
	for name, tc := range map[string]struct {
		served  []runtimeschema.GroupVersion
		release string
		want    string
	}{
		"1.37": {[]runtimeschema.GroupVersion{resourcev1.SchemeGroupVersion}, "v1.37.2",
			"v1.37.2 has all that Epitaph makes use of"},
		"1.33 with the beta": {[]runtimeschema.GroupVersion{{Group: group, Version: "v1beta1"}}, "v1.33.13",
			"v1.33.13: it has no ResourceClaim of resource.k8s.io/v1 (Kubernetes 1.34): the record " +
				"of a pod that is driven off its device does not say which one, nor who tainted it"},
		"who does not tell": {[]runtimeschema.GroupVersion{resourcev1.SchemeGroupVersion}, "",
			"of a release that it does not tell has all that Epitaph makes use of"},
	} {
		mapper := meta.NewDefaultRESTMapper(tc.served)
		for _, v := range tc.served {
			mapper.Add(v.WithKind("ResourceClaim"), meta.RESTScopeNamespace)
		}
		if got, want := features(mapper, tc.release), (Diagnosis{Well, "Kubernetes", tc.want}); got != want {
			t.Errorf("%s:\n  %+v, want\n  %+v", name, got, want)
		}
	}
}

func TestConfigurationName(t *testing.T) {
	t.Parallel()
	if configurationName != webhook.ConfigurationName {
		t.Errorf("the doctor looks for %s, the product makes %s", configurationName,
			webhook.ConfigurationName)
	}
}

// bundle is a certificate that was issued at noon and is good for a day.
func bundle(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: noon,
		NotAfter: noon.Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestAuthorities(t *testing.T) {
	t.Parallel()
	good := bundle(t)
	tests := map[string]struct {
		bundle []byte
		now    time.Time
		want   Diagnosis
	}{
		"fresh": {good, noon, Diagnosis{Well,
			"webhook caBundle", "is good until 2026-05-02T12:00:00Z"}},
		"late": {good, noon.Add(20 * time.Hour),
			Diagnosis{Dubious, "webhook caBundle",
				"expires at 2026-05-02T12:00:00Z, and has not been renewed yet"}},
		"expired": {good, noon.Add(24 * time.Hour),
			Diagnosis{Broken, "webhook caBundle",
				"has expired at 2026-05-02T12:00:00Z: renew it, with cert-manager: cmctl renew"}},
		"empty": {nil, noon, Diagnosis{Dubious,
			"webhook caBundle",
			"is empty: the webhook's certificate must be signed by an authority that the API server's machine trusts. Has cert-manager injected it?"}},
		"no PEM": {[]byte("x"), noon,
			Diagnosis{Broken, "webhook caBundle", "holds no certificate"}},
		"no certificate": {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}),
			noon, Diagnosis{Broken, "webhook caBundle",
				"holds something that is no certificate: x509: malformed certificate"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := authorities(tc.bundle, tc.now); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestLeads(t *testing.T) {
	t.Parallel()
	held := func(renewed time.Duration) *coordinationv1.Lease {
		return &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{
			HolderIdentity: ptr.To("m-1"), LeaseDurationSeconds: ptr.To(int32(15)),
			RenewTime: &metav1.MicroTime{Time: noon.Add(-renewed)},
		}}
	}
	tests := map[string]struct {
		lease *coordinationv1.Lease
		want  Diagnosis
	}{
		"renewed": {held(2 * time.Second), Diagnosis{Well, "leader", "m-1"}},
		"late": {held(26 * time.Second), Diagnosis{Broken,
			"leader",
			"m-1 was the last, and has not been heard of for 26s. Look at the manager's pods and their log"}},
		"released": {&coordinationv1.Lease{},
			Diagnosis{Broken,
				"leader",
				"nobody leads: no garbage is collected, nothing is recorded. Look at the manager's pods and their log"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := leads(tc.lease, noon); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestSwitchedOff(t *testing.T) {
	t.Parallel()
	tests := map[string]bool{
		"":                           false,
		"--controllers=*":            false,
		"--controllers=*,-" + podGC:  true,
		"--controllers=-podgc,*":     true,
		"--controllers=" + podGC:     false,
		"--controllers=namespace":    true,
		"--controllers=*,-job-xyz":   false,
		"--leader-elect=true":        false,
		"--controllers=podgc,-podgc": false,
	}
	for flag, want := range tests {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			for _, c := range []corev1.Container{
				{Command: []string{"kube-controller-manager", flag}}, {Args: []string{flag}}} {
				if got := switchedOff([]corev1.Container{c}); got != want {
					t.Errorf("got %v, want %v", got, want)
				}
			}
		})
	}
}

func TestSkew(t *testing.T) {
	t.Parallel()
	tests := map[time.Duration]string{
		time.Second:       "agrees with the API server's to 10s",
		-11 * time.Second: "is 11s ahead of the API server's: times that you compare with records mislead",
		time.Minute:       "is 1m0s behind the API server's: times that you compare with records mislead",
	}
	for ahead, want := range tests {
		if got := skew("your clock", ahead); got.Found != want {
			t.Errorf("%s: got %q, want %q", ahead, got.Found, want)
		}
	}
}

func TestSwitchesWebhookOff(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]bool{
		"webhook: {enabled: false, mode: Audit}": true, "webhook: {enabled: true}": false,
		"webhook: {}": false, "": false, "\t": false,
	} {
		if c, err := readManagerConfig(file); (err == nil && c.webhookOff()) != want {
			t.Errorf("%q: got %+v, %v, want off %v", file, c, err, want)
		}
	}
}

func TestWebhookCallers(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]Diagnosis{
		"webhook: {clientNames: []}": {Dubious,
			"webhook callers", heardByAll + hearNobodyElse},
		"webhook: {clientCA: ca.crt}": {Well,
			"webhook callers",
			"whoever has a certificate that webhook.clientCA signs. Where that signs for others than the API server, set webhookClients.names"},
		"webhook: {clientCA: ca.crt, clientNames: [kube-apiserver, kcp]}": {Well,
			"webhook callers",
			"who has a certificate that webhook.clientCA signs, by the name of kube-apiserver or kcp"},
	} {
		c, err := readManagerConfig(file)
		if got := c.callers(); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", file, got, err, want)
		}
	}
}
