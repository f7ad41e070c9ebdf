package serve

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/postgres"
	"github.com/epitaph-k8s/epitaph/archive/sqlite"
	server "github.com/epitaph-k8s/epitaph/test/postgres"
	"github.com/epitaph-k8s/epitaph/test/storetest"
)

// hostileTexts are questions that a database would answer otherwise if it read them.
var hostileTexts = []string{
	"'; DROP TABLE records; --", "'; SELECT pg_sleep(60); --", `" OR 1=1 --`, "' OR '1'='1", `\' OR 1=1 --`,
	"x' UNION SELECT document FROM records --", "$1", "?1", "%", "_", "*' --", "{a,b}", "a) OR (1=1", "\u2019 OR 1=1",
	"code' FROM records; DROP TABLE records; --", "../../records", "a\nb", "%s%n",
}

// Whoever may read everything asks with each parameter for what nobody has named: the answer has
// what is called so to the letter, or none, and the store is as before.
func TestHostileQuestions(t *testing.T) {
	t.Parallel()
	clock := clocktesting.NewFakePassiveClock(storetest.Now)
	for name, open := range map[string]func(t *testing.T) (archive.Store, error){
		"SQLite": func(t *testing.T) (archive.Store, error) {
			return sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "archive.db"), clock)
		},
		"PostgreSQL": func(t *testing.T) (archive.Store, error) {
			return postgres.Open(t.Context(), server.ForTest(t).DSN(), clock)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := open(t)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			may := rights{"fleet podobituaries ", "fleet podobituaries/fleet "}
			for n, text := range hostileTexts {
				may = append(may, "fleet podobituaries "+text, "fleet podobituaries/fleet "+text)
				for _, cluster := range []string{"here", text} {
					r := archive.Record{Cluster: cluster, Kind: archive.PodKind, UID: fmt.Sprint(cluster, n), Epoch: 1,
						Revision: 1, Removed: storetest.Now, Namespace: text, Record: text, Name: text, Subject: text,
						Node: text, Code: text, Class: text, Owners: []string{text}, Document: []byte("{}"),
						Labels: map[string]string{text: text, "k": text}}
					if err := s.Put(t.Context(), archive.Batch{Cluster: cluster, Kind: r.Kind,
						Records: []archive.Record{r}}); err != nil {
						t.Fatal(err)
					}
				}
			}
			h, err := New(Options{Cluster: "here", Users: byToken, Rights: may, Log: logr.Discard(),
				Store: func() archive.Store { return s }, Registerer: prometheus.NewRegistry()})
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range hostileTexts {
				asksEverything(t, h, text)
			}
			for _, text := range []string{"a\x00b", "\xff\xfe"} {
				for _, p := range append(known, archive.ParameterCursor, archive.ParameterLimit) {
					path := "/v1/pods?" + url.Values{p: {text}}.Encode()
					if got := ask(t, h, "fleet", path); got.Code != http.StatusBadRequest {
						t.Errorf("%s: %d %s", path, got.Code, got.Body)
					}
				}
			}
			if n := items(t, ask(t, h, "fleet", "/v1/pods?cluster=*")); n != 2*len(hostileTexts) {
				t.Errorf("of %d records there are %d", 2*len(hostileTexts), n)
			}
		})
	}
}

// asksEverything puts a text into each parameter of each question.
func asksEverything(t *testing.T, h http.Handler, text string) {
	t.Helper()
	for _, p := range []string{archive.ParameterNamespace, archive.ParameterName, archive.ParameterUID,
		archive.ParameterNode, archive.ParameterCode, archive.ParameterClass, archive.ParameterOwner,
		archive.ParameterRecord, archive.ParameterCluster} {
		asked := url.Values{p: {text}}.Encode()
		for _, path := range []string{"/v1/pods?", "/v1/counts/pods?by=code&", "/v1/hours/pods?by=label:k&"} {
			if got := ask(t, h, "fleet", path+asked); got.Code != http.StatusOK || items(t, got) != 1 {
				t.Errorf("%s: %d %s", path+asked, got.Code, got.Body)
			}
		}
	}
	place := base64.RawURLEncoding.EncodeToString([]byte("0 " + text)) // before all that there is
	if got := ask(t, h, "fleet", "/v1/pods?cursor="+place); got.Code != http.StatusOK || items(t, got) != 0 {
		t.Errorf("after the place of %q: %d %s", text, got.Code, got.Body)
	}
	for _, q := range []url.Values{
		{archive.ParameterCursor: {text}},
		{archive.ParameterCursor: {base64.RawURLEncoding.EncodeToString([]byte(text + " " + text))}},
		{archive.ParameterSelector: {"k=" + text}}, {archive.ParameterSelector: {text + "=v"}},
		{archive.ParameterSelector: {text}}, {archive.ParameterSelector: {"k in (" + text + ")"}},
		{archive.ParameterSince: {text}}, {archive.ParameterUntil: {text}}, {archive.ParameterLimit: {text}},
		{text: {text}},
	} {
		if got := ask(t, h, "fleet", "/v1/pods?"+q.Encode()); got.Code != http.StatusBadRequest &&
			(got.Code != http.StatusOK || items(t, got) != 0) {
			t.Errorf("%s: %d %s", q.Encode(), got.Code, got.Body)
		}
	}
	for _, by := range []string{text, "label:" + text, "code," + text, "code,label:" + text} {
		for _, path := range []string{"/v1/counts/pods?", "/v1/hours/pods?"} {
			asked := path + url.Values{archive.ParameterBy: {by}}.Encode()
			if got := ask(t, h, "fleet", asked); got.Code != http.StatusBadRequest {
				t.Errorf("%s: %d %s", asked, got.Code, got.Body)
			}
		}
	}
}

func items(t *testing.T, r *httptest.ResponseRecorder) int {
	t.Helper()
	var said struct{ Items []json.RawMessage }
	if err := json.Unmarshal(r.Body.Bytes(), &said); err != nil {
		t.Fatalf("%s: %v", r.Body, err)
	}
	return len(said.Items)
}
