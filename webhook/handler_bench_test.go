package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/config"
)

// benchReview is a graceful DELETE of a pod of 12 KB, as the API server asks about it.
func benchReview(tb testing.TB) string {
	tb.Helper()
	pod, err := os.ReadFile("../test/bench/webhook/pod.json")
	if err != nil {
		tb.Fatal(err)
	}
	var raw bytes.Buffer
	if err := json.Compact(&raw, pod); err != nil {
		tb.Fatal(err)
	}
	request := &admissionv1.AdmissionRequest{
		UID: "5a2f4c1e-0000-4000-8000-000000000001", Operation: admissionv1.Delete,
		Namespace: "bench", Name: "trainer-0-9x2kd",
		Resource:  metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
		OldObject: runtime.RawExtension{Raw: raw.Bytes()},
		Options: runtime.RawExtension{Raw: []byte(
			`{"kind":"DeleteOptions","apiVersion":"meta.k8s.io/v1","gracePeriodSeconds":30}`)},
	}
	request.UserInfo.Username = program
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request:  request,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return string(body)
}

// inPlace has the pod that the review is about.
type inPlace struct{ *world }

func (w inPlace) Get(ctx context.Context, key client.ObjectKey, o client.Object,
	opts ...client.GetOption) error {
	if pod, ok := o.(*corev1.Pod); ok {
		pod.UID = "5a2f4c1e-0000-4000-8000-000000000002"
		return nil
	}
	return w.world.Get(ctx, key, o, opts...)
}

// BenchmarkDelete is what the handler itself takes of a DELETE: decode, decide, encode.
func BenchmarkDelete(b *testing.B) {
	c, w := config.Default(), inPlace{&world{node: aNode()}}
	h, err := New(Options{
		Config: c.Webhook, OwnNamespace: c.Namespace, Inferrer: c.Inferrer(), Reader: w, Live: w,
		Obituaries: w, Writer: w, Clock: clock.RealClock{}, Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		b.Fatal(err)
	}
	body, answer := benchReview(b), &answered{header: http.Header{}}
	request := httptest.NewRequestWithContext(b.Context(), http.MethodPost, Path, http.NoBody)
	request.Header.Set("Content-Type", "application/json")
	request.ContentLength = int64(len(body))
	b.ReportAllocs()
	for b.Loop() {
		request.Body = io.NopCloser(strings.NewReader(body))
		h.ServeHTTP(answer, request)
		if answer.status != 0 {
			b.Fatalf("status %d", answer.status)
		}
	}
}

// answered takes an answer and keeps nothing of it.
type answered struct {
	header http.Header
	status int
}

func (a *answered) Header() http.Header          { return a.header }
func (a *answered) WriteHeader(status int)       { a.status = status }
func (*answered) Write(text []byte) (int, error) { return len(text), nil }
