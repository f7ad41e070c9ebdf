package e2e

import (
	"bufio"
	"cmp"
	"encoding/json"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// An auditEvent is what the API server's audit log says about a request that it has answered.
type auditEvent struct {
	Stage, Verb, RequestURI string
	User, ImpersonatedUser  struct{ Username string }
	ObjectRef               struct{ Resource, Subresource, Namespace, Name string }
	ResponseStatus          struct{ Code int }
}

// who is whom the request was answered for.
func (e auditEvent) who() string { return cmp.Or(e.ImpersonatedUser.Username, e.User.Username) }

// byEpitaph tells whether the request was ours.
func (e auditEvent) byEpitaph() bool {
	return strings.HasSuffix(e.User.Username, ":epitaph-manager")
}

// reads are verbs that change nothing. The audit log has those of Epitaph, to tell which of its
// rights it uses.
var reads = map[string]bool{"get": true, "list": true, "watch": true}

// audited reads the answered changes that are wanted out of the API server's audit log.
func (c *cluster) audited(t *testing.T, wanted func(auditEvent) bool) []auditEvent {
	t.Helper()
	return c.answered(t, func(e auditEvent) bool { return !reads[e.Verb] && wanted(e) })
}

// answered reads the answered requests that are wanted, reads among them, out of the API server's
// audit log.
func (c *cluster) answered(t *testing.T, wanted func(auditEvent) bool) []auditEvent {
	t.Helper()
	file, err := c.Audited()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var found []auditEvent
	lines := bufio.NewScanner(file)
	for lines.Buffer(nil, 4<<20); lines.Scan(); {
		var e auditEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		if e.Stage == "ResponseComplete" && wanted(e) {
			found = append(found, e)
		}
	}
	return found
}

// asked counts the requests of Epitaph in the API server's audit log.
func (c *cluster) asked(t *testing.T, verb, path string) int {
	t.Helper()
	return len(c.audited(t, func(e auditEvent) bool {
		return e.byEpitaph() && e.Verb == verb && strings.HasPrefix(e.RequestURI, path)
	}))
}

// admissionCalls is how often the API server has called one of our webhooks, by its own count.
func (c *cluster) admissionCalls(t *testing.T, webhook string) int {
	t.Helper()
	return c.countOf(t, "apiserver_admission_webhook_request_total", webhook)
}

// unasked is how often the API server went on without the answer of one of our webhooks, by its own
// count: on a machine that is too busy it does.
func (c *cluster) unasked(t *testing.T, webhook string) int {
	t.Helper()
	return c.countOf(t, "apiserver_admission_webhook_fail_open_count", webhook)
}

// countOf sums a metric of the API server over what is about a webhook.
func (c *cluster) countOf(t *testing.T, metric, webhook string) int {
	t.Helper()
	text, err := c.client.RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatalf("read the API server's metrics: %v", err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(text)))
	if err != nil {
		t.Fatalf("parse the API server's metrics: %v", err)
	}
	sum := 0.0
	for _, m := range families[metric].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "name" && l.GetValue() == webhook {
				sum += value(m)
			}
		}
	}
	return int(sum)
}
