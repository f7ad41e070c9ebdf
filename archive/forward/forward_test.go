package forward_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/forward"
	"github.com/epitaph-k8s/epitaph/archive/forward/cloudevent"
	"github.com/epitaph-k8s/epitaph/archive/forward/endpoint"
	"github.com/epitaph-k8s/epitaph/archive/postgres"
	"github.com/epitaph-k8s/epitaph/archive/sqlite"
	server "github.com/epitaph-k8s/epitaph/test/postgres"
	"github.com/epitaph-k8s/epitaph/test/storetest"
)

// A hurried clock has no patience: its pauses last a hundredth.
type hurried struct{ clock.RealClock }

func (hurried) NewTimer(d time.Duration) clock.Timer { return clock.RealClock{}.NewTimer(d / 100) }

const secretPath, secretToken = "/hooks/T0SECRET", "t0ken-secret"

// A receiver is a server that speaks HTTPS, and understands CloudEvents by their SDK.
type receiver struct {
	*httptest.Server
	dir string

	mu       sync.Mutex
	ids      []string
	events   map[string]cloudevents.Event
	requests int
	// misbehave is asked first, with the number of the request from 1 on; true answers it.
	misbehave func(n int, w http.ResponseWriter, body string) bool
}

func listening(t *testing.T, misbehave func(int, http.ResponseWriter, string) bool) *receiver {
	t.Helper()
	r := &receiver{dir: t.TempDir(), events: map[string]cloudevents.Event{}, misbehave: misbehave}
	protocol, err := cloudevents.NewHTTP()
	if err != nil {
		t.Fatal(err)
	}
	sdk, err := cloudevents.NewHTTPReceiveHandler(t.Context(), protocol, func(e cloudevents.Event) error {
		if err := e.Validate(); err != nil {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if _, twice := r.events[e.ID()]; !twice {
			r.ids = append(r.ids, e.ID())
		}
		r.events[e.ID()] = e
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		r.mu.Lock()
		r.requests++
		n := r.requests
		r.mu.Unlock()
		if q.URL.Path != secretPath || q.Header.Get("Authorization") != "Bearer "+secretToken ||
			q.Header.Get("X-Team") != "sre" {
			http.Error(w, q.URL.String()+" "+q.Header.Get("Authorization"), http.StatusUnauthorized)
			return
		}
		if r.misbehave != nil && r.misbehave(n, w, string(body)) {
			return
		}
		q.Body = io.NopCloser(strings.NewReader(string(body)))
		sdk.ServeHTTP(w, q)
	}))
	t.Cleanup(r.Close)
	r.write(t, "url", r.URL+secretPath)
	r.write(t, "token", secretToken+"\n")
	r.write(t, "headers", "X-Team: sre\n")
	r.write(t, "ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw})))
	return r
}

func (r *receiver) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// names are those of what has arrived, each once, in order.
func (r *receiver) names() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range r.ids {
		all = append(all, r.events[id].Subject())
	}
	return all
}

func (r *receiver) as(name string, f forward.Filter) forward.Receiver {
	return forward.Receiver{Name: name, Filter: f, Sender: cloudevent.Sender{Endpoint: &endpoint.Endpoint{
		Dir: r.dir, Timeout: 300 * time.Millisecond, Clock: clock.RealClock{}}}}
}

// A telling forwards until it is stopped.
type telling struct {
	registry *prometheus.Registry
	stop     func()
	mu       sync.Mutex
	log      strings.Builder
}

func tell(t *testing.T, s archive.Feed, cluster string, to ...forward.Receiver) *telling {
	t.Helper()
	return tellBy(t, hurried{}, s, cluster, to...)
}

