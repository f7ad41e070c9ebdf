package page

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/ask"
	"github.com/epitaph-k8s/epitaph/test/hostile"
)

// A past is an archive that answers with records of pods, on as many pages as it has, and refuses
// to answer about nodes if it is shy.
type past struct {
	pods  []string
	pages int
	shy   bool
}

func (a past) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var page archive.List
	if strings.HasSuffix(r.URL.Path, "/nodes") {
		if a.shy {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		page.Items = []archive.Item{{Record: json.RawMessage(
			`{"spec":{"deletedBy":"bob","code":"Unexplained"}}`)}}
	} else {
		for _, o := range a.pods {
			page.Items = append(page.Items, archive.Item{Record: json.RawMessage(o)})
		}
		var n int
		_, _ = fmt.Sscan(r.URL.Query().Get("cursor"), &n)
		if n+1 < a.pages {
			page.Next = fmt.Sprint(n + 1)
		}
	}
	_ = json.NewEncoder(w).Encode(page)
}

// tries sends a form to a page.
func tries(t *testing.T, p *Page, form url.Values) (status int, body string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/archive/replay",
		strings.NewReader(form.Encode()))
	r.Header.Set("Authorization", "Bearer token")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// podBy is the record of a pod that somebody deleted without a reason.
func podBy(t *testing.T, user string) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"metadata": map[string]any{"namespace": "batch"},
		"spec": map[string]any{"deletedBy": user, "code": "Unexplained"}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// As a browser sends it.
const requires = "webhook:\r\n  rules:\r\n    - name: people\r\n      actors: [Person]\r\n      action: Require\r\n"

// A policy is tried on what the archive has, as far as the visitor may read it; what is wrong with
// one is said, and whoever has written it, or a record, gets nothing run.
func TestPolicyIsTried(t *testing.T) {
	t.Parallel()
	alice := podBy(t, "alice")
	for name, tc := range map[string]struct {
		archive past
		policy  string
		form    url.Values
		status  int
		want    []string
		not     string
	}{
		"tried": {
			archive: past{pods: []string{alice, alice, podBy(t, ""), `"hostile"`}}, policy: requires,
			status: 200, not: "There are more records",
			want: []string{"become of 4 deletions", `name="since" value="30d"`,
				"been denied</span></td><td>2</td><td>people</td><td>alice</td><td>batch</td>",
				"been denied</span></td><td>1</td><td>people</td><td>bob</td><td></td>",
				"this cannot be told</td><td>1</td><td>people</td><td></td><td></td><td>who asked for it"},
		},
		"of one namespace": {
			archive: past{pods: []string{alice}}, policy: requires, form: url.Values{"namespace": {"batch"}},
			status: 200, want: []string{"become of 1 deletions"}, not: "bob",
		},
		"without the right to nodes": {
			archive: past{pods: []string{alice}, shy: true}, policy: requires,
			status: 200, want: []string{"The records of nodes are not among them"}, not: "bob",
		},
		"of very many": {
			archive: past{pods: slices.Repeat([]string{alice}, 500), pages: 30}, policy: requires,
			status: 200, want: []string{"become of 10001 deletions", "There are more records"},
		},
		"nothing is on record": {
			archive: past{shy: true}, policy: requires, status: 200, want: []string{"Nothing is on record."},
		},
		"no policy": {status: 400, want: []string{"<li>the policy is missing"}, policy: " \r\n"},
		"a wrong policy": {
			policy: "webhook:\n  rules:\n    - name: x\n      action: Forbid\n  nonsense: 1\n", status: 400,
			want: []string{"<li>webhook.rules[0].action", "<li>webhook.nonsense", "action: Forbid"},
			not:  "become of",
		},
		"no YAML":       {policy: "{", status: 400, want: []string{"<li>the file is not valid YAML"}},
		"a hostile one": {policy: hostile.Text, status: 400, want: []string{"cannot be tried"}},
		"hostile names": {
			archive: past{pods: []string{podBy(t, hostile.Text)}}, policy: requires, status: 200,
			want: []string{"been denied"},
		},
		"a long one": {
			policy: requires + strings.Repeat("# x\n", maxPolicyBytes/4), status: 400,
			want: []string{"longer than 16 KiB"},
		},
		"a megabyte": {policy: strings.Repeat("x", 1<<20), status: 400, want: []string{"cannot be read"}},
		"a wrong time": {
			policy: requires, form: url.Values{"since": {"yesterday"}}, status: 400,
			want: []string{"What the form says cannot be read"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			form := url.Values{"policy": {tc.policy}}
			for key, values := range tc.form {
				form[key] = values
			}
			p := hostileStage(1).page(t)
			p.asks(t, tc.archive)
			status, body := tries(t, p, form)
			if status != tc.status {
				t.Errorf("%d, want %d", status, tc.status)
			}
			for _, want := range tc.want {
				if !strings.Contains(body, want) {
					t.Errorf("it does not say %q", want)
				}
			}
			hidden := strings.IndexFunc(body, func(r rune) bool {
				return r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf)
			})
			if tc.not != "" && strings.Contains(body, tc.not) || strings.Contains(body, "<script") ||
				hidden >= 0 {
				t.Errorf("it says what it must not (%d)", hidden)
			}
			if t.Failed() {
				t.Logf("%.5000s", body)
			}
		})
	}
}

// Without an archive there is nothing to try a policy on; and only so many read much at a time.
func TestPolicyIsNotTried(t *testing.T) {
	t.Parallel()
	p := hostileStage(1).page(t)
	if status, _ := visited(t, p, "/archive/replay"); status != http.StatusNotFound {
		t.Errorf("without an archive the form is answered %d", status)
	}
	p.Archive = func(context.Context) (*ask.Client, error) { return &ask.Client{}, nil }
	if status, body := visited(t, p, "/archive/replay?since=2d&policy=x"); status != http.StatusOK ||
		!strings.Contains(body, `name="since" value="2d"`) {
		t.Errorf("the form is answered %d:\n%s", status, body)
	}
	for range maxLongReads {
		p.longReads <- struct{}{}
	}
	if status, _ := tries(t, p, url.Values{"policy": {requires}}); status != http.StatusServiceUnavailable {
		t.Errorf("one more than may read much is answered %d", status)
	}
}
