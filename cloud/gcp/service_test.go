package gcp

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cloud/explain"
	"github.com/epitaph-k8s/epitaph/cloud/internal/documented"
)

const instance = "gce://my-project/europe-west1-b/worker"

// gone is when the Node left, and asked when that is asked about.
var (
	gone  = time.Date(2026, 11, 30, 10, 1, 0, 0, time.UTC)
	asked = gone.Add(time.Minute)
)

// A reply is one to a call.
type reply struct {
	status int
	header map[string]string
	body   string
}

// A replica of Google answers as its documentation shows it. The last reply is repeated.
type replica struct {
	*httptest.Server
	token reply
	mu    sync.Mutex
	lists []reply
	asked []url.Values
	wrong []string
}

func serve(t *testing.T, lists ...reply) *replica {
	t.Helper()
	r := &replica{lists: lists, token: reply{http.StatusOK,
		map[string]string{"Content-Type": "application/json"}, documented.Reply("token.json", nil)}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, _ *http.Request) { r.token.write(w) })
	mux.HandleFunc("GET /compute/v1/projects/my-project/zones/europe-west1-b/operations", r.list)
	r.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		r.Close()
		for _, w := range r.wrong {
			t.Error(w)
		}
	})
	return r
}

func (r reply) write(w http.ResponseWriter) {
	for key, value := range r.header {
		w.Header().Set(key, value)
	}
	w.WriteHeader(r.status)
	_, _ = w.Write([]byte(r.body))
}

func (r *replica) list(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, q.URL.Query())
	if by := q.Header.Get("Authorization"); by != "Bearer ya29.example" {
		r.wrong = append(r.wrong, "the call is authorized by "+by)
	}
	next := r.lists[0]
	if len(r.lists) > 1 {
		r.lists = r.lists[1:]
	}
	next.write(w)
}

// key is that of the service account: the SDK signs with it.
var key = sync.OnceValue(func() string {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
})

// asker finds its credentials where the SDK looks first.
func (r *replica) asker(t *testing.T, at time.Time) *Asker {
	t.Helper()
	credentials, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "my-project", "private_key_id": "1",
		"private_key": key(), "token_uri": r.URL + "/token", "client_id": "1",
		"client_email": "epitaph@my-project.iam.gserviceaccount.com",
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "credentials.json")
	if err := os.WriteFile(file, credentials, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
	asker, err := New(t.Context(), Options{Endpoint: r.URL + "/compute/v1/",
		HTTPClient: r.Client(), Clock: clocktesting.NewFakePassiveClock(at)})
	if err != nil {
		t.Fatal(err)
	}
	return asker
}

func (r *replica) ask(t *testing.T) (v1alpha1.CloudAnswer, error) {
	t.Helper()
	return r.askAt(t, t.Context(), asked)
}

func (r *replica) askAt(t *testing.T, ctx context.Context, at time.Time) (v1alpha1.CloudAnswer,
	error) {
	t.Helper()
	return r.asker(t, at).Ask(ctx, explain.Instance{ProviderID: instance, Node: "worker", Gone: gone})
}

// A done is an operation, with the minutes of its time after 10 o'clock.
type done struct {
	Type, User, Words string
	Minute            int
	Target            uint64
	Failed            bool
}

func (d done) At() string {
	return gone.Add(time.Duration(d.Minute-1) * time.Minute).Format("2006-01-02T15:04:05.000-07:00")
}

const (
	preempted = "compute.instances.preempted"

	system = "system"
	group  = "123456789012@cloudservices.gserviceaccount.com"
	ours   = 4711
)

func operations(all ...done) reply { return page("", all...) }

func page(token string, all ...done) reply {
	for i := range all {
		if all[i].Target == 0 {
			all[i].Target = ours
		}
	}
	return reply{http.StatusOK, map[string]string{"Content-Type": "application/json"},
		documented.Reply("operations.json", map[string]any{"Items": all, "Token": token})}
}

func refusal(status int, reason string) reply {
	return reply{status, map[string]string{"Content-Type": "application/json"},
		documented.Reply("error.json", map[string]any{"Status": fmt.Sprint(status),
			"Message": "in words", "Reason": reason})}
}