func tellBy(t *testing.T, clk clock.Clock, s archive.Feed, cluster string, to ...forward.Receiver) *telling {
	t.Helper()
	told := &telling{registry: prometheus.NewRegistry()}
	f, err := forward.New(forward.Options{Cluster: cluster, Feed: s, Receivers: to, Clock: clk,
		Registerer: told.registry, Log: funcr.New(func(prefix, args string) {
			told.mu.Lock()
			defer told.mu.Unlock()
			told.log.WriteString(prefix + args + "\n")
		}, funcr.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- f.Start(ctx) }()
	told.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		told.stop()
		for _, secret := range []string{secretPath, secretToken, "T0SECRET"} {
			if strings.Contains(told.said(), secret) {
				t.Errorf("the log has %q in it:\n%s", secret, told.said())
			}
		}
	})
	return told
}

func (told *telling) said() string {
	told.mu.Lock()
	defer told.mu.Unlock()
	return told.log.String()
}

// value is that of a series; labels are its values, joined by commas.
func (told *telling) value(t *testing.T, name, labels string) float64 {
	t.Helper()
	families, err := told.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if family.GetName() == name && strings.Join(values, ",") == labels {
				return number(m)
			}
		}
	}
	t.Fatalf("there is no series %s of %s", name, labels)
	return 0
}

func number(m *dto.Metric) float64 {
	if m.GetCounter() != nil {
		return m.GetCounter().GetValue()
	}
	return m.GetGauge().GetValue()
}

func inFile(t *testing.T) archive.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "archive.db"),
		clocktesting.NewFakePassiveClock(storetest.Now))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func inPostgres(t *testing.T) archive.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), server.ForTest(t).DSN(), clocktesting.NewFakePassiveClock(storetest.Now))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func store(t *testing.T, s archive.Store, cluster string, names ...string) {
	t.Helper()
	for _, name := range names {
		put(t, s, aRecord(t, cluster, name, func(*archive.Record) {}))
	}
}

func put(t *testing.T, s archive.Store, r archive.Record) {
	t.Helper()
	if err := s.Put(t.Context(), archive.Batch{Cluster: r.Cluster, Kind: r.Kind,
		Records: []archive.Record{r}}); err != nil {
		t.Fatal(err)
	}
}

func aRecord(t *testing.T, cluster, name string, change func(*archive.Record)) archive.Record {
	t.Helper()
	document, err := json.Marshal(map[string]any{"kind": "PodObituary",
		"metadata": map[string]any{"generation": 1},
		"spec":     map[string]any{"podName": name, "reason": "because of " + name}})
	if err != nil {
		t.Fatal(err)
	}
	r := archive.Record{Cluster: cluster, Kind: archive.PodKind, UID: "uid-" + name, Epoch: 1, Revision: 7,
		Removed: storetest.Now.Add(-time.Hour), Namespace: "batch", Name: name, Node: "n1",
		Code: "KernelPanic", Class: "disruption", Document: document}
	change(&r)
	return r
}

func pods(names ...string) (all []string) {
	for _, name := range names {
		all = append(all, "namespaces/batch/pods/"+name)
	}
	return all
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came true: %s", what)
		}
	}
}

func arrived(t *testing.T, r *receiver, want ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d events have arrived", len(want)), func() bool { return len(r.names()) >= len(want) })
	if diff := cmp.Diff(want, r.names()); diff != "" {
		t.Errorf("arrived (-want +got):\n%s", diff)
	}
}

