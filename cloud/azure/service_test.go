package azure

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cloud/explain"
	"github.com/epitaph-k8s/epitaph/cloud/internal/documented"
)

const (
	subscription = "089bd33f-d4ec-47fe-8ba5-0753aa5c5b33"
	compute      = "/subscriptions/" + subscription + "/resourceGroups/workers/providers/Microsoft.Compute"
	machine      = compute + "/virtualMachines/worker"
	scaleSet     = compute + "/virtualMachineScaleSets/pool"
	ofSet        = scaleSet + "/virtualMachines/3"
)

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

func (r reply) write(w http.ResponseWriter) {
	for key, value := range r.header {
		w.Header().Set(key, value)
	}
	w.WriteHeader(r.status)
	_, _ = w.Write([]byte(r.body))
}

// A replica of Azure answers as its documentation shows it. The last reply to a question is
// repeated.
type replica struct {
	*httptest.Server
	token  reply
	mu     sync.Mutex
	health []reply
	log    []reply
	// queries and filters are what was asked.
	queries, filters []string
	wrong            []string
}

func serve(t *testing.T, health, log []reply) *replica {
	t.Helper()
	r := &replica{health: health, log: log, token: found("token.json", nil)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /tenant/v2.0/.well-known/openid-configuration",
		func(w http.ResponseWriter, _ *http.Request) { found("openid.json", r.URL).write(w) })
	mux.HandleFunc("POST /tenant/oauth2/v2.0/token", r.login)
	mux.HandleFunc("POST /providers/Microsoft.ResourceGraph/resources",
		func(w http.ResponseWriter, q *http.Request) {
			var asked struct {
				Query         string
				Subscriptions []string
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if err := json.NewDecoder(q.Body).Decode(&asked); err != nil ||
				len(asked.Subscriptions) != 1 || asked.Subscriptions[0] != subscription {
				r.wrong = append(r.wrong, "of other subscriptions")
			}
			r.queries = append(r.queries, asked.Query)
			r.next(w, q, &r.health)
		})
	mux.HandleFunc("GET /subscriptions/"+subscription+
		"/providers/Microsoft.Insights/eventtypes/management/values",
		func(w http.ResponseWriter, q *http.Request) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.filters = append(r.filters, q.URL.Query().Get("$filter"))
			r.next(w, q, &r.log)
		})
	// An authority must speak TLS.
	r.Server = httptest.NewTLSServer(mux)
	t.Cleanup(func() {
		r.Close()
		for _, w := range r.wrong {
			t.Error(w)
		}
	})
	return r
}

func (r *replica) login(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil || !strings.Contains(string(body), "client_assertion=federated") {
		http.Error(w, "no federated token", http.StatusBadRequest)
		return
	}
	r.token.write(w)
}

func (r *replica) next(w http.ResponseWriter, q *http.Request, all *[]reply) {
	if by := q.Header.Get("Authorization"); by != "Bearer eyJ0.example" {
		r.wrong = append(r.wrong, "the call is authorized by "+by)
	}
	if len(*all) == 0 {
		r.wrong = append(r.wrong, q.URL.Path+" is not to be called")
		http.Error(w, "", http.StatusTeapot)
		return
	}
	(*all)[0].write(w)
	if len(*all) > 1 {
		*all = (*all)[1:]
	}
}

// asker draws its token as a workload identity does.
func (r *replica) asker(t *testing.T, at time.Time) *Asker {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("federated"), 0o600); err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{
		"AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": "client",
		"AZURE_FEDERATED_TOKEN_FILE": file, "AZURE_AUTHORITY_HOST": r.URL,
		"AZURE_CLIENT_SECRET": "", "AZURE_CLIENT_CERTIFICATE_PATH": "", "AZURE_TOKEN_CREDENTIALS": "",
	} {
		t.Setenv(key, value)
	}
	asker, err := New(t.Context(), Options{Endpoint: r.URL, HTTPClient: r.Client(),
		MaxBackoff: time.Millisecond, Clock: clocktesting.NewFakePassiveClock(at)})
	if err != nil {
		t.Fatal(err)
	}
	return asker
}

// ask asks about a machine, a minute after its end.
func (r *replica) ask(t *testing.T, resource string) (v1alpha1.CloudAnswer, error) {
	t.Helper()
	return r.askAt(t, t.Context(), resource, asked)
}

func (r *replica) askAt(t *testing.T, ctx context.Context, resource string,
	at time.Time) (v1alpha1.CloudAnswer, error) {
	t.Helper()
	return r.asker(t, at).Ask(ctx,
		explain.Instance{ProviderID: "azure://" + resource, Node: "worker", Gone: gone})
}

func answers(status int, body string) reply {
	return reply{status, map[string]string{"Content-Type": "application/json"}, body}
}

func found(name string, with any) reply { return answers(http.StatusOK, documented.Reply(name, with)) }

func refusal(status int, code string) []reply {
	return []reply{answers(status, documented.Reply("error.json", code))}
}

// An annotated is a health annotation, with the minutes of its time after 10 o'clock.
type annotated struct {
	Name   string
	Minute int
}

func (a annotated) At() string { return minute(a.Minute) }

func minute(n int) string {
	return gone.Add(time.Duration(n-1) * time.Minute).Format("2006-01-02T15:04:05.0000000Z")
}

func health(all ...annotated) []reply { return []reply{found("health.json", all)} }

// An event is one of the activity log.
type event struct {
	Name, Resource, Caller, Identity, ID, Body, Status string
	Minute                                             int
}

func (e event) At() string { return minute(e.Minute) }

func log(all ...event) []reply { return []reply{logPage("", all...)} }

func logPage(next string, all ...event) reply {
	return found("events.json", map[string]any{"Events": all, "Next": next})
}

const alice = "alice@example.com"

// called is what somebody did to the machine.
func called(operation, by string) event {
	return event{Name: "Microsoft.Compute/virtualMachines/" + operation, Resource: machine,
		Caller: by, ID: "1", Status: "Succeeded"}
}

// calledOnSet is what somebody did to machines of the scale set.
func calledOnSet(operation, by, body string) event {
	return event{Name: "Microsoft.Compute/virtualMachineScaleSets/" + operation,
		Resource: strings.ToUpper(scaleSet), Caller: by, ID: "1", Status: "Accepted", Body: body}
}
