package metadata

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/reason"
)

// A documented service answers as the cloud's documentation shows it: test/e2e has a real peer for
// EC2. A path without a reply is not there.
type documented struct {
	*httptest.Server
	mu      sync.Mutex
	replies map[string]string
	// demands is a header that each question must have, and token what EC2's must show.
	demands, value string
	asked          []string
}

func document(t testing.TB, header, value string, replies map[string]string) *documented {
	t.Helper()
	d := &documented{replies: replies, demands: header, value: value}
	d.Server = httptest.NewServer(d)
	t.Cleanup(d.Close)
	return d
}

func (d *documented) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	d.asked = append(d.asked, r.Method+" "+r.URL.String())
	reply, there := d.replies[r.URL.Path]
	d.mu.Unlock()
	switch {
	case r.Method == http.MethodPut && r.URL.Path == awsTokenPath:
		fmt.Fprint(w, "AQAEAtoken==")
	case r.Header.Get(d.demands) != d.value:
		w.WriteHeader(http.StatusUnauthorized)
	case !there:
		w.WriteHeader(http.StatusNotFound)
	default:
		if strings.HasPrefix(r.URL.Path, gcpRoot) {
			w.Header().Set("Metadata-Flavor", "Google")
			w.Header().Set("ETag", fmt.Sprintf("%x", reply))
			if r.FormValue("last_etag") == fmt.Sprintf("%x", reply) {
				<-r.Context().Done()
				return
			}
		}
		fmt.Fprint(w, reply)
	}
}

func (d *documented) says(path, reply string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.replies[path] = reply
}

func (d *documented) aws(t testing.TB) *aws {
	a := &aws{connection: newConnection(d.URL), clock: clock.RealClock{}}
	t.Cleanup(a.close)
	return a
}

const tokenHeader = "X-aws-ec2-metadata-token"

func moment(text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return at
}

