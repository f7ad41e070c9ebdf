package serve

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/epitaph-k8s/epitaph/archive"
)

// byToken knows users by their tokens.
var byToken = authenticator.RequestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
	name, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if name == "broken" {
		return nil, false, errors.New("the token cannot be reviewed")
	}
	return &authenticator.Response{User: &user.DefaultInfo{Name: name}}, ok, nil
})

// rights are the rights that users have, as "user resource/subresource namespace".
type rights []string

func (all rights) Allowed(_ context.Context, who authenticationv1.UserInfo,
	a authorizationv1.ResourceAttributes) (bool, error) {
	if who.Username == "unlucky" {
		return false, errors.New("the API server is away, at https://secret:6443")
	}
	resource := a.Resource
	if a.Subresource != "" {
		resource += "/" + a.Subresource
	}
	for _, right := range all {
		if right == who.Username+" "+resource+" "+a.Namespace && a.Verb == "list" &&
			a.Group == "epitaph-k8s.io" {
			return true, nil
		}
	}
	return false, nil
}

// asked notes what the store was asked.
type asked struct {
	archive.Store
	queries []archive.Query
	by      []archive.Field
}

func (s *asked) List(_ context.Context, q archive.Query) (archive.Page, error) {
	s.queries = append(s.queries, q)
	if q.Name == "broken" {
		return archive.Page{}, errors.New("connect to user=epitaph password=hunter2")
	}
	return archive.Page{Records: []archive.Record{{Cluster: "here", Document: []byte(`{"a":1}`)}},
		Next: "next"}, nil
}

func (s *asked) Count(_ context.Context, q archive.Query, by []archive.Field) ([]archive.Count, error) {
	s.queries, s.by = append(s.queries, q), by
	return nil, nil
}

