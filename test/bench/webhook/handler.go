package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/bench"
	"github.com/epitaph-k8s/epitaph/webhook"
)

// handlerShare is what the handler takes of a delete that it fills in, in microseconds, with the
// API server's part left out: decode the review, decide, encode the answer.
func handlerShare() (micros float64, allocations int64, err error) {
	c := config.Default()
	h, err := webhook.New(webhook.Options{
		Config: c.Webhook, OwnNamespace: c.Namespace, Inferrer: c.Inferrer(), Reader: still{},
		Live: still{}, Obituaries: still{}, Writer: still{},
		Clock: clock.RealClock{}, Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		return 0, 0, err
	}
	body, err := review()
	if err != nil {
		return 0, 0, err
	}
	request := httptest.NewRequest(http.MethodPost, webhook.Path, http.NoBody)
	request.Header.Set("Content-Type", "application/json")
	request.ContentLength = int64(len(body))
	r := testing.Benchmark(func(b *testing.B) {
		answer := &answered{header: http.Header{}}
		b.ReportAllocs()
		for b.Loop() {
			request.Body = io.NopCloser(strings.NewReader(body))
			h.ServeHTTP(answer, request)
			if answer.status != 0 {
				b.Fatalf("status %d", answer.status)
			}
		}
	})
	return float64(r.NsPerOp()) / 1000, r.AllocsPerOp(), nil
}

// answered takes an answer and keeps nothing of it: what the benchmark's own request and answer
// cost is not the handler's.
type answered struct {
	header http.Header
	status int
}

func (a *answered) Header() http.Header          { return a.header }
func (a *answered) WriteHeader(status int)       { a.status = status }
func (*answered) Write(text []byte) (int, error) { return len(text), nil }

// podJSON is a pod of a Job with two containers as the API server stores it, managed fields
// included: 12 KB without the spaces.
//
//go:embed pod.json
var podJSON []byte

// review is a DELETE of that pod as the API server asks about it.
func review() (string, error) {
	var raw bytes.Buffer
	if err := json.Compact(&raw, podJSON); err != nil {
		return "", fmt.Errorf("compact the pod: %w", err)
	}
	request := &admissionv1.AdmissionRequest{
		UID: "5a2f4c1e-0000-4000-8000-000000000001", Operation: admissionv1.Delete,
		Namespace: bench.Namespace, Name: "trainer-0-9x2kd",
		Resource:  metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
		OldObject: runtime.RawExtension{Raw: raw.Bytes()},
		Options: runtime.RawExtension{Raw: []byte(
			`{"kind":"DeleteOptions","apiVersion":"meta.k8s.io/v1","gracePeriodSeconds":30}`)},
	}
	request.UserInfo.Username = bench.Remover
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request:  request,
	})
	if err != nil {
		return "", fmt.Errorf("encode a review: %w", err)
	}
	return string(body), nil
}

// still is a cluster in which nothing happens and every call returns at once.
type still struct{}

func (still) Get(_ context.Context, _ client.ObjectKey, o client.Object,
	_ ...client.GetOption) error {
	o.SetUID(podUID)
	return nil
}

// podUID is that of the pod in podJSON: the handler writes only for what is there.
const podUID = "5a2f4c1e-0000-4000-8000-000000000002"

func (still) List(context.Context, client.ObjectList, ...client.ListOption) error { return nil }

func (still) RecordDeletion(context.Context, *corev1.Node, reason.Reason, string) error {
	return nil
}

func (still) Find(context.Context, string, time.Time) (reason.Reason, bool, error) {
	return reason.Reason{}, false, nil
}

func (still) AnnotateFor(context.Context, client.Object, reason.Reason, string) (string, error) {
	return "1", nil
}

func (still) WrittenFor(client.Object) (string, bool) { return "", false }

func (still) Complete(context.Context, client.Object, reason.Reason, string) (string, error) {
	return "1", nil
}

func (still) Mark(context.Context, client.Object, string) (string, error) { return "1", nil }