// Whatever a receiver does to the requests, it gets every record, in order, and in the end knows
// what they say.
func TestEveryRecordArrives(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) archive.Store{"SQLite": inFile, "PostgreSQL": inPostgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			r := listening(t, func(n int, w http.ResponseWriter, _ string) bool {
				switch n % 9 {
				case 1:
					w.Header().Set("Retry-After", "1")
					w.WriteHeader(http.StatusServiceUnavailable)
				case 2:
					w.WriteHeader(http.StatusTooManyRequests)
				case 3:
					http.Error(w, strings.Repeat("garbage\x00\x1b[2J", 1<<14), http.StatusInternalServerError)
				case 4: // hangs
					time.Sleep(400 * time.Millisecond)
				case 5:
					c, _, err := http.NewResponseController(w).Hijack()
					if err == nil {
						_, _ = io.WriteString(c, "SSH-2.0-OpenSSH\r\n\r\n"+secretToken)
						_ = c.Close()
					}
				case 6: // slow, in the middle of its answer
					w.Header().Set("Content-Length", "100")
					w.WriteHeader(http.StatusOK)
					_ = http.NewResponseController(w).Flush()
					time.Sleep(400 * time.Millisecond)
				case 7:
					panic(http.ErrAbortHandler)
				default:
					return false
				}
				return true
			})
			store(t, s, "c", "too early")
			store(t, s, "another", "foreign")
			told := tell(t, s, "c", r.as("siem", forward.Filter{}))
			eventually(t, "it is up to date", func() bool {
				return told.value(t, "epitaph_archive_forward_reached_timestamp_seconds", "siem") > 0
			})
			store(t, s, "c", "1", "2", "3", "4")
			store(t, s, "another", "foreign too")
			arrived(t, r, pods("1", "2", "3", "4")...)
			put(t, s, aRecord(t, "c", "2", func(r *archive.Record) { // amended
				r.Revision, r.Document = 8, []byte(`{"metadata": {"generation": 2}, "spec": {"reason": "new"}}`)
			}))
			arrived(t, r, pods("1", "2", "3", "4", "2")...)
			sent := func() float64 { return told.value(t, "epitaph_archive_forwarded_total", "sent,siem") }
			// What has arrived is counted once the receiver has confirmed it.
			eventually(t, "what has arrived is counted", func() bool { return sent() >= 5 })
			if n := sent(); n != 5 {
				t.Errorf("%v were sent", n)
			}
			for _, cause := range []string{"busy", "failing", "unreachable"} {
				if told.value(t, "epitaph_archive_forward_failures_total", cause+",siem") == 0 {
					t.Errorf("no failure is counted as %s", cause)
				}
			}
			first, amended := r.events["c/uid-2/1-7"], r.events["c/uid-2/1-8"]
			if first.Type() != "io.epitaph-k8s.pod.recorded" || amended.Type() != "io.epitaph-k8s.pod.amended" {
				t.Errorf("the types are %s and %s", first.Type(), amended.Type())
			}
			if first.Source() != "https://epitaph-k8s.io/clusters/c" || !first.Time().Equal(storetest.Now.Add(-time.Hour)) ||
				first.Extensions()["code"] != "KernelPanic" || first.Extensions()["class"] != "disruption" {
				t.Errorf("the event is %s", first)
			}
			var data struct{ Spec struct{ Reason string } }
			if err := first.DataAs(&data); err != nil || data.Spec.Reason != "because of 2" {
				t.Errorf("its data is %s, %v", first.Data(), err)
			}
		})
	}
}

// Who is told goes on where it was, whatever happened meanwhile; a new receiver begins now, or when
// it is told to.
func TestPositions(t *testing.T) {
	t.Parallel()
	s := inFile(t)
	store(t, s, "c", "1")
	put(t, s, aRecord(t, "c", "old", func(r *archive.Record) { r.Removed = storetest.Now.Add(-100 * time.Hour) }))
	old, since := listening(t, nil), listening(t, nil)
	both := []forward.Receiver{old.as("old", forward.Filter{}),
		since.as("since", forward.Filter{Since: storetest.Now.Add(-2 * time.Hour)})}
	told := tell(t, s, "c", both...)
	arrived(t, since, pods("1")...)
	for _, name := range []string{"old", "since"} {
		eventually(t, name+" is up to date", func() bool {
			return told.value(t, "epitaph_archive_forward_reached_timestamp_seconds", name) > 0
		})
	}
	told.stop()
	store(t, s, "c", "2")
	told = tell(t, s, "c", both...)
	arrived(t, since, pods("1", "2")...)
	arrived(t, old, pods("2")...)
	told.stop()
	if old.requests != 1 || since.requests != 2 {
		t.Errorf("there were %d and %d requests, want 1 and 2", old.requests, since.requests)
	}
}