func (s *asked) Hours(_ context.Context, q archive.Query, by []archive.Field) ([]archive.Hours, error) {
	s.queries, s.by = append(s.queries, q), by
	return []archive.Hours{{Of: []string{"a"}, N: 2, Known: 1, Seconds: 3600, GPUSeconds: 7200}}, nil
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	may := rights{"alice podobituaries batch", "admin podobituaries ", "admin nodeobituaries ",
		"admin ownerobituaries ", "fleet podobituaries/fleet "}
	const listed = `{"items":[{"cluster":"here","record":{"a":1}}],"next":"next"}`
	const denied = `{"error":"you may not read these records"}`
	const unknown = `{"error":"no valid token, and no client certificate of this cluster"}`
	tests := map[string]struct {
		who, path  string
		wantStatus int
		want       string
		// wantAsked is the query, if the store is asked.
		wantAsked *archive.Query
	}{
		"a namespace of one's own": {"alice", "/v1/pods?namespace=batch&name=p&limit=2", 200, listed,
			&archive.Query{Cluster: "here", Kind: archive.PodKind, Namespace: "batch", Name: "p", Limit: 2}},
		"another namespace":          {"alice", "/v1/pods?namespace=web", 403, denied, nil},
		"all namespaces":             {"alice", "/v1/pods", 403, denied, nil},
		"nodes":                      {"alice", "/v1/nodes", 403, denied, nil},
		"nodes of a namespace":       {"alice", "/v1/nodes?namespace=batch", 403, denied, nil},
		"another cluster":            {"alice", "/v1/pods?namespace=batch&cluster=there", 403, denied, nil},
		"all clusters":               {"alice", "/v1/pods?namespace=batch&cluster=*", 403, denied, nil},
		"an administrator elsewhere": {"admin", "/v1/pods?cluster=there", 403, denied, nil},
		"an administrator": {"admin", "/v1/nodes?limit=99999", 200, listed,
			&archive.Query{Cluster: "here", Kind: archive.NodeKind, Limit: maxPage}},
		"owners": {"admin", "/v1/owners?owner=x&cluster=here", 200, listed,
			&archive.Query{Cluster: "here", Kind: archive.OwnerKind, Owner: "x", Limit: maxPage}},
		"the fleet": {"fleet", "/v1/pods?cluster=*&cursor=abc", 200, listed,
			&archive.Query{Kind: archive.PodKind, Cursor: "abc", Limit: maxPage}},
		"the fleet has no namespace here": {"fleet", "/v1/pods", 403, denied, nil},
		"counts": {"admin", "/v1/counts/pods?by=month,code", 200, `{"items":[]}`,
			&archive.Query{Cluster: "here", Kind: archive.PodKind, Limit: maxPage}},
		"hours": {"admin", "/v1/hours/pods?by=label:team", 200,
			`{"items":[{"of":["a"],"n":2,"known":1,"seconds":3600,"gpuSeconds":7200}]}`,
			&archive.Query{Cluster: "here", Kind: archive.PodKind, Limit: maxPage}},
		"hours of a namespace that is not one's own": {"alice", "/v1/hours/pods?namespace=web", 403, denied, nil},
		"counts of another cluster":                  {"admin", "/v1/counts/pods?by=code&cluster=there", 403, denied, nil},
		"nobody":                                     {"", "/v1/pods", 401, unknown, nil},
		"a token that is not known":                  {"broken", "/v1/pods", 401, unknown, nil},
		"a token that is too long":                   {strings.Repeat("x", maxAuthorizationBytes), "/v1/pods", 401, unknown, nil},
		"a mistyped filter": {"admin", "/v1/pods?title=p", 400,
			`{"error":"wrong query: a parameter is not known"}`, nil},
		"a filter twice": {"admin", "/v1/pods?name=p&name=q", 400,
			`{"error":"wrong query: name is there twice"}`, nil},
		"a filter of counts": {"admin", "/v1/pods?by=code", 400,
			`{"error":"wrong query: a parameter is not known"}`, nil},
		"a NUL":  {"admin", "/v1/pods?name=a%00b", 400, `{"error":"wrong query: name has a NUL"}`, nil},
		"a time": {"admin", "/v1/pods?since=yesterday", 400, `{"error":"wrong query: since is no time of RFC 3339"}`, nil},
		"a selector": {"admin", "/v1/pods?labelSelector=a%3Db%3Dc", 400,
			`{"error":"wrong query: the label selector cannot be read"}`, nil},
		"a limit": {"admin", "/v1/pods?limit=-1", 400, `{"error":"wrong query: limit is no number from 1 on"}`, nil},
		"a database that is away": {"admin", "/v1/pods?name=broken", 500, `{"error":"the archive did not answer"}`,
			&archive.Query{Cluster: "here", Kind: archive.PodKind, Name: "broken", Limit: maxPage}},
		"an API server that is away": {"unlucky", "/v1/pods", 500, `{"error":"the archive did not answer"}`, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &asked{}
			h, err := New(Options{Cluster: "here", Users: byToken, Rights: may,
				Store: func() archive.Store { return store }, Registerer: prometheus.NewRegistry(), Log: logr.Discard()})
			if err != nil {
				t.Fatal(err)
			}
			got := ask(t, h, tc.who, tc.path)
			if got.Code != tc.wantStatus || strings.TrimSpace(got.Body.String()) != tc.want {
				t.Errorf("%d %s, want %d %s", got.Code, got.Body, tc.wantStatus, tc.want)
			}
			var want []archive.Query
			if tc.wantAsked != nil {
				want = append(want, *tc.wantAsked)
			}
			if diff := cmp.Diff(want, store.queries); diff != "" {
				t.Errorf("asked the store (-want +got):\n%s", diff)
			}
		})
	}
}

func ask(t *testing.T, h http.Handler, who, path string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	if who != "" {
		r.Header.Set("Authorization", "Bearer "+who)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Before the store can be reached, whoever may ask is told so, and nobody else.
func TestStoreIsNotOpenYet(t *testing.T) {
	t.Parallel()
	h, err := New(Options{Cluster: "here", Users: byToken, Rights: rights{"admin podobituaries "},
		Store: func() archive.Store { return nil }, Registerer: prometheus.NewRegistry(), Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	for who, want := range map[string]int{"admin": 503, "alice": 403, "": 401} {
		got := ask(t, h, who, "/v1/pods")
		if got.Code != want {
			t.Errorf("%q gets %d, want %d", who, got.Code, want)
		}
		var said archive.Refusal
		if err := json.Unmarshal(got.Body.Bytes(), &said); err != nil || said.Error == "" {
			t.Errorf("%q gets %s", who, got.Body)
		}
	}
}

// So many may ask at once, and no more.
func TestSeats(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	waiting := authenticator.RequestFunc(func(*http.Request) (*authenticator.Response, bool, error) {
		entered <- struct{}{}
		<-leave
		return nil, false, nil
	})
	h, err := New(Options{Users: waiting, Registerer: prometheus.NewRegistry(), Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan int)
	for range maxAtOnce {
		go func() {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/pods", nil))
			done <- w.Code
		}()
		<-entered
	}
	if got := ask(t, h, "x", "/v1/pods"); got.Code != 503 || got.Header().Get("Retry-After") == "" {
		t.Errorf("one more gets %d", got.Code)
	}
	close(leave)
	for range maxAtOnce {
		if code := <-done; code != 401 {
			t.Errorf("one of them got %d", code)
		}
	}
}
