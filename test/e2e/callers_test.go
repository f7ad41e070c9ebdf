package e2e

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
	"github.com/epitaph-k8s/epitaph/webhook"
)

// With clientCA set, the API server is heard, and nobody else: neither without a certificate nor
// with one that is good for the API.
func TestOnlyTheAPIServerIsHeard(t *testing.T) {
	t.Parallel()
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(k *config.Config) {
			alone(k)
			k.Webhook.ClientCA = sandbox.ClientCA
		}}})
	ns, node := c.namespace(t), c.node(t).Name
	pod := c.pod(t, ns, node, "a")
	administrator, err := rest.TLSConfigFor(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	for name, certificates := range map[string][]tls.Certificate{"nobody": nil,
		"an administrator": {certificateOf(t, administrator)}} {
		if _, err := c.review(t, deletionOf(t, pod), certificates...); err == nil {
			t.Errorf("%s is heard", name)
		}
	}
	if p := c.alive(t, ns, "a"); keys.Pod.Has(p.Annotations) {
		t.Errorf("somebody who is not heard wrote %q", p.Annotations)
	}
	if got, want := c.plugin(t, "doctor"),
		"ok      webhook callers        those alone who show a certificate of its choice"; !strings.Contains(got.out, want) {
		t.Errorf("the doctor lacks %q:\n%s", want, got.out)
	}
	if err := c.as(t, runner).CoreV1().Pods(ns).Delete(t.Context(),
		"a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.leaves(t, reason.Pod, ns+"/a", unexplained)
}

// certificateOf is the certificate that a client would show.
func certificateOf(t *testing.T, client *tls.Config) tls.Certificate {
	t.Helper()
	if len(client.Certificates) > 0 {
		return client.Certificates[0]
	}
	certificate, err := client.GetClientCertificate(&tls.CertificateRequestInfo{})
	if err != nil {
		t.Fatal(err)
	}
	return *certificate
}

// The API server may ask about a pod that is gone already, and whose place another one has: that
// one lives on, without a reason.
func TestNamesakeOfADeletedPodIsLeftAlone(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	first := shared.pod(t, ns, node, "a")
	if err := shared.as(t, runner).CoreV1().Pods(ns).Delete(t.Context(),
		"a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	shared.leaves(t, reason.Pod, ns+"/a", unexplained)
	second := shared.pod(t, ns, node, "a")
	response, err := shared.review(t, deletionOf(t, first))
	if err != nil {
		t.Fatal(err)
	}
	if !response.Allowed || len(response.Warnings) > 0 {
		t.Errorf("the answer was %+v, want it allowed without a word", response)
	}
	if p := shared.alive(t, ns, "a"); p.UID != second.UID || keys.Pod.Has(p.Annotations) {
		t.Errorf("pod %s carries %q, want nothing on %s", p.UID, p.Annotations, second.UID)
	}
}

// deletionOf is what the API server asks when the runner deletes a pod.
func deletionOf(t *testing.T, pod *corev1.Pod) *admissionv1.AdmissionReview {
	t.Helper()
	pod = pod.DeepCopy()
	pod.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
	return &admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "1", Operation: admissionv1.Delete, Namespace: pod.Namespace, Name: pod.Name,
			Kind:      metav1.GroupVersionKind{Version: "v1", Kind: "Pod"},
			Resource:  metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
			UserInfo:  authenticationv1.UserInfo{Username: runner},
			OldObject: runtime.RawExtension{Raw: encode(t, pod)},
		},
	}
}

// review sends one to Epitaph's port, past the API server.
func (c *cluster) review(t *testing.T, review *admissionv1.AdmissionReview,
	certificates ...tls.Certificate) (*admissionv1.AdmissionResponse, error) {
	t.Helper()
	settings := &tls.Config{InsecureSkipVerify: true,
		Certificates: certificates} //nolint:gosec // the sandbox's own certificate
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: settings}}
	url := "https://" + c.Epitaph.Config.Webhook.Address + webhook.Path
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url,
		bytes.NewReader(encode(t, review)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	decoded := &admissionv1.AdmissionReview{}
	if err := json.NewDecoder(answer.Body).Decode(decoded); err != nil {
		t.Fatalf("read the answer (status %s): %v", answer.Status, err)
	}
	return decoded.Response, nil
}

// Whoever reaches the port may send what reads like a deletion. Of what the API server does not
// have nothing is written: no reason on a living object, and no record of a node.
func TestForgedDeletionsLeaveNoTrace(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	pod := shared.pod(t, ns, node, "a")
	for name, change := range map[string]func(*corev1.Pod){
		"another UID": func(p *corev1.Pod) { p.UID = "2d1f6ba3-2f6c-4a5b-8a44-000000000000" },
		"no UID":      func(p *corev1.Pod) { p.UID = "" },
		"no such pod": func(p *corev1.Pod) { p.Name = "nobody" },
	} {
		forged := pod.DeepCopy()
		change(forged)
		response, err := shared.review(t, deletionOf(t, forged))
		if err != nil || !response.Allowed || len(response.Warnings) > 0 {
			t.Errorf("%s: the answer was %+v, %v; want it allowed without a word", name, response,
				err)
		}
	}
	if p := shared.alive(t, ns, "a"); keys.Pod.Has(p.Annotations) ||
		p.Annotations["epitaph-k8s.io/reason-written"] != "" {
		t.Errorf("the pod carries %q", p.Annotations)
	}

	living, err := shared.client.CoreV1().Nodes().Get(t.Context(), node, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	renamed, reborn := living.DeepCopy(), living.DeepCopy()
	renamed.Name = unique("no-such-node")
	reborn.UID = "2d1f6ba3-2f6c-4a5b-8a44-000000000000"
	for _, forged := range []*corev1.Node{renamed, reborn} {
		review := deletionOf(t, pod)
		forged.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Node"}
		review.Request.Namespace, review.Request.Name = "", forged.Name
		review.Request.Kind.Kind, review.Request.Resource.Resource = "Node", "nodes"
		review.Request.OldObject.Raw = encode(t, forged)
		if response, err := shared.review(t, review); err != nil || !response.Allowed {
			t.Errorf("%s: the answer was %+v, %v; want it allowed", forged.Name, response, err)
		}
	}
	var records v1alpha1.NodeObituaryList
	if err := shared.typed(t, shared.RESTConfig()).List(t.Context(), &records); err != nil {
		t.Fatal(err)
	}
	for _, o := range records.Items {
		if o.Spec.NodeName == renamed.Name || o.Spec.NodeName == node {
			t.Errorf("node %s is on record: %+v", o.Spec.NodeName, o.Spec)
		}
	}
}
