package termination

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-k8s/epitaph/reason"
)

func TestReport(t *testing.T) {
	t.Parallel()
	term, w := terminator()
	r := &Report{BootID: "b1", Kernel: "6.12.1", SpeaksTo: []string{"10.0.0.9:6666"},
		Troubles: []Trouble{{"NoRoute", "no route\x1b[2J"}}}
	if err := term.Report(t.Context(), aNode(nil), r); err != nil {
		t.Fatal(err)
	}
	told := aNode(map[string]string{reason.AgentKey: "{}", reason.TokenKey: "abcd"})
	for _, err := range []error{
		term.Report(t.Context(), told, nil), term.SetTokenHash(t.Context(), aNode(nil), "abcd"),
		term.SetTokenHash(t.Context(), told, ""),
		// What is right already is not written again.
		term.Report(t.Context(), aNode(nil), nil), term.SetTokenHash(t.Context(), told, "abcd"),
		term.SetTokenHash(t.Context(), aNode(nil), ""),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	want := []string{
		`PATCH n1 {"metadata":{"annotations":{"epitaph-k8s.io/agent":"{\"bootID\":\"b1\",\"kernel\":\"6.12.1\",\"speaksTo\":[\"10.0.0.9:6666\"],` +
			`\"troubles\":[{\"code\":\"NoRoute\",\"text\":\"no route\\\\x1b[2J\"}]}"},"uid":"u2"}}`,
		`PATCH n1 {"metadata":{"annotations":{"epitaph-k8s.io/agent":null},"uid":"u2"}}`,
		`PATCH n1 {"metadata":{"annotations":{"epitaph-k8s.io/netconsole-token":"abcd"},"uid":"u2"}}`,
		`PATCH n1 {"metadata":{"annotations":{"epitaph-k8s.io/netconsole-token":null},"uid":"u2"}}`,
	}
	if diff := cmp.Diff(want, w.sent); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// What is written can be read again, however long and odd the text from the system is.
func TestReportIsBounded(t *testing.T) {
	t.Parallel()
	r := Report{BootID: "b1", SpeaksTo: []string{"10.0.0.9:6666"}}
	for range 20 {
		r.Troubles = append(r.Troubles, Trouble{"TargetRefused", strings.Repeat("<ä", 4000)})
	}
	term, w := terminator()
	if err := term.Report(t.Context(), aNode(nil), &r); err != nil {
		t.Fatal(err)
	}
	if n := len(w.sent[0]); n > maxReportBytes {
		t.Errorf("%d bytes are written, at most %d are read", n, maxReportBytes)
	}
	if got := r.bounded(); len(got.Troubles) != maxTroubles ||
		!strings.HasSuffix(got.Troubles[0].Text, "<ä<…") {
		t.Errorf("%d troubles, the first %q", len(got.Troubles), got.Troubles[0].Text)
	}
}

func TestReportOf(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		annotations map[string]string
		want        Report
		wantFound   bool
		wantErr     string
	}{
		"none": {},
		"a report": {annotations: map[string]string{
			reason.AgentKey: `{"bootID":"b1","speaksTo":["10.0.0.9:6666"]}`}, want: Report{
			BootID: "b1", SpeaksTo: []string{"10.0.0.9:6666"}}, wantFound: true},
		"no JSON": {annotations: map[string]string{reason.AgentKey: "fine"}, wantFound: true,
			wantErr: "read annotation epitaph-k8s.io/agent of node n1: invalid character 'i' in literal false (expecting 'a')"},
		"much of it": {annotations: map[string]string{reason.AgentKey: strings.Repeat(" ", 36865)},
			wantFound: true,
			wantErr:   "annotation epitaph-k8s.io/agent of node n1 has 36865 bytes, at most 36864 are read"},
		"empty words": {annotations: map[string]string{reason.AgentKey: ""}, wantFound: true,
			wantErr: "read annotation epitaph-k8s.io/agent of node n1: unexpected end of JSON input"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, found, err := ReportOf(aNode(tc.annotations))
			if diff := cmp.Diff(tc.want, got); diff != "" || found != tc.wantFound {
				t.Errorf("found %v, -want +got:\n%s", found, diff)
			}
			if (err == nil) != (tc.wantErr == "") || err != nil && err.Error() != tc.wantErr {
				t.Errorf("ReportOf = %v, want %q", err, tc.wantErr)
			}
		})
	}
}