// One record that a receiver refuses does not keep the others from it; nor does it go unnoticed.
func TestRefusedRecordIsLeftOut(t *testing.T) {
	t.Parallel()
	s := inFile(t)
	r := listening(t, func(_ int, w http.ResponseWriter, body string) bool {
		if strings.Contains(body, "because of poison") {
			http.Error(w, "I do not like "+secretToken, http.StatusUnprocessableEntity)
			return true
		}
		return false
	})
	told := tell(t, s, "c", r.as("siem", forward.Filter{Since: storetest.Now.Add(-2 * time.Hour)}))
	store(t, s, "c", "1", "poison", "2")
	arrived(t, r, pods("1", "2")...)
	if n := told.value(t, "epitaph_archive_forwarded_total", "refused,siem"); n != 1 {
		t.Errorf("%v are counted as refused", n)
	}
	if n := told.value(t, "epitaph_archive_forward_failures_total", "refused,siem"); n != 3 {
		t.Errorf("it was tried %v times, want 3", n)
	}
	if want := `Pod \"batch/poison\"`; !strings.Contains(told.said(), "left out") ||
		!strings.Contains(told.said(), strings.ReplaceAll(want, `\`, `\\\`)) && !strings.Contains(told.said(), want) {
		t.Errorf("the log does not name it:\n%s", told.said())
	}
}

// What a person has to mend is waited for.
func TestMisconfiguredReceiverLosesNothing(t *testing.T) {
	t.Parallel()
	s := inFile(t)
	r := listening(t, nil)
	r.write(t, "token", "expired")
	told := tell(t, s, "c", r.as("siem", forward.Filter{Since: storetest.Now.Add(-2 * time.Hour)}))
	store(t, s, "c", "1", "2")
	failures := func() float64 {
		return told.value(t, "epitaph_archive_forward_failures_total", "misconfigured,siem")
	}
	eventually(t, "it is refused often", func() bool { return failures() >= 5 })
	if err := os.Remove(filepath.Join(r.dir, "url")); err != nil {
		t.Fatal(err)
	}
	before := failures()
	eventually(t, "its URL is missed", func() bool { return failures() > before+1 })
	if !strings.Contains(told.said(), "write the receiver's URL into the key url of its Secret") {
		t.Errorf("the log does not say what to do:\n%s", told.said())
	}
	if n := told.value(t, "epitaph_archive_forwarded_total", "refused,siem"); n != 0 {
		t.Errorf("%v are left out", n)
	}
	r.write(t, "url", r.URL+secretPath)
	r.write(t, "token", secretToken)
	arrived(t, r, pods("1", "2")...)
}

// A receiver that does not answer holds up itself.
func TestReceiversDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	s := inFile(t)
	stuck := listening(t, func(_ int, w http.ResponseWriter, _ string) bool {
		w.WriteHeader(http.StatusBadGateway)
		return true
	})
	well := listening(t, nil)
	from := forward.Filter{Since: storetest.Now.Add(-2 * time.Hour)}
	told := tell(t, s, "c", stuck.as("stuck", from), well.as("well", from))
	store(t, s, "c", "1", "2")
	arrived(t, well, pods("1", "2")...)
	if len(stuck.names()) > 0 || told.value(t, "epitaph_archive_forward_reached_timestamp_seconds", "stuck") != 0 {
		t.Error("the other one is known to have got everything")
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	s := inFile(t)
	put(t, s, aRecord(t, "c", "routine", func(r *archive.Record) { r.Code, r.Class = "ScaledDown", "routine" }))
	put(t, s, aRecord(t, "c", "web", func(r *archive.Record) { r.Namespace = "web" }))
	put(t, s, aRecord(t, "c", "node", func(r *archive.Record) { r.Kind, r.Namespace = archive.NodeKind, "" }))
	store(t, s, "c", "pod")
	since := storetest.Now.Add(-2 * time.Hour)
	for name, tc := range map[string]struct {
		f    forward.Filter
		want []string
	}{
		"code":      {forward.Filter{Codes: []string{"ScaledDown", "Evicted"}}, pods("routine")},
		"class":     {forward.Filter{Classes: []string{"routine"}}, pods("routine")},
		"kind":      {forward.Filter{Kinds: []string{"Node"}}, []string{"nodes/node"}},
		"namespace": {forward.Filter{Namespaces: []string{"web"}}, []string{"namespaces/web/pods/web"}},
		"several":   {forward.Filter{Kinds: []string{"Pod"}, Classes: []string{"disruption"}, Namespaces: []string{"batch"}}, pods("pod")},
	} {
		tc.f.Since = since
		r := listening(t, nil)
		told := tell(t, s, "c", r.as(name, tc.f))
		arrived(t, r, tc.want...)
		eventually(t, "it is up to date", func() bool {
			return told.value(t, "epitaph_archive_forward_reached_timestamp_seconds", name) > 0
		})
		told.stop()
		arrived(t, r, tc.want...)
		if n := told.value(t, "epitaph_archive_forwarded_total", "filtered,"+name); n != 3 {
			t.Errorf("%s: %v are counted as filtered", name, n)
		}
	}
}

// What a record says is data, whatever it has in it.
func TestHostileText(t *testing.T) {
	t.Parallel()
	s := inFile(t)
	r := listening(t, nil)
	tell(t, s, "c", r.as("siem", forward.Filter{Since: storetest.Now.Add(-2 * time.Hour)}))
	hostile := []string{`"}, {"specversion": "0.3"`, "a\r\nX-Evil: 1", "\u2028", "<!channel>", `\u0000`, "%s%n", "../..", "\x00\xff"}
	for n, text := range hostile {
		put(t, s, aRecord(t, "c", text, func(r *archive.Record) {
			r.UID, r.Code, r.Class, r.Namespace = fmt.Sprint(n), text, text, text
		}))
	}
	eventually(t, "all have arrived", func() bool { return len(r.names()) == len(hostile) })
	for n, text := range hostile[:7] {
		e := r.events[fmt.Sprintf("c/%d/1-7", n)]
		var data struct{ Spec struct{ Reason string } }
		if err := e.DataAs(&data); err != nil || data.Spec.Reason != "because of "+text {
			t.Errorf("%q became %q, %v", text, data.Spec.Reason, err)
		}
		if got := e.Extensions()["code"]; got != text {
			t.Errorf("the code %q became %q", text, got)
		}
	}
}

// A sender whose encoding fails is about one record.
type fails struct{ calls *int }

func (fails) Batch() int { return 4 }

func (f fails) Send(_ context.Context, records []archive.Record) (forward.Outcome, error) {
	*f.calls++
	if slices.ContainsFunc(records, func(r archive.Record) bool { return r.Name == "poison" }) {
		return forward.Outcome{}, fmt.Errorf("there is no text for it")
	}
	return forward.Outcome{Sent: len(records)}, nil
}

// Of many in one request, those that are well arrive.
func TestPoisonInABatch(t *testing.T) {
	t.Parallel()
	s := inFile(t)
	store(t, s, "c", "1", "2", "poison", "4", "5")
	calls, registry := 0, prometheus.NewRegistry()
	f, err := forward.New(forward.Options{Cluster: "c", Feed: s, Clock: hurried{}, Registerer: registry,
		Log: logr.Discard(), Receivers: []forward.Receiver{{Name: "x", Sender: fails{&calls},
			Filter: forward.Filter{Since: storetest.Now.Add(-2 * time.Hour)}}}})
	if err != nil {
		t.Fatal(err)
	}
	told := &telling{registry: registry}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Start(ctx) }()
	eventually(t, "all but one are sent", func() bool {
		return told.value(t, "epitaph_archive_forwarded_total", "sent,x") == 4
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := told.value(t, "epitaph_archive_forwarded_total", "refused,x"); n != 1 || calls != 8 {
		t.Errorf("%v are left out, after %d requests", n, calls)
	}
}
