package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/webhook"
)

// A publicReport is a deletion that somebody has published, and the cluster around it.
type publicReport struct {
	Name, Source string
	Review       json.RawMessage
	Objects      []json.RawMessage
	Want         struct {
		// Code is what the object must leave with, alternatives by |; By is who did it; SaysNot
		// must not stand in the sentence.
		Code, By, SaysNot string
	}
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// dated puts times in, which are written as @now and @now-5h.
func dated(data []byte) []byte {
	return regexp.MustCompile(`@now(-[0-9a-z]+)?`).ReplaceAllFunc(data, func(at []byte) []byte {
		ago, _ := time.ParseDuration(string(at[len("@now"):]))
		return []byte(noon.Add(ago).Format(time.RFC3339))
	})
}

func publicReports(t *testing.T) (all []publicReport) {
	t.Helper()
	data, err := os.ReadFile("testdata/public-reports.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(dated(data), &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != 18 {
		t.Fatalf("%d reports, want 18", len(all))
	}
	return all
}

// written is what was put onto objects and into records; nothing lives on.
type written struct{ reasons []reason.Reason }

func (w *written) AnnotateFor(_ context.Context, _ client.Object, r reason.Reason,
	_ string) (string, error) {
	w.reasons = append(w.reasons, r)
	return "2", nil
}

func (w *written) Complete(ctx context.Context, obj client.Object, r reason.Reason,
	user string) (string, error) {
	return w.AnnotateFor(ctx, obj, r, user)
}

func (*written) Mark(context.Context, client.Object, string) (string, error) { return "2", nil }
func (*written) WrittenFor(client.Object) (string, bool)                     { return "", false }

func (*written) RecordDeletion(context.Context, *corev1.Node, reason.Reason, string) error {
	return nil
}

func (*written) Find(context.Context, string, time.Time) (reason.Reason, bool, error) {
	return reason.Reason{}, false, nil
}

// cluster is what the API server has, and what the manager's caches have of it.
func (r publicReport) cluster(t *testing.T, c config.Config) (live, cached caches) {
	t.Helper()
	for _, raw := range r.Objects {
		var object struct{ Kind string }
		roundTrip(t, raw, &object)
		switch object.Kind {
		case "Node":
			node := &corev1.Node{}
			roundTrip(t, raw, node)
			live.nodes = append(live.nodes, node)
		case "Pod":
			pod := &corev1.Pod{}
			roundTrip(t, raw, pod)
			live.pods = append(live.pods, pod)
		default:
			t.Fatalf("an object of kind %q", object.Kind)
		}
	}
	if len(r.Objects) == 0 { // A Node that goes is there.
		var review struct {
			Request struct{ OldObject corev1.Node }
		}
		roundTrip(t, r.Review, &review)
		live.nodes = append(live.nodes, &review.Request.OldObject)
	}
	for _, node := range live.nodes {
		cached.nodes = append(cached.nodes, cachedNode(t, c, node))
	}
	for _, pod := range live.pods {
		cached.pods = append(cached.pods, cachedPods(t, c, *pod)...)
	}
	return live, cached
}

// What was reported in public, as the API server sends it, through the handler with the manager's
// caches. Nobody is denied, although the webhook enforces.
func TestPublicReports(t *testing.T) {
	t.Parallel()
	for _, r := range publicReports(t) {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			c := config.Default()
			c.Webhook.Mode = config.EnforceMode
			live, cached := r.cluster(t, c)
			w := &written{}
			h, err := webhook.New(webhook.Options{
				Config: c.Webhook, OwnNamespace: c.Namespace, Inferrer: c.Inferrer(),
				Reader: cached, Live: live, Obituaries: w, Writer: w,
				Clock: testingclock.NewFakePassiveClock(noon), Registerer: prometheus.NewRegistry(),
			})
			if err != nil {
				t.Fatal(err)
			}
			request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, webhook.Path,
				bytes.NewReader(r.Review))
			request.Header.Set("Content-Type", "application/json")
			answer := httptest.NewRecorder()
			h.ServeHTTP(answer, request)
			var review admissionv1.AdmissionReview
			if err := json.Unmarshal(answer.Body.Bytes(), &review); err != nil {
				t.Fatalf("HTTP %d %s: %v", answer.Code, answer.Body, err)
			}
			if !review.Response.Allowed || len(review.Response.Warnings) > 0 {
				t.Fatalf("allowed %t, %+v, %q", review.Response.Allowed, review.Response.Result,
					review.Response.Warnings)
			}
			if code := review.Response.AuditAnnotations["code"]; r.Want.Code != "" &&
				!slices.Contains(strings.Split(r.Want.Code, "|"), code) {
				t.Errorf("code %s, want %s: %+v", code, r.Want.Code, w.reasons)
			}
			for _, got := range w.reasons {
				if r.Want.By != "" && got.By != r.Want.By {
					t.Errorf("by %s, want %s", got.By, r.Want.By)
				}
				if r.Want.SaysNot != "" && strings.Contains(string(got.Text), r.Want.SaysNot) {
					t.Errorf("says %q", got.Text)
				}
				t.Logf("%s: %s", got.Code, got.Text)
			}
		})
	}
}
