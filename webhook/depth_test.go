package webhook

import (
	"bytes"
	stdjson "encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/segmentio/encoding/json"
	admissionv1 "k8s.io/api/admission/v1"
)

// bombs are bodies of some size that a decoder without a bound recurses through: in every place of
// a review where it skips or keeps what it does not know.
func bombs(size int) map[string][]byte {
	const review = `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"1","operation":"DELETE","resource":{"version":"v1","resource":"pods"},`
	deep := func(before, open string) []byte {
		return append([]byte(before), bytes.Repeat([]byte(open), (size-len(before))/len(open))...)
	}
	return map[string][]byte{
		"arrays":                       deep("", "["),
		"objects":                      deep("", `{"a":`),
		"a field that nobody knows":    deep(`{"x":`, "["),
		"the object":                   deep(review+`"oldObject":`, `{"a":`),
		"annotations":                  deep(review+`"oldObject":{"metadata":{"annotations":`, "["),
		"behind a string with escapes": deep(`{"x":"\\\"[[","y":`, "[ "),
		"options":                      deep(review+`"options":`, `[{"a":`),
	}
}

func TestNestingBombsAreRefused(t *testing.T) {
	t.Parallel()
	for name, bomb := range bombs(maxBodyBytes) {
		w := &world{node: aNode()}
		got := post(t, w.handler(t, nil), string(bomb))
		if got.Code != http.StatusBadRequest ||
			!strings.Contains(got.Body.String(), "nested more than 10000 levels deep") {
			t.Errorf("%s: status %d, %.100s", name, got.Code, got.Body)
		}
	}
}

// What encoding/json takes, which is what the API server writes with, is never refused for its
// depth.
func TestDepth(t *testing.T) {
	t.Parallel()
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	tests := map[string]struct {
		text string
		want bool
	}{
		"as deep as encoding/json goes": {nested(maxDepth), false},
		"deeper":                        {nested(maxDepth + 1), true},
		"much, but flat":                {"[" + strings.Repeat("[],", 3*maxDepth) + "[]]", false},
		"brackets in a string":          {`["` + strings.Repeat("[", 3*maxDepth) + `"]`, false},
		"behind an escaped quote":       {`["\"` + strings.Repeat("[", 3*maxDepth) + `"]`, false},
		"behind an escaped backslash":   {`["\\",` + strings.Repeat("[", maxDepth), true},
		"closed before it is opened": {strings.Repeat("]", 3*maxDepth) +
			strings.Repeat("[", maxDepth+1), true},
	}
	for name, tt := range tests {
		c := cursor{text: []byte(tt.text)}
		if c.value(); (c.err != nil) != tt.want {
			t.Errorf("%s: it ended with %v", name, c.err)
		}
		if tt.want == stdjson.Valid([]byte(tt.text)) {
			t.Errorf("%s: encoding/json disagrees", name)
		}
	}
}

// BenchmarkDecodeReview measures what it takes to find the end of a review, and to read it.
func BenchmarkDecodeReview(b *testing.B) {
	body := recorded(b)
	for name, decode := range map[string]func() error{
		"skip": func() error { c := cursor{text: body}; c.value(); return c.err },
		"fast": func() error {
			return json.Unmarshal(body, &admissionv1.AdmissionReview{})
		},
		"encoding-json": func() error {
			return stdjson.Unmarshal(body, &admissionv1.AdmissionReview{})
		},
		"bounded": func() error { _, err := decodeReview(body); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if err := decode(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// recorded is a review with the pod that the bench of the webhook deletes.
func recorded(b *testing.B) []byte {
	b.Helper()
	pod, err := os.ReadFile("../test/bench/webhook/pod.json")
	if err != nil {
		b.Fatal(err)
	}
	review := &admissionv1.AdmissionReview{Request: &admissionv1.AdmissionRequest{UID: "1",
		Operation: admissionv1.Delete}}
	review.Kind, review.APIVersion = "AdmissionReview", admissionv1.SchemeGroupVersion.String()
	review.Request.OldObject.Raw = pod
	body, err := stdjson.Marshal(review)
	if err != nil {
		b.Fatal(err)
	}
	return body
}
