package webhook

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	strictjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/reason"
)

// A removal is the part of an inference case that the review of a DELETE tells.
type removal struct {
	Now     *time.Time `json:"now"`
	Remover struct {
		User   string   `json:"user"`
		Groups []string `json:"groups"`
	} `json:"remover"`
	Pod        *corev1.Pod  `json:"pod"`
	Node       *corev1.Node `json:"node"`
	NodeGone   bool         `json:"nodeGone"`
	Preemptors []corev1.Pod `json:"preemptors"`
	Owner      reason.Owner `json:"owner"`
}

func (r removal) facts(pod *corev1.Pod) reason.Facts {
	f := reason.Facts{
		Now: now, Pod: pod, Node: r.Node, NodeGone: r.NodeGone, Owner: r.Owner,
		Remover: reason.RemoverOf(r.Remover.User, r.Remover.Groups),
	}
	if r.Now != nil {
		f.Now = *r.Now
	}
	for n := range r.Preemptors {
		f.Preemptors = append(f.Preemptors, &r.Preemptors[n])
	}
	return f
}

func readRemovals(t *testing.T) map[string]removal {
	t.Helper()
	files, err := filepath.Glob("../reason/testdata/cases/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]removal{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r removal
		if err := yaml.Unmarshal(data, &r); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if r.Pod != nil {
			all[filepath.Base(file)] = r
		}
	}
	if len(all) < 60 {
		t.Fatalf("there are %d cases with pods, want 60 or more", len(all))
	}
	return all
}

// infersTheSame compares what is inferred of a pod and of what decode leaves of it.
func infersTheSame(t *testing.T, r removal, decode func([]byte) (*corev1.Pod, error)) string {
	t.Helper()
	raw, err := json.Marshal(r.Pod)
	if err != nil {
		t.Fatal(err)
	}
	read, err := decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	inferrer := reason.Inferrer{Keys: reason.DefaultKeys(), Signals: reason.DefaultSignals(),
		Identities: reason.DefaultIdentities()}
	want, _ := inferrer.Infer(r.facts(r.Pod))
	got, _ := inferrer.Infer(r.facts(read))
	return cmp.Diff(want, got)
}

func TestWhatIsReadOfAPodIsAllThatCounts(t *testing.T) {
	t.Parallel()
	for name, r := range readRemovals(t) {
		if diff := infersTheSame(t, r, decodePod); diff != "" {
			t.Errorf("%s is inferred otherwise of what is read of the pod (-want +got):\n%s", name,
				diff)
		}
	}
}

// Fields of the pod that inference reads: leaving one out must not go unnoticed by the test above.
func TestEveryPartThatIsReadCounts(t *testing.T) {
	t.Parallel()
	removals := readRemovals(t)
	for part, without := range map[string]func(*corev1.Pod){
		"annotations":       func(p *corev1.Pod) { p.Annotations = nil },
		"owners":            func(p *corev1.Pod) { p.OwnerReferences = nil },
		"namespace":         func(p *corev1.Pod) { p.Namespace = "" },
		"deletionTimestamp": func(p *corev1.Pod) { p.DeletionTimestamp = nil },
		"node":              func(p *corev1.Pod) { p.Spec.NodeName = "" },
		"priority":          func(p *corev1.Pod) { p.Spec.Priority = nil },
		"phase":             func(p *corev1.Pod) { p.Status.Phase = "" },
		"reason":            func(p *corev1.Pod) { p.Status.Reason = "" },
		"message":           func(p *corev1.Pod) { p.Status.Message = "" },
		"conditions":        func(p *corev1.Pod) { p.Status.Conditions = nil },
	} {
		noticed := false
		for _, r := range removals {
			noticed = noticed || infersTheSame(t, r, func(raw []byte) (*corev1.Pod, error) {
				p, err := decodePod(raw)
				without(p)
				return p, err
			}) != ""
		}
		if !noticed {
			t.Errorf("no case needs the pod's %s: stop reading it, or add the case that does", part)
		}
	}
}

