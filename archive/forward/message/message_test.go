package message_test

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/forward"
	"github.com/epitaph-k8s/epitaph/archive/forward/endpoint"
	"github.com/epitaph-k8s/epitaph/archive/forward/message"
)

func record(t *testing.T, name, reason string) archive.Record {
	t.Helper()
	document, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"generation": 2, "labels": map[string]string{"team": reason}},
		"spec":     map[string]any{"reason": reason, "deletedBy": "alice", "owners": []map[string]string{{"name": "rs"}, {"name": "web"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return archive.Record{Cluster: "c", Kind: archive.PodKind, UID: "1", Epoch: 1, Revision: 7,
		Removed: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), Namespace: "batch", Name: name, Node: "n1",
		Code: "KernelPanic", Class: "disruption", Document: document}
}

// written returns what a receiver gets; "" if nothing is sent.
func written(t *testing.T, template string, r archive.Record) string {
	t.Helper()
	body := ""
	s := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		text, _ := io.ReadAll(q.Body)
		body = string(text)
		if q.Header.Get("Content-Type") != "application/json" {
			t.Errorf("it is %s", q.Header.Get("Content-Type"))
		}
	}))
	defer s.Close()
	dir := t.TempDir()
	for name, text := range map[string]string{"url": s.URL,
		"ca.crt": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sender, err := message.New(&endpoint.Endpoint{Dir: dir, Timeout: 20 * time.Second,
		Clock: clocktesting.NewFakePassiveClock(r.Removed)}, template)
	if err != nil {
		t.Fatal(err)
	}
	o, err := sender.Send(t.Context(), []archive.Record{r})
	if err != nil {
		t.Fatal(err)
	}
	if want := (forward.Outcome{Sent: min(1, len(body))}); o != want {
		t.Errorf("the outcome is %+v, want %+v", o, want)
	}
	return body
}

func TestTemplates(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ template, want string }{
		"the default": {"", `{
  "text": "Pod batch/p left c (KernelPanic): it \u0026lt;\"died\"\u0026gt;",
  "mrkdwn": false
}`},
		"all fields": {`["{{.Cluster}} {{.Kind}} {{.Namespace}} {{.Name}} {{.Node}} {{.Code}} {{.Class}}` +
			` {{.By}} {{.ID}} {{.Removed.Year}} {{.Amended}}"]`,
			`["c Pod batch p n1 KernelPanic disruption alice c/1/1-7 2026 true"]`},
		"values":     {`{"o": {{ json .Owners }}, "j": "{{ join .Owners ", " }}"}`, `{"o": ["rs","web"], "j": "rs, web"}`},
		"a range":    {`[{{ range $n, $o := .Owners }}{{ if $n }}, {{ end }}"{{ $o }}"{{ end }}]`, `["rs", "web"]`},
		"a variable": {`{{ $r := json .Reason }}{"r": {{ $r }}}`, `{"r": "it \u003c\"died\"\u003e"}`},
		"nothing":    {`{{ if eq .Code "Evicted" }}{"text": "{{ .Name }}"}{{ end }}`, ""},
		"a label":    {`{"l": "{{ .Labels.team }}", "no": "{{ .Labels.none }}"}`, `{"l": "it \u003c\"died\"\u003e", "no": ""}`},
		"another":    {`{{ define "x" }}"{{ .Code }}"{{ end }}[{{ template "x" . }}]`, `["KernelPanic"]`},
	} {
		if diff := cmp.Diff(tc.want, written(t, tc.template, record(t, "p", `it <"died">`))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	r := record(t, "p", "x")
	var whole struct{ Record json.RawMessage }
	if err := json.Unmarshal([]byte(written(t, `{"record": {{ .Record }}}`, r)), &whole); err != nil ||
		string(whole.Record) != string(r.Document) {
		t.Errorf("the record is %s, %v", whole.Record, err)
	}
}

// Text of others is text: it ends no string, begins no field and calls nobody.
func TestHostileText(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`","channel":"#board`, `\`, `\"`, "\n", "\x00", "\xff", "\u2028", `{{ .Record }}`,
		"</script>", "%!s(MISSING)", `\u0022`, strings.Repeat(`"`, 1000)} {
		for _, template := range []string{`{"text": "{{ .Reason }}"}`, `{"text": {{ json .Reason }}}`,
			`{"text": "{{ with .Reason }}{{ . }}{{ end }}"}`, `{"text": "{{ printf "%s" .Reason }}"}`} {
			var got map[string]string
			if err := json.Unmarshal([]byte(written(t, template, record(t, "p", text))), &got); err != nil {
				t.Fatalf("%s of %q: %v", template, text, err)
			}
			want := map[string]string{"text": strings.ToValidUTF8(text, "\uFFFD")}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s of %q (-want +got):\n%s", template, text, diff)
			}
		}
	}
	var got struct{ Text string }
	body := written(t, "", record(t, "p", "<!channel> <https://evil.example|x> @here &amp;"))
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	want := "Pod batch/p left c (KernelPanic): &lt;!channel&gt; &lt;https://evil.example|x&gt; @\u200bhere &amp;amp;"
	if diff := cmp.Diff(want, got.Text); diff != "" {
		t.Errorf("for Slack (-want +got):\n%s", diff)
	}
	body = written(t, `{"text": "{{ markdown .Reason }}"}`, record(t, "p", "[x](https://evil.example) **@all** `c`\n# h"))
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	want = "\\[x\\]\\(https\\:\\/\\/evil\\.example\\) \\*\\*@\u200ball\\*\\* \\`c\\` \\# h"
	if diff := cmp.Diff(want, got.Text); diff != "" {
		t.Errorf("for Markdown (-want +got):\n%s", diff)
	}
}

// A template that cannot work ends the program at its start, with what to write instead.
func TestBrokenTemplates(t *testing.T) {
	t.Parallel()
	for template, want := range map[string]string{
		`{"text": "{{ .Reson }}"}`:                                      "there are .Cluster, .Kind, .Namespace, .Name",
		`{"text": "{{ .Reason }"}`:                                      "the template cannot be read",
		`{"text": "{{ shout .Reason }}"}`:                               `function "shout" not defined`,
		`{"text": {{ .Reason }}}`:                                       `write text between quotes, as in {"text": "{{ .Reason }}"}`,
		`{"labels": "{{ json .Labels }}"}`:                              "what it writes is no JSON",
		`{{ if .Code }}{"text": 1}{{ else }}x{{ end }}`:                 "what it writes is no JSON",
		`{"text": "{{ slack .Removed }}"}`:                              "wrong type for value; expected string; got time.Time",
		`{{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }}`: "exceeded maximum template depth",
	} {
		_, err := message.New(nil, template)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", template, err, want)
		}
	}
}
