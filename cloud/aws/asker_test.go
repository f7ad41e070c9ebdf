package aws

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cloud/explain"
)

// Each code that EC2 documents has its word, and leads to no more calls than explain it.
func TestCodes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		what  string
		calls []string
	}{
		"Server.InsufficientInstanceCapacity": {"", []string{describe, output}},
		"Server.InternalError":                {"host-failure", []string{describe, output}},
		"Server.ScheduledStop":                {"host-failure", []string{describe, output}},
		"Server.SpotInstanceShutdown":         {"spot-interruption", []string{describe}},
		"Server.SpotInstanceTermination":      {"spot-interruption", []string{describe}},
		"Client.InstanceInitiatedShutdown":    {"shutdown", []string{describe, output}},
		"Client.InstanceTerminated":           {"", []string{describe, output}},
		"Client.InternalError":                {"", []string{describe, output}},
		"Client.InvalidSnapshot.NotFound":     {"", []string{describe, output}},
		"Client.UserInitiatedHibernate":       {"terminated", []string{describe, lookUp, output}},
		"Client.UserInitiatedShutdown":        {"terminated", []string{describe, lookUp, output}},
		"Client.VolumeLimitExceeded":          {"", []string{describe, output}},
		"Server.SomethingNew":                 {"", []string{describe, output}},
	}
	for code := range stateReasons() {
		if _, ok := tests[code]; !ok {
			t.Errorf("no test has the code %s", code)
		}
	}
	for code, tc := range tests {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			a := serve(t, map[string][]reply{describe: describes(ended(code)),
				lookUp: trail(endedBy(alice)), output: console("")})
			got, err := a.ask(t)
			if err != nil || got.What != tc.what ||
				!strings.HasPrefix(got.Detail, code+": in words") {
				t.Errorf("%q, %q, %v, want %q", got.What, got.Detail, err, tc.what)
			}
			if diff := cmp.Diff(tc.calls, a.asked); diff != "" {
				t.Errorf("calls, -want +got:\n%s", diff)
			}
		})
	}
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	panicked, err := os.ReadFile("testdata/documented/console.txt")
	if err != nil {
		t.Fatal(err)
	}
	d := ended("Client.UserInitiatedShutdown")
	d.Group = "workers"
	a := serve(t, map[string][]reply{describe: describes(d), lookUp: trail(endedBy(alice)),
		output: console(base64.StdEncoding.EncodeToString(panicked))})
	got, err := a.ask(t)
	want := v1alpha1.CloudAnswer{
		Cloud: "aws", Asked: metav1.NewTime(asked), What: "terminated", Who: "alice",
		When: metav1.NewTime(time.Date(2026, 11, 30, 9, 59, 58, 0, time.UTC)),
		Detail: "Client.UserInitiatedShutdown: in words; of the Auto Scaling group workers; " +
			"TerminateInstances by alice",
		Sources: []string{"ec2:DescribeInstances", "cloudtrail:LookupEvents",
			"ec2:GetConsoleOutput"},
		KernelLog: []string{
			"[    0.000000] Linux version 6.12.117-amd64 (debian-kernel@lists.debian.org) #1 SMP",
			"[  812.000001][  T812] BUG: unable to handle page fault for address: ffffb2a4c0a3f000",
			"[  812.000200] Kernel panic - not syncing: Fatal exception",
			"[  812.000300] CPU: 3 UID: 0 PID: 812 Comm: kworker/3:1 Not tainted 6.12.117-amd64 #1",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v; -want +got:\n%s", err, diff)
	}
}

func TestSpot(t *testing.T) {
	t.Parallel()
	d := ended("Server.SpotInstanceTermination")
	d.Spot, d.Reason = true, ""
	got, err := serve(t, map[string][]reply{describe: describes(d)}).ask(t)
	const want = "Server.SpotInstanceTermination: in words; spot instance"
	if err != nil || got.Detail != want || !got.When.IsZero() {
		t.Errorf("%q at %v, %v, want %q", got.Detail, got.When, err, want)
	}
}