// FuzzDecode compares what is read of a review with what encoding/json reads: wherever that takes
// the review, both are the same.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(benchReview(f)))
	for _, text := range []string{
		`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":null}`,
		` { "kind" : "AdmissionReview" , "apiVersion" : "admission.k8s.io\/v1" , "request" : {
			"uid":"\u0031", "kind":{"group":"","version":"v1","kind":"Pod","more":[{}]},
			"resource":null, "oper\u0061tion":"DELETE", "dryRun":true, "options":{"x":"}"},
			"userInfo":{"username":"é","groups":["a","b"],"extra":{"x":["]"]}},
			"oldObject":{"metadata":{"name":"a","labels":{},"annotations":{"k":null,"q\"":"\\"},
				"deletionTimestamp":null,"creationTimestamp":"2026-11-23T12:00:00+01:00",
				"ownerReferences":[{"kind":"Job","controller":true}],"finalizers":[],
				"deletionGracePeriodSeconds":0},
			"spec":{"priority":-1,"containers":[{"name":"{"}]},
			"status":{"conditions":[{"type":"Ready","status":"True","lastTransitionTime":null},
				null,{}],"phase":"Odd","containerStatuses":[{"name":"a","allocatedResourcesStatus":[
				{"name":"gpu","resources":[{"resourceID":"1","health":"Unhealthy"}]}]}]}}}} `,
		`{"request":{"oldObject":{"metadata":[]}}}`, `{"kind":1}`, `{"a":[}`, `{"a" 1}`, `{,}`, ``,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var want admissionv1.AdmissionReview
		wrong := strictjson.UnmarshalCaseSensitivePreserveInts(body, &want)
		got, err := decodeReview(body)
		if wrong != nil || repeats(body) {
			return // a malformed field that nobody reads is not looked at
		}
		asked := want.Request != nil && want.Request.UID != "" &&
			want.Kind == "AdmissionReview" && want.APIVersion == "admission.k8s.io/v1"
		if asked != (err == nil) {
			t.Fatalf("read with %v, want a review: %t", err, asked)
		}
		if !asked {
			return
		}
		q := want.Request
		sameReview(t, q, got.Request)
		whole := &corev1.Pod{}
		if strictjson.UnmarshalCaseSensitivePreserveInts(q.OldObject.Raw, whole) != nil {
			return
		}
		read, err := decodePod(q.OldObject.Raw)
		if err != nil {
			t.Fatalf("%s is not read: %v", q.OldObject.Raw, err)
		}
		if diff := cmp.Diff(ofDoomed(whole), ofDoomed(read), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("the pod, -want +got:\n%s", diff)
		}
	})
}

// repeats tells whether an object of the text has a field twice: what counts then differs from
// decoder to decoder.
func repeats(text []byte) bool {
	again, err := strictjson.UnmarshalStrict(text, &map[string]any{})
	return err != nil || len(again) > 0
}

func sameReview(t *testing.T, want, got *admissionv1.AdmissionRequest) {
	t.Helper()
	only := &admissionv1.AdmissionRequest{UID: want.UID, Kind: want.Kind, Resource: want.Resource,
		SubResource: want.SubResource, Name: want.Name, Namespace: want.Namespace,
		Operation: want.Operation, Object: want.Object, OldObject: want.OldObject,
		DryRun: want.DryRun, Options: want.Options}
	only.UserInfo.Username, only.UserInfo.Groups = want.UserInfo.Username, want.UserInfo.Groups
	if diff := cmp.Diff(only, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the request, -want +got:\n%s", diff)
	}
}

// ofDoomed is the part of a pod that decodePod reads.
func ofDoomed(p *corev1.Pod) *corev1.Pod {
	ill := func(all []corev1.ContainerStatus) (some []corev1.ContainerStatus) {
		for _, c := range all {
			if ill := reason.Ill(c.AllocatedResourcesStatus); len(ill) > 0 {
				some = append(some, corev1.ContainerStatus{AllocatedResourcesStatus: ill})
			}
		}
		return some
	}
	conditions := slices.Clone(p.Status.Conditions)
	for n := range conditions {
		conditions[n].LastProbeTime = metav1.Time{}
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: p.Namespace, UID: p.UID,
			CreationTimestamp: p.CreationTimestamp, DeletionTimestamp: p.DeletionTimestamp,
			DeletionGracePeriodSeconds: p.DeletionGracePeriodSeconds, Labels: p.Labels,
			Annotations: p.Annotations, OwnerReferences: p.OwnerReferences,
			Finalizers: p.Finalizers},
		Spec: corev1.PodSpec{NodeName: p.Spec.NodeName, Priority: p.Spec.Priority,
			Tolerations: p.Spec.Tolerations, ResourceClaims: p.Spec.ResourceClaims,
			TerminationGracePeriodSeconds: p.Spec.TerminationGracePeriodSeconds},
		Status: corev1.PodStatus{Phase: p.Status.Phase, Reason: p.Status.Reason,
			Message: p.Status.Message, Conditions: conditions,
			ResourceClaimStatuses:       p.Status.ResourceClaimStatuses,
			ExtendedResourceClaimStatus: p.Status.ExtendedResourceClaimStatus,
			InitContainerStatuses:       ill(p.Status.InitContainerStatuses),
			ContainerStatuses:           ill(p.Status.ContainerStatuses)},
	}
}
