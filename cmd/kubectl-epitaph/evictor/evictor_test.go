package evictor

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/epitaph-k8s/epitaph/reason"
)

// What the API server says of a patch that names another UID than the pod's.
const otherUID = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422,` +
	`"message":"Pod \"p\" is invalid","details":{"causes":[{"reason":"FieldValueInvalid","field":"metadata.uid"}]}}`

// The reason goes onto the very pod that was chosen, and off again if its deletion is refused.
func TestDeleteOfTheChosenPod(t *testing.T) {
	t.Parallel()
	const refused = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`
	const ok = `{"kind":"Pod","apiVersion":"v1"}`
	const patch = `PATCH {"metadata":{"annotations":{"why":"disk"},"uid":"u"}}`
	const deletion = `DELETE {"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"uid":"u"}}`
	tests := map[string]struct {
		annotations map[string]string
		answers     map[string]string // by method
		is          func(error) bool
		want        []string
	}{
		"deleted": {answers: map[string]string{http.MethodPatch: ok, http.MethodDelete: ok},
			is: func(err error) bool { return err == nil }, want: []string{patch, deletion}},
		"replaced": {answers: map[string]string{http.MethodPatch: otherUID},
			is: apierrors.IsNotFound, want: []string{patch}},
		"refused": {answers: map[string]string{http.MethodPatch: ok, http.MethodDelete: refused},
			is: apierrors.IsForbidden, want: []string{patch, deletion,
				`PATCH {"metadata":{"annotations":{"why":null},"uid":"u"}}`}},
		"refused, with an earlier reason": {annotations: map[string]string{"why": "before"},
			answers: map[string]string{http.MethodPatch: ok, http.MethodDelete: refused},
			is:      apierrors.IsForbidden, want: []string{patch, deletion,
				`PATCH {"metadata":{"annotations":{"why":"before"},"uid":"u"}}`}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			server := httptest.NewServer(http.HandlerFunc(
				func(w http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					got = append(got, r.Method+" "+strings.TrimSpace(string(body)))
					answer := tc.answers[r.Method]
					w.Header().Set("Content-Type", "application/json")
					w.WriteHeader(map[string]int{ok: http.StatusOK,
						refused:  http.StatusForbidden,
						otherUID: http.StatusUnprocessableEntity}[answer])
					fmt.Fprint(w, answer)
				}))
			defer server.Close()
			plain, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL,
				ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
			if err != nil {
				t.Fatal(err)
			}
			c := New(plain, reason.Reason{Text: "disk"}, reason.Keys{Reason: "why"})
			c.Choose([]corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p",
				UID: "u", Annotations: tc.annotations}}})
			err = c.CoreV1().Pods("ns").Delete(t.Context(), "p", metav1.DeleteOptions{})
			if !tc.is(err) {
				t.Errorf("it ended with %v", err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}