// The identities are those of the documentation.
func TestWho(t *testing.T) {
	t.Parallel()
	role := func(session string) string {
		return `{"type": "AssumedRole", "principalId": "AROAIDPPEZS35WEXAMPLE:s",
  "arn": "arn:aws:sts::123456789012:assumed-role/` + session + `", "accountId": "123456789012",
  "sessionContext": {"sessionIssuer": {"type": "Role", "userName": "RoleToBeAssumed"}}}`
	}
	for name, tc := range map[string]struct{ identity, who, what string }{
		"user": {alice, "alice", "terminated"},
		"root": {`{"type": "Root", "principalId": "123456789012",
  "arn": "arn:aws:iam::123456789012:root", "accountId": "123456789012"}`,
			"root of account 123456789012", "terminated"},
		"session of a person": {role("Admin/alice@example.com"), "alice@example.com", "terminated"},
		"Identity Center": {role("AWSReservedSSO_Admin_0123456789abcdef/alice"), "alice",
			"terminated"},
		"named session":          {role("Deploy/night"), "night (Deploy)", "terminated"},
		"role of an instance":    {role("Worker/i-0598c7d356eba48d7"), "Worker", "terminated"},
		"service account's role": {role("Karpenter/1764496800000000000"), "Karpenter", "terminated"},
		"pod identity": {role("Karpenter/eks-prod-karpenter-5d9c-e0f6"), "Karpenter",
			"terminated"},
		"without a session": {role("Karpenter"), "Karpenter", "terminated"},
		"source identity": {`{"type": "AssumedRole",
  "arn": "arn:aws:sts::123456789012:assumed-role/Admin/1",
  "sessionContext": {"sourceIdentity": "alice"}}`, "alice", "terminated"},
		"no ARN":           {`{"type": "AssumedRole"}`, "shown", "terminated"},
		"federated":        {`{"type": "FederatedUser", "arn": "arn:aws:sts::1:federated-user/alice"}`, "alice", "terminated"},
		"another account":  {`{"type": "AWSAccount", "accountId": "210987654321"}`, "account 210987654321", "terminated"},
		"a form to come":   {`{"type": "New"}`, "shown", "terminated"},
		"another service":  {`{"type": "AWSService", "invokedBy": "new.amazonaws.com"}`, "new.amazonaws.com", "terminated"},
		"auto scaling":     {strings.Replace(role("AWSServiceRoleForAutoScaling/AutoScaling"), `{`, `{"invokedBy": "autoscaling.amazonaws.com", `, 1), "autoscaling.amazonaws.com", "scale-in"},
		"spot":             {`{"type": "AWSService", "invokedBy": "spot.amazonaws.com"}`, "spot.amazonaws.com", "spot-interruption"},
		"EC2 Fleet":        {`{"type": "AWSService", "invokedBy": "ec2fleet.amazonaws.com"}`, "ec2fleet.amazonaws.com", "scale-in"},
		"Spot Fleet":       {`{"type": "AWSService", "invokedBy": "spotfleet.amazonaws.com"}`, "spotfleet.amazonaws.com", "scale-in"},
		"hostile":          {`{"type": "IAMUser", "userName": "a\u001b[31m\u202eb"}`, `a\x1b[31m\u202eb`, "terminated"},
		"hostile and long": {`{"type": "IAMUser", "userName": "` + strings.Repeat("a", 300) + `"}`, strings.Repeat("a", 253) + "…", "terminated"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := serve(t, map[string][]reply{
				describe: describes(ended("Client.UserInitiatedShutdown")),
				lookUp:   trail(endedBy(tc.identity)), output: console(""),
			}).ask(t)
			if err != nil || got.Who != tc.who || got.What != tc.what {
				t.Errorf("%q, %q, %v, want %q, %q", got.Who, got.What, err, tc.who, tc.what)
			}
		})
	}
	for name := range services() {
		if !slices.Contains([]string{"autoscaling.amazonaws.com", "spot.amazonaws.com",
			"ec2fleet.amazonaws.com", "spotfleet.amazonaws.com"}, name) {
			t.Errorf("no test has the service %s", name)
		}
	}
}

