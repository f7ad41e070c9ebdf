package records

import (
	"encoding/base64"
	"slices"
	"testing"

	"github.com/epitaph-k8s/epitaph/reason"
)

// What is read of a record ended an instance, and somebody did it.
func FuzzParse(f *testing.F) {
	for _, identity := range []string{
		`{"type": "IAMUser", "userName": "alice"}`, `{"type": "Root", "accountId": "1"}`,
		`{"type": "AssumedRole", "arn": "arn:aws:sts::1:assumed-role/Karpenter/i-0abc"}`,
		`{"type": "AssumedRole", "sessionContext": {"sourceIdentity": "alice"}}`,
		`{"type": "AWSService", "invokedBy": "autoscaling.amazonaws.com"}`, `{"type": 1}`, `null`,
	} {
		f.Add("TerminateInstances", "alice", `{"eventName": "TerminateInstances",
  "eventTime": "2026-11-30T10:00:00Z", "userIdentity": `+identity+`}`)
	}
	f.Add(evicted, "", `{"eventName": "BidEvictedEvent", "errorCode": "AccessDenied"}`)
	f.Fuzz(func(t *testing.T, name, user, record string) {
		e, err := Parse(name, user, record)
		if err != nil {
			return
		}
		if !slices.Contains(endings, e.EventName) || e.ErrorCode != "" {
			t.Errorf("it ended no instance: %+v", e)
		}
		if e.UserIdentity.Name() == "" {
			t.Errorf("nobody did it: %+v", e)
		}
		if d := Decisive([]Event{{EventName: "RebootInstances"}, e}); *d != e &&
			e.EventName != "RebootInstances" {
			t.Errorf("decisive is %+v", d)
		}
	})
}

// Whatever is on a console, a few clean lines of a bounded length are kept of it.
func FuzzKernelLog(f *testing.F) {
	for _, console := range []string{"", "[    1.000000] eth0: up\r\n", "login: \n\x1b[2J",
		"[    1.000000] cloud-init[1234]: password\n", "[  812.104501][ T1] Kernel panic\n"} {
		f.Add(base64.StdEncoding.EncodeToString([]byte(console)))
	}
	f.Add("WyAgICAxLjAwMDAwMF0g!\n")
	f.Fuzz(func(t *testing.T, output string) {
		lines := KernelLog(output)
		if len(lines) > maxLines {
			t.Errorf("%d lines", len(lines))
		}
		for _, line := range lines {
			if len(line) > maxLineBytes || line != reason.CleanTo(line, maxLineBytes) {
				t.Errorf("%q is kept", line)
			}
			if program.MatchString(line) {
				t.Errorf("a program wrote %q", line)
			}
		}
	})
}