func TestAWS(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		replies map[string]string
		want    []Notice
	}{
		"nothing is announced": {replies: map[string]string{awsGroup: "InService"}},
		"a spot instance is taken back": {
			replies: map[string]string{
				awsSpot: `{"action": "terminate", "time": "2026-09-18T08:22:00Z"}`},
			want: []Notice{{ID: "spot", What: reason.EvidenceSpot,
				Detail: "terminate at 2026-09-18T08:22:00Z", Due: moment("2026-09-18T08:22:00Z"),
				Until: moment("2026-09-18T08:32:00Z")}},
		},
		"a replacement is recommended": {
			replies: map[string]string{awsRebalance: `{"noticeTime": "2026-10-27T08:22:00Z"}`},
			want: []Notice{{ID: "rebalance", What: reason.EvidenceRebalance,
				Detail: "its replacement was recommended at 2026-10-27T08:22:00Z",
				Until:  moment("2026-10-27T08:52:00Z")}},
		},
		"maintenance": {
			replies: map[string]string{awsEvents: `[
{"NotBefore": "21 Jan 2026 09:00:43 GMT", "Code": "system-reboot", "Description": "scheduled reboot",
 "EventId": "instance-event-1", "NotAfter": "21 Jan 2026 09:17:23 GMT", "State": "active"},
{"NotBefore": "21 Jan 2026 09:00:43 GMT", "Code": "system-reboot",
 "Description": "[Canceled] scheduled reboot", "EventId": "instance-event-2",
 "NotAfter": "21 Jan 2026 09:17:23 GMT", "State": "canceled"},
{"NotBefore": "2 Feb 2026 00:00:00 GMT", "Code": "instance-retirement",
 "Description": "The instance is running on degraded hardware", "EventId": "instance-event-3",
 "State": "active"}]`},
			want: []Notice{
				{ID: "event instance-event-1", What: reason.EvidenceMaintenance,
					Detail: "system-reboot not before 2026-01-21T09:00:43Z: scheduled reboot",
					Due:    moment("2026-01-21T09:00:43Z"), Until: moment("2026-01-21T09:27:23Z")},
				{ID: "event instance-event-3", What: reason.EvidenceHostFailure,
					Detail: "instance-retirement not before 2026-02-02T00:00:00Z: " +
						"The instance is running on degraded hardware",
					Due: moment("2026-02-02T00:00:00Z"), Until: moment("2026-02-03T00:10:00Z")},
			},
		},
		"the group takes it away": {
			replies: map[string]string{awsGroup: "Terminated"},
			want: []Notice{{ID: "group", What: reason.EvidenceScaleIn,
				Detail: "its Auto Scaling group terminates it", Lasts: awsWait}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := document(t, tokenHeader, "AQAEAtoken==", tc.replies).aws(t).notices(
				t.Context())
			if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// A token that is refused is drawn again with the next question, and one that works is kept.
func TestTokenIsDrawnAgain(t *testing.T) {
	t.Parallel()
	d := document(t, tokenHeader, "AQAEAtoken==", map[string]string{awsGroup: "InService"})
	a := d.aws(t)
	a.token, a.drawn = "expired", time.Now()
	if _, err := a.notices(t.Context()); !refused(err, http.StatusUnauthorized) {
		t.Errorf("a token that has expired: %v", err)
	}
	for range 2 {
		if _, err := a.notices(t.Context()); err != nil {
			t.Error(err)
		}
	}
	drawn := 0
	for _, question := range d.asked {
		if question == "PUT "+awsTokenPath {
			drawn++
		}
	}
	if drawn != 1 {
		t.Errorf("a token was drawn %d times in %v", drawn, d.asked)
	}
}

// What one question brings does not depend on the others.
func TestHalfAnOutage(t *testing.T) {
	t.Parallel()
	d := document(t, tokenHeader, "AQAEAtoken==", map[string]string{
		awsSpot: `{"action": "stop", "time": "2026-09-18T08:22:00Z"}`, awsEvents: `[{`})
	got, err := d.aws(t).notices(t.Context())
	if len(got) != 1 || got[0].What != reason.EvidenceSpot {
		t.Errorf("notices %v", got)
	}
	if want := "read " + awsEvents + ": unexpected end of JSON input"; err == nil ||
		err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestGCE(t *testing.T) {
	t.Parallel()
	const preempted, maintenance = gcpRoot + gcpPreempted, gcpRoot + gcpMaintenance
	spot := Notice{ID: "preempted", What: reason.EvidenceSpot, Detail: "preempted", Lasts: gcpEnd}
	tests := map[string]struct {
		replies map[string]string
		want    []Notice
	}{
		"nothing is announced": {
			replies: map[string]string{preempted: "FALSE", maintenance: "NONE"}},
		"a Spot VM is preempted": {
			replies: map[string]string{preempted: "TRUE", maintenance: "NONE",
				gcpRoot + gcpPreemptible: "TRUE"},
			want: []Notice{spot},
		},
		"preempted, but no Spot VM": {
			replies: map[string]string{preempted: "TRUE", maintenance: "NONE",
				gcpRoot + gcpPreemptible: "FALSE"},
			want: []Notice{{ID: "preempted", What: reason.EvidenceMaintenance,
				Detail: "preempted for maintenance, since it is no Spot VM", Lasts: gcpEnd}},
		},
		"it is stopped for maintenance": {
			replies: map[string]string{preempted: "FALSE",
				maintenance: "TERMINATE_ON_HOST_MAINTENANCE"},
			want: []Notice{{ID: "maintenance-event", What: reason.EvidenceMaintenance,
				Detail: "stopped for the maintenance of its host", Lasts: gcpStop}},
		},
		"it moves while it runs": {
			replies: map[string]string{preempted: "FALSE",
				maintenance: "MIGRATE_ON_HOST_MAINTENANCE"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := document(t, "Metadata-Flavor", "Google", tc.replies)
			g := &gcp{connection: newConnection(d.URL)}
			t.Cleanup(g.close)
			got, err := g.notices(t.Context())
			if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// The server keeps the second question open until something changes. What has changed meanwhile it
// answers at once, and then the other question may not even have been asked.
func TestGCEWaitsForAChange(t *testing.T) {
	t.Parallel()
	const preempted, maintenance = gcpRoot + gcpPreempted, gcpRoot + gcpMaintenance
	d := document(t, "Metadata-Flavor", "Google",
		map[string]string{preempted: "FALSE", maintenance: "NONE", gcpRoot + gcpPreemptible: "TRUE"})
	g := &gcp{connection: newConnection(d.URL)}
	t.Cleanup(g.close)
	if got, err := g.notices(t.Context()); len(got) > 0 || err != nil {
		t.Fatalf("notices %v, error %v", got, err)
	}
	d.says(preempted, "TRUE")
	got, err := g.notices(t.Context())
	if len(got) != 1 || got[0].What != reason.EvidenceSpot || err != nil {
		t.Errorf("notices %v, error %v", got, err)
	}
	want := "GET " + preempted + "?last_etag=46414c5345&timeout_sec=60&wait_for_change=true"
	d.mu.Lock()
	defer d.mu.Unlock()
	if !strings.Contains(strings.Join(d.asked, "\n"), want) {
		t.Errorf("asked %v, not %s", d.asked, want)
	}
}

func TestGCEIsNobodyElse(t *testing.T) {
	t.Parallel()
	d := document(t, "", "", map[string]string{})
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "TRUE") })
	d.Config.Handler = mux
	g := &gcp{connection: newConnection(d.URL)}
	t.Cleanup(g.close)
	got, err := g.notices(t.Context())
	if len(got) > 0 || err == nil || !strings.Contains(err.Error(), "not Google's server") {
		t.Errorf("notices %v, error %v", got, err)
	}
}

func TestAzure(t *testing.T) {
	t.Parallel()
	event := func(kind, source, notBefore string, machines ...string) string {
		return fmt.Sprintf(`{"DocumentIncarnation": 1, "Events": [{"EventId": "C7061BAC", `+
			`"EventType": %q, "ResourceType": "VirtualMachine", "Resources": ["%s"], `+
			`"EventStatus": "Scheduled", "NotBefore": %q, "Description": "Host server is undergoing `+
			`maintenance.", "EventSource": %q, "DurationInSeconds": 5}]}`, kind,
			strings.Join(machines, `", "`), notBefore, source)
	}
	const soon = "Mon, 11 May 2026 22:26:58 GMT"
	notice := func(what, detail string) []Notice {
		return []Notice{{ID: "C7061BAC", What: what,
			Detail: detail + ": Host server is undergoing maintenance.",
			Due:    moment("2026-05-11T22:26:58Z"), Until: moment("2026-05-11T23:26:58Z"),
			Lasts: azureLasts}}
	}
	tests := map[string]struct {
		events string
		want   []Notice
	}{
		"nothing is announced": {events: `{"DocumentIncarnation": 1, "Events": []}`},
		"a spot machine is taken back": {
			events: event("Preempt", "Platform", soon, "pool_1", "POOL_0"),
			want: notice(reason.EvidenceSpot,
				"Preempt not before 2026-05-11T22:26:58Z, by Platform"),
		},
		"its host fails": {
			events: event("Redeploy", "Platform", soon, "pool_0"),
			want: notice(reason.EvidenceHostFailure,
				"Redeploy not before 2026-05-11T22:26:58Z, by Platform"),
		},
		"somebody moves it": {
			events: event("Redeploy", "User", soon, "pool_0"),
			want: notice(reason.EvidenceMaintenance,
				"Redeploy not before 2026-05-11T22:26:58Z, by User"),
		},
		"a restart that has begun": {
			events: event("Reboot", "Platform", "", "pool_0"),
			want: []Notice{{ID: "C7061BAC", What: reason.EvidenceMaintenance,
				Detail: "Reboot, by Platform: Host server is undergoing maintenance.",
				Lasts:  azureLasts}},
		},
		"somebody deletes it": {
			events: event("Terminate", "User", soon, "pool_0"),
			want: notice(reason.EvidenceScaleIn,
				"Terminate not before 2026-05-11T22:26:58Z, by User"),
		},
		"it pauses for seconds":  {events: event("Freeze", "Platform", soon, "pool_0")},
		"another one restarts":   {events: event("Reboot", "Platform", soon, "pool_1", "pool_00")},
		"an event of the future": {events: event("Teleport", "Platform", soon, "pool_0")},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := document(t, "Metadata", "true", map[string]string{
				"/metadata/instance/compute/name": "pool_0\n",
				"/metadata/scheduledevents":       tc.events})
			z := &azure{connection: newConnection(d.URL)}
			t.Cleanup(z.close)
			got, err := z.notices(t.Context())
			if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// What answers need not be the cloud's.
func TestHostileServices(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the redirection was followed")
	}))
	t.Cleanup(other.Close)
	tests := map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"redirects": {
			answer: func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
			},
			want: "draw a token: /latest/api/token is answered with 307 Temporary Redirect",
		},
		"a token that would be a header of its own": {
			answer: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a\r\nHost: b") },
			want:   "draw a token: the answer is none",
		},
		"without end": {
			answer: func(w http.ResponseWriter, r *http.Request) {
				for block := strings.Repeat("a", 1<<12); r.Context().Err() == nil; {
					if _, err := fmt.Fprint(w, block); err != nil {
						return
					}
				}
			},
			want: "draw a token: read /latest/api/token: the answer has more than 262144 bytes",
		},
		"switched off": {
			answer: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusForbidden)
			},
			want: "draw a token: /latest/api/token is answered with 403 Forbidden",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(tc.answer)
			t.Cleanup(server.Close)
			a := &aws{connection: newConnection(server.URL), clock: clock.RealClock{}}
			t.Cleanup(a.close)
			if _, err := a.notices(t.Context()); err == nil || err.Error() != tc.want {
				t.Errorf("error %v, want %s", err, tc.want)
			}
		})
	}
}