// The decisive call counts, and none that was refused or that ended nothing.
func TestDecisiveCall(t *testing.T) {
	t.Parallel()
	by := func(name, at, who string) call {
		return call{Name: name, Time: at, Identity: `{"type": "IAMUser", "userName": "` + who + `"}`}
	}
	denied := by("TerminateInstances", "2026-11-30T09:59:59Z", "mallory")
	denied.Error = "Client.UnauthorizedOperation"
	for name, tc := range map[string]struct {
		calls []call
		who   string
	}{
		"the latest": {[]call{by("TerminateInstances", "2026-11-30T09:00:00Z", "bob"),
			by("TerminateInstances", "2026-11-30T09:30:00Z", "alice")}, "alice"},
		"terminated after it was stopped": {[]call{by("StopInstances", "2026-11-30T09:30:00Z", "bob"),
			by("TerminateInstances", "2026-11-30T09:00:00Z", "alice")}, "alice"},
		"refused":         {[]call{denied, by("StopInstances", "2026-11-30T09:00:00Z", "alice")}, "alice"},
		"no end":          {[]call{by("CreateTags", "2026-11-30T09:00:00Z", "bob"), by("RebootInstances", "2026-11-30T08:00:00Z", "alice")}, "alice"},
		"garbage":         {[]call{{Name: "TerminateInstances", Identity: `"x"`}, by("StopInstances", "2026-11-30T08:00:00Z", "alice")}, "alice"},
		"spot is evicted": {[]call{by("TerminateInstances", "2026-11-30T09:00:00Z", "bob"), {Name: "BidEvictedEvent", Time: "2026-11-30T08:00:00Z", Identity: `{"invokedBy": "ec2.amazonaws.com"}`}}, "Amazon EC2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := serve(t, map[string][]reply{
				describe: describes(ended("Client.UserInitiatedShutdown")),
				lookUp:   trail(tc.calls...), output: console(""),
			}).ask(t)
			if err != nil || got.Who != tc.who {
				t.Errorf("%q, %v, want %q", got.Who, err, tc.who)
			}
		})
	}
}

func TestNotYet(t *testing.T) {
	t.Parallel()
	running := ended("")
	running.State = "running"
	a := serve(t, map[string][]reply{describe: describes(running)})
	got, err := a.ask(t)
	if !errors.Is(err, explain.ErrNotYet) || got.What != "" ||
		got.Detail != "EC2 says that the instance is running" {
		t.Errorf("an instance that runs: %+v, %v", got, err)
	}
	for name, tc := range map[string]struct {
		after time.Duration
		want  error
	}{
		"the log may lag":   {14 * time.Minute, explain.ErrNotYet},
		"it lags no longer": {16 * time.Minute, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := serve(t, map[string][]reply{lookUp: trail(), output: console(""),
				describe: describes(ended("Client.UserInitiatedShutdown"))})
			got, err := a.askAt(t, t.Context(), gone.Add(tc.after))
			if !errors.Is(err, tc.want) || got.What != "terminated" || got.Who != "" {
				t.Errorf("%+v, %v, want %v", got, err, tc.want)
			}
		})
	}
}

func TestForgotten(t *testing.T) {
	t.Parallel()
	a := serve(t, map[string][]reply{
		describe: refusal(http.StatusBadRequest, "InvalidInstanceID.NotFound")})
	got, err := a.ask(t)
	if err != nil || got.What != "" || got.Detail != "EC2 no longer knows i-0598c7d356eba48d7: "+
		"it keeps an instance for about an hour after its end" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestNotOurs(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	_, err := a.asker(t, asked).Ask(t.Context(),
		explain.Instance{ProviderID: "gce://project/zone/name"})
	if !errors.Is(err, explain.ErrNotOurs) {
		t.Errorf("%v", err)
	}
}

// A cloud that throttles is asked three times, and says when to ask again.
func TestThrottled(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		replies []reply
		after   time.Duration
	}{
		"by code": {refusal(http.StatusServiceUnavailable, "RequestLimitExceeded"), throttled},
		"by status": {[]reply{{http.StatusTooManyRequests, map[string]string{"Retry-After": "7"},
			"slow down"}}, 7 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := serve(t, map[string][]reply{describe: tc.replies})
			_, err := a.ask(t)
			if errors.Is(err, explain.ErrNotYet) || explain.After(err) != tc.after ||
				a.calls(describe) != attempts {
				t.Errorf("%v after %v, asked %d times", err, explain.After(err), a.calls(describe))
			}
		})
	}
	a := serve(t, map[string][]reply{describe: describes(ended("Client.UserInitiatedShutdown")),
		lookUp: refusalOfTrail(http.StatusBadRequest, "ThrottlingException"), output: console("")})
	got, err := a.ask(t)
	if !errors.Is(err, explain.ErrNotYet) || explain.After(err) != throttled ||
		got.What != "terminated" {
		t.Errorf("only CloudTrail throttles: %+v, %v", got, err)
	}
}

