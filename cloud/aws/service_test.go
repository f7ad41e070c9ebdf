package aws

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cloud/explain"
	"github.com/epitaph-k8s/epitaph/cloud/internal/documented"
)

// The SDK finds its credentials where it looks first.
func TestMain(m *testing.M) {
	for key, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		if err := os.Setenv(key, value); err != nil {
			panic(err)
		}
	}
	for _, key := range []string{"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"} {
		if err := os.Unsetenv(key); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

const (
	instance = "aws:///eu-west-1c/i-0598c7d356eba48d7"
	// maxLines are kept of a console.
	maxLines = 128
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

// A replica of AWS answers as its documentation shows it, by the name of the action. The last reply to an action
// is repeated.
type replica struct {
	*httptest.Server
	replies map[string][]reply
	mu      sync.Mutex
	asked   []string
	broken  []string
}

func serve(t *testing.T, replies map[string][]reply) *replica {
	t.Helper()
	a := &replica{replies: replies}
	a.Server = httptest.NewServer(a)
	t.Cleanup(func() {
		a.Close()
		for _, b := range a.broken {
			t.Error(b)
		}
	})
	return a
}

func (a *replica) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		panic(err)
	}
	action, service := r.Form.Get("Action"), "ec2"
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		action, service = target[strings.LastIndex(target, ".")+1:], "cloudtrail"
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, action)
	if sign := r.Header.Get("Authorization"); !strings.HasPrefix(sign,
		"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/") ||
		!strings.Contains(sign, "/eu-west-1/"+service+"/aws4_request") {
		a.broken = append(a.broken, "the call is signed with "+sign)
	}
	all := a.replies[action]
	if len(all) == 0 {
		a.broken = append(a.broken, action+" is not to be called")
		http.Error(w, "", http.StatusTeapot)
		return
	}
	if len(all) > 1 {
		a.replies[action] = all[1:]
	}
	for key, value := range all[0].header {
		w.Header().Set(key, value)
	}
	w.WriteHeader(all[0].status)
	_, _ = w.Write([]byte(all[0].body))
}

func (a *replica) calls(action string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(a.asked), func(s string) bool { return s != action }))
}

func (a *replica) asker(t *testing.T, at time.Time) *Asker {
	t.Helper()
	asker, err := New(t.Context(), Options{Endpoint: a.URL, HTTPClient: a.Client(),
		MaxBackoff: time.Millisecond, Clock: clocktesting.NewFakePassiveClock(at)})
	if err != nil {
		t.Fatal(err)
	}
	asker.pace = rate.NewLimiter(rate.Inf, 1)
	return asker
}

// ask asks a minute after the end.
func (a *replica) ask(t *testing.T) (v1alpha1.CloudAnswer, error) {
	t.Helper()
	return a.askAt(t, t.Context(), asked)
}

func (a *replica) askAt(t *testing.T, ctx context.Context, at time.Time) (v1alpha1.CloudAnswer, error) {
	t.Helper()
	return a.asker(t, at).Ask(ctx,
		explain.Instance{ProviderID: instance, Node: "worker", Gone: gone})
}

type described struct {
	State, Reason, Code, Message, Group string
	Spot                                bool
}

func ended(code string) described {
	return described{State: "terminated", Code: code, Message: code + ": in words",
		Reason: "User initiated (2026-11-30 10:00:00 GMT)"}
}

func describes(d described) []reply {
	return []reply{{http.StatusOK, nil, documented.Reply("DescribeInstances.xml", d)}}
}

type refused struct{ Code, Message string }

func refusal(status int, code string) []reply {
	return []reply{{status, nil, documented.Reply("Error.xml", refused{code, "in words"})}}
}

func refusalOfTrail(status int, code string) []reply {
	return []reply{{status, map[string]string{"Content-Type": "application/x-amz-json-1.1"},
		documented.Reply("Error.json", refused{code, "in words"})}}
}

// A call is one that CloudTrail has on record.
type call struct{ Name, Time, Identity, Error string }

const alice = `{"type": "IAMUser", "principalId": "AIDAJ45Q7YFFAREXAMPLE",
  "arn": "arn:aws:iam::123456789012:user/alice", "accountId": "123456789012", "userName": "alice"}`

func endedBy(by string) call {
	return call{Name: "TerminateInstances", Time: "2026-11-30T09:59:58Z", Identity: by}
}

func (c call) Record() string { return documented.Reply("TerminateInstances.json", c) }

func trail(all ...call) []reply { return []reply{trailPage("", all...)} }

func trailPage(token string, all ...call) reply {
	return reply{http.StatusOK, map[string]string{"Content-Type": "application/x-amz-json-1.1"},
		documented.Reply("LookupEvents.json", map[string]any{"Events": all, "Token": token})}
}

func console(output string) []reply {
	return []reply{{http.StatusOK, nil,
		documented.Reply("GetConsoleOutput.xml", map[string]string{"Output": output})}}
}

const (
	describe = "DescribeInstances"
	lookUp   = "LookupEvents"
	output   = "GetConsoleOutput"
)

// pages returns n replies.
func pages(n int, of func(int) reply) (all []reply) {
	for i := range n {
		all = append(all, of(i))
	}
	return all
}

func tokens(n int) reply { return trailPage(fmt.Sprint("page-", n)) }