// A service that never answers, as one does that is a hop too far away, costs no more than the time
// for one question.
func TestSilentService(t *testing.T) {
	t.Parallel()
	silent := httptest.NewServer(http.HandlerFunc(
		func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(silent.Close)
	a := &aws{connection: newConnection(silent.URL), clock: clock.RealClock{}}
	t.Cleanup(a.close)
	if _, err := a.notices(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

// No variable of the environment sends questions, and tokens, elsewhere.
func TestNoProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://192.0.2.1:3128")
	transport, ok := newConnection(linkLocal).http.Transport.(*http.Transport)
	if !ok || transport.Proxy != nil {
		t.Error("a proxy is asked")
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"action": "terminate", "time": "2026-09-18T08:22:00Z"}`))
	f.Add([]byte(`[{"NotBefore": "21 Jan 2026 09:00:43 GMT", "Code": "system-reboot", "State": "active"}]`))
	f.Add([]byte(`{"Events": [{"EventType": "Reboot", "Resources": ["a"], "NotBefore": "x"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, read := range []func([]byte) ([]Notice, error){spotNotice, rebalanceNotice,
			eventNotices, groupNotice,
			func(b []byte) ([]Notice, error) { return azureNotices(b, "a") }} {
			notices, err := read(body)
			if err != nil && len(notices) > 0 {
				t.Errorf("%v beside %v", notices, err)
			}
			for _, n := range notices {
				e := heard{n, time.Now()}.evidence("a cloud", "b1")
				if len(e.Detail) > maxDetail || !e.Announced() {
					t.Errorf("evidence %+v", e)
				}
			}
		}
	})
}