// throttled is how long is waited if AWS does not say.
const throttled = 30 * time.Second

func TestRefused(t *testing.T) {
	t.Parallel()
	t.Run("expired credentials", func(t *testing.T) {
		t.Parallel()
		expired := refusal(http.StatusBadRequest, "RequestExpired")
		a := serve(t, map[string][]reply{describe: expired,
			lookUp: refusalOfTrail(http.StatusBadRequest, "ExpiredTokenException")})
		got, err := a.ask(t)
		want := "ec2:DescribeInstances: RequestExpired: in words\n" +
			"cloudtrail:LookupEvents: ExpiredTokenException: in words"
		if err == nil || err.Error() != want || explain.After(err) != 0 || len(got.Sources) != 0 {
			t.Errorf("%+v, %v, want %s", got, err, want)
		}
	})
	t.Run("no right but the first", func(t *testing.T) {
		t.Parallel()
		a := serve(t, map[string][]reply{describe: describes(ended("Client.UserInitiatedShutdown")),
			lookUp: refusalOfTrail(http.StatusBadRequest, "AccessDeniedException"),
			output: refusal(http.StatusForbidden, "UnauthorizedOperation")})
		got, err := a.askAt(t, t.Context(), gone.Add(time.Hour))
		want := []string{"cloudtrail:LookupEvents: AccessDeniedException: in words",
			"ec2:GetConsoleOutput: UnauthorizedOperation: in words"}
		if diff := cmp.Diff(want, got.Unanswered); diff != "" || err != nil ||
			got.What != "terminated" {
			t.Errorf("%+v, %v, -want +got:\n%s", got, err, diff)
		}
	})
	t.Run("all but the first", func(t *testing.T) {
		t.Parallel()
		a := serve(t, map[string][]reply{lookUp: trail(endedBy(alice)),
			describe: refusal(http.StatusForbidden, "UnauthorizedOperation")})
		got, err := a.ask(t)
		if err != nil || got.What != "terminated" || got.Who != "alice" ||
			len(got.Unanswered) != 1 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// Half an outage: what answers is told, and asked again for the rest.
func TestOutage(t *testing.T) {
	t.Parallel()
	a := serve(t, map[string][]reply{lookUp: trail(endedBy(alice)),
		describe: refusal(http.StatusInternalServerError, "InternalError")})
	got, err := a.ask(t)
	if !errors.Is(err, explain.ErrNotYet) || got.Who != "alice" || a.calls(describe) != attempts {
		t.Errorf("%+v, %v, asked %d times", got, err, a.calls(describe))
	}
	b := serve(t, map[string][]reply{output: console(""), lookUp: trail(endedBy(alice)),
		describe: slices.Concat(refusal(http.StatusServiceUnavailable, "Unavailable"),
			describes(ended("Client.UserInitiatedShutdown")))})
	if got, err := b.ask(t); err != nil || got.Who != "alice" {
		t.Errorf("an outage that passes: %+v, %v", got, err)
	}
}

func TestSlow(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
	defer s.Close()
	defer close(over)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	a := &replica{Server: s}
	if _, err := a.askAt(t, ctx, asked); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestHostile(t *testing.T) {
	t.Parallel()
	t.Run("garbage", func(t *testing.T) {
		t.Parallel()
		for _, body := range []string{"", "<", "{}", "<html><body>proxy</body></html>", "\x00\xff"} {
			a := serve(t, map[string][]reply{describe: {{http.StatusOK, nil, body}},
				lookUp: {{http.StatusOK, nil, body}}})
			if got, err := a.ask(t); got.What != "" {
				t.Errorf("%q: %+v, %v", body, got, err)
			}
		}
	})
	t.Run("a body without end", func(t *testing.T) {
		t.Parallel()
		huge := "<DescribeInstancesResponse><requestId>" + strings.Repeat("a", 5<<20)
		a := serve(t, map[string][]reply{describe: {{http.StatusOK, nil, huge}}, lookUp: trail()})
		got, err := a.ask(t)
		if err == nil || len(got.Unanswered) != 1 ||
			!strings.Contains(got.Unanswered[0], "request body too large") {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("control characters and long words", func(t *testing.T) {
		t.Parallel()
		d := ended("Server.InternalError")
		d.Message = "&#x202e;" + strings.Repeat("long ", 1000)
		got, err := serve(t, map[string][]reply{describe: describes(d), output: console("")}).ask(t)
		if err != nil || len(got.Detail) > 1024 || strings.ContainsRune(got.Detail, '\u202e') {
			t.Errorf("%q, %v", got.Detail, err)
		}
	})
	t.Run("another instance", func(t *testing.T) {
		t.Parallel()
		other := describes(ended("Server.InternalError"))
		other[0].body = strings.ReplaceAll(other[0].body, "i-0598c7d356eba48d7", "i-00000000000000000")
		got, err := serve(t, map[string][]reply{describe: other}).ask(t)
		if err != nil || got.What != "" {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// Pages that never end are read up to a bound.
func TestPages(t *testing.T) {
	t.Parallel()
	a := serve(t, map[string][]reply{lookUp: pages(10, tokens), output: console(""),
		describe: describes(ended("Client.UserInitiatedShutdown"))})
	if _, err := a.askAt(t, t.Context(), gone.Add(time.Hour)); err != nil ||
		a.calls(lookUp) != maxPages {
		t.Errorf("%d pages are read: %v", a.calls(lookUp), err)
	}
	b := serve(t, map[string][]reply{output: console(""),
		lookUp:   {trailPage("more"), trailPage("", endedBy(alice))},
		describe: describes(ended("Client.UserInitiatedShutdown"))})
	if got, err := b.ask(t); err != nil || got.Who != "alice" {
		t.Errorf("who is on the second page: %+v, %v", got, err)
	}
}

func TestConsole(t *testing.T) {
	t.Parallel()
	const line = "[    1.000000] eth0: link up\n"
	text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(line, 5000)))
	for name, tc := range map[string]struct {
		replies []reply
		want    int
		last    string
	}{
		"none":       {console(""), 0, ""},
		"not Base64": {console("!"), 0, ""},
		"long":       {console(text), maxLines, strings.TrimSpace(line)},
		"only in parts Base64": {console(base64.StdEncoding.EncodeToString([]byte(line)) + "!"), 1,
			strings.TrimSpace(line)},
		"hostile": {console(base64.StdEncoding.EncodeToString([]byte("[    1.000000] \x1b[2J" +
			strings.Repeat("x", 500)))), 1, `[    1.000000] \x1b[2J` + strings.Repeat("x", 231) + "…"},
		"forgotten":    {refusal(http.StatusBadRequest, forgotten), 0, ""},
		"not on Nitro": {slices.Concat(refusal(http.StatusBadRequest, "UnsupportedOperation"), console(text)), maxLines, strings.TrimSpace(line)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := serve(t, map[string][]reply{output: tc.replies,
				describe: describes(ended("Server.InternalError"))}).ask(t)
			var last string
			if len(got.KernelLog) > 0 {
				last = got.KernelLog[len(got.KernelLog)-1]
			}
			if err != nil || len(got.KernelLog) != tc.want || last != tc.last {
				t.Errorf("%d lines, %q, %v, want %d, %q", len(got.KernelLog), last, err, tc.want,
					tc.last)
			}
		})
	}
}
