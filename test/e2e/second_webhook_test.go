package e2e

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// Somebody else's mutating webhook refuses deletes. The API server calls webhooks by the names of
// their configurations
// (https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/): one
// that comes before us keeps us from being called at all; one that comes after us refuses what we
// have prepared. Of a pod that would have gone on terminating, nothing is written yet; what we
// wrote on one that would have gone at once is taken off again.
func TestAnotherWebhookRefusesTheDelete(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		configuration string
		options       metav1.DeleteOptions
		written       bool
	}{
		"before us":          {configuration: "a-refuser", options: atOnce},
		"after us":           {configuration: "z-refuser", options: atOnce, written: true},
		"after us lingering": {configuration: "z-refuser"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns, node := shared.namespace(t), shared.node(t).Name
			shared.pod(t, ns, node, "a")
			shared.refuseByWebhook(t, ns, unique(want.configuration))
			err := shared.as(t, runner).CoreV1().Pods(ns).Delete(t.Context(),
				"a", want.options)
			if err == nil || !strings.Contains(err.Error(),
				"denied the request: the window for changes is closed") {
				t.Fatalf("the delete ended with %v, want the refuser's words", err)
			}
			if p := shared.alive(t, ns, "a"); keys.Pod.Has(p.Annotations) != want.written {
				t.Fatalf("the refused pod has %q, want a reason: %t", p.Annotations, want.written)
			}
			shared.eventuallyWithin(t, leftoverPatience,
				"nothing of ours is left", func(context.Context) (bool, error) {
					p := shared.alive(t, ns, "a")
					return !keys.Pod.Has(p.Annotations) && p.Annotations[keys.Pod.By] == "", nil
				})
		})
	}
}

// refuseByWebhook registers a mutating webhook that refuses every delete in one namespace, and
// returns once it does.
func (c *cluster) refuseByWebhook(t *testing.T, ns, name string) {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(refuseDeletes))
	t.Cleanup(server.Close)
	hooks := c.client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	hook := admissionregistrationv1.MutatingWebhook{
		Name:                    "refuser.example.com",
		AdmissionReviewVersions: []string{"v1"},
		SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNone),
		ClientConfig: admissionregistrationv1.WebhookClientConfig{
			URL: &server.URL,
			CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
				Bytes: server.Certificate().Raw}),
		},
		NamespaceSelector: &metav1.LabelSelector{
			MatchLabels: map[string]string{corev1.LabelMetadataName: ns}},
		Rules: []admissionregistrationv1.RuleWithOperations{{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Delete},
			Rule: admissionregistrationv1.Rule{APIGroups: []string{""},
				APIVersions: []string{"v1"}, Resources: []string{"pods"}},
		}},
	}
	if _, err := hooks.Create(t.Context(), &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Webhooks:   []admissionregistrationv1.MutatingWebhook{hook},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := hooks.Delete(context.WithoutCancel(t.Context()), name,
			metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	c.pod(t, ns, c.node(t).Name, "probe")
	c.eventually(t, "the webhook is in force", func(ctx context.Context) (bool, error) {
		trial := metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}
		return c.as(t, runner).CoreV1().Pods(ns).Delete(ctx, "probe", trial) != nil, nil
	})
}

// refuseDeletes answers a review with a denial.
func refuseDeletes(w http.ResponseWriter, r *http.Request) {
	review := admissionv1.AdmissionReview{}
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID,
		Result: &metav1.Status{Message: "the window for changes is closed"}}
	review.Request = nil
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(review); err != nil {
		panic(err)
	}
}
