package ledger

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind"
	"github.com/epitaph-k8s/epitaph/reason"
)

// noon is when the shutdown begins.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// The callers, by their names on the bus.
var callers = map[string]Caller{
	"alice": {Who: "alice", Verb: "halt", Command: "sudo halt", Privileged: true},
	"bob":   {Who: "bob", Verb: "reboot", Command: "reboot"},
	"root":  {Who: "root", Verb: "poweroff", Command: "poweroff", Privileged: true},
	"eve":   {Who: "eve", Verb: "poweroff", Command: "poweroff"},
}

// A heard event was heard that long before the shutdown began.
type heard struct {
	before time.Duration
	event  logind.Event
}

func asks(sender, what string, before time.Duration) heard {
	return heard{before, logind.Event{Kind: logind.Asked, Sender: sender, Call: 1, What: what}}
}

func (h heard) wantsNoAnswer() heard {
	h.event.NoReply = true
	return h
}

func schedules(sender string, in time.Duration) heard {
	return heard{time.Hour, logind.Event{Kind: logind.Scheduled, Sender: sender, Call: 2,
		What: "poweroff", Due: noon.Add(in)}}
}

func takesBack(sender string) heard {
	return heard{time.Minute, logind.Event{Kind: logind.Unscheduled, Sender: sender, Call: 3}}
}

func is(kind logind.Kind, sender string, call uint32) heard {
	return heard{0, logind.Event{Kind: kind, Sender: sender, Call: call}}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	pressed, all := Facts{Waited: true, Button: &yes}, Facts{Waited: true, Button: &no,
		Searched: true}
	runs := func(who ...string) Facts {
		f := all
		for _, w := range who {
			f.Running = append(f.Running, callers[w])
		}
		return f
	}
	by := func(who, what string) Finding { return Finding{Caller: callers[who], What: what} }
	const second = time.Second
	tests := map[string]struct {
		heard  []heard
		begins string
		facts  Facts
		want   Finding
		need   Need
	}{
		"nothing is known": {need: Button},
		"somebody has asked, and is to be answered": {
			heard: []heard{asks("bob", "reboot", 0)}, begins: "reboot", need: Answer},
		"root has asked: somebody else may be granted": {
			heard: []heard{asks("root", "poweroff", 0)}, begins: "poweroff", need: Answer},
		"somebody asks for another thing: no answer is awaited": {
			heard: []heard{asks("bob", "reboot", 0)}, begins: "poweroff", need: Button},
		"somebody who wants no answer: none is awaited": {
			heard:  []heard{asks("bob", "reboot", 0).wantsNoAnswer()},
			begins: "reboot", need: Button},
		"the button is known, and who runs what is not": {
			facts: Facts{Button: &no}, need: Running},

		"granted": {heard: []heard{asks("bob", "reboot", second), is(logind.Granted, "bob", 1)},
			begins: "reboot", want: by("bob", "reboot")},
		"granted, whatever root has asked for": {heard: []heard{asks("root", "poweroff", second),
			asks("eve", "poweroff", second), is(logind.Granted, "eve", 1)},
			begins: "poweroff", want: by("eve", "poweroff")},
		"granted, before the button": {heard: []heard{asks("bob", "reboot", second),
			is(logind.Granted, "bob", 1)}, begins: "reboot", facts: pressed,
			want: by("bob", "reboot")},
		"somebody else's answer": {heard: []heard{asks("bob", "reboot", second),
			is(logind.Granted, "eve", 1)}, begins: "reboot", facts: all},
		"the answer to another question": {heard: []heard{asks("bob", "reboot", second),
			is(logind.Granted, "bob", 9)}, begins: "reboot", facts: all},
		"granted as long ago as may be": {heard: []heard{asks("bob", "reboot", 10*second),
			is(logind.Granted, "bob", 1)}, begins: "reboot", want: by("bob", "reboot")},
		"granted too long ago": {heard: []heard{asks("bob", "reboot", 11*second),
			is(logind.Granted, "bob", 1)}, begins: "reboot", facts: all},
		"a reboot becomes kexec": {heard: []heard{asks("bob", "reboot", second),
			is(logind.Granted, "bob", 1)}, begins: "kexec", want: by("bob", "reboot")},
		"a poweroff does not": {heard: []heard{asks("eve", "poweroff", second),
			is(logind.Granted, "eve", 1)}, begins: "kexec", facts: all},
		"logind does not say what begins": {heard: []heard{asks("eve", "poweroff", second),
			is(logind.Granted, "eve", 1)}, want: by("eve", "poweroff")},
		"two are granted": {heard: []heard{asks("bob", "reboot", second),
			asks("alice", "reboot", second), is(logind.Granted, "bob", 1),
			is(logind.Granted, "alice", 1)}, begins: "reboot", want: Finding{What: "reboot"}},
		"the same person twice": {heard: []heard{asks("bob", "reboot", 2*second),
			asks("bob", "reboot", second), is(logind.Granted, "bob", 1)},
			begins: "reboot", want: by("bob", "reboot")},

		"root, without an answer": {heard: []heard{asks("root", "poweroff", second)},
			begins: "poweroff", facts: Facts{Waited: true}, want: by("root", "poweroff")},
		"root is refused": {heard: []heard{asks("root", "poweroff", second),
			is(logind.Refused, "root", 1)}, begins: "poweroff", facts: all},
		"root, before the button": {heard: []heard{asks("root", "poweroff", second)},
			begins: "poweroff", facts: pressed, want: by("root", "poweroff")},
		"the button, before who waits for a password": {
			heard: []heard{asks("eve", "poweroff", second)}, begins: "poweroff", facts: pressed,
			want: Finding{Button: true}},
		"the button, before what is due": {heard: []heard{schedules("root", 0)},
			begins: "poweroff", facts: pressed, want: Finding{Button: true}},

		"due": {heard: []heard{schedules("root", 0)}, begins: "poweroff", facts: all,
			want: by("root", "poweroff")},
		"due in four seconds": {heard: []heard{schedules("root", 4*second)}, begins: "poweroff",
			facts: all, want: by("root", "poweroff")},
		"due in five": {heard: []heard{schedules("root", 5*second)}, begins: "poweroff",
			facts: all},
		"due for less than a minute": {heard: []heard{schedules("root", -59*second)},
			begins: "poweroff", facts: all, want: by("root", "poweroff")},
		"due for a minute": {heard: []heard{schedules("root", -60*second)}, begins: "poweroff",
			facts: all},
		"due, and another thing begins": {heard: []heard{schedules("root", 0)}, begins: "halt",
			facts: all},
		"due, and not granted": {heard: []heard{schedules("eve", 0)}, begins: "poweroff",
			facts: all},
		"due, and granted": {heard: []heard{schedules("eve", 0), is(logind.Granted, "eve", 2)},
			begins: "poweroff", facts: all, want: by("eve", "poweroff")},
		"taken back by root": {heard: []heard{schedules("eve", 0), is(logind.Granted, "eve", 2),
			takesBack("root")}, begins: "poweroff", facts: all},
		"taken back by somebody who waits for a password": {heard: []heard{schedules("root", 0),
			takesBack("eve")}, begins: "poweroff", facts: all, want: by("root", "poweroff")},
		"scheduled anew": {heard: []heard{schedules("alice", time.Hour), takesBack("root"),
			schedules("root", 0)}, begins: "poweroff", facts: all, want: by("root", "poweroff")},

		"who wanted no answer, after what is due": {heard: []heard{schedules("root", 0),
			asks("eve", "poweroff", second).wantsNoAnswer()}, begins: "poweroff", facts: all,
			want: by("root", "poweroff")},
		"who wanted no answer": {heard: []heard{asks("eve", "poweroff", second).wantsNoAnswer()},
			begins: "poweroff", facts: Facts{Button: &no}, want: by("eve", "poweroff")},

		"one who runs it": {facts: runs("alice"), want: by("alice", "")},
		"one who runs it, and somebody who waits for a password": {
			heard: []heard{asks("eve", "halt", second)}, begins: "halt", facts: runs("alice"),
			want: by("alice", "")},
		"two who run it":              {facts: runs("alice", "bob")},
		"two processes of one person": {facts: runs("bob", "bob"), want: by("bob", "")},
		"nobody runs it":              {facts: all},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var l Ledger
			for _, h := range tc.heard {
				l.Push(h.event, callers[h.event.Sender], noon.Add(-h.before))
			}
			got, need := l.Explain(tc.begins, noon, tc.facts)
			if diff := cmp.Diff(tc.want, got); diff != "" || need != tc.need {
				t.Errorf("it needs %d, want %d; the finding (-want +got):\n%s", need, tc.need, diff)
			}
		})
	}
}

// Others may ask as often as they like: they do not push out root's request.
func TestLedgerIsBounded(t *testing.T) {
	t.Parallel()
	var l Ledger
	root := asks("root", "poweroff", time.Second)
	l.Push(root.event, callers["root"], noon)
	for n := range 10 * maxRequests {
		l.Push(logind.Event{Kind: logind.Asked, Sender: "eve", Call: uint32(n), What: "poweroff"},
			callers["eve"], noon)
	}
	if n := len(l.requests); n != maxRequests {
		t.Errorf("%d requests are remembered, want %d", n, maxRequests)
	}
	got, need := l.Explain("poweroff", noon, Facts{Waited: true})
	if need != Nothing || got.Caller.Who != "root" {
		t.Errorf("it was %q (needs %d)", got.Caller.Who, need)
	}
}

func TestEvidence(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		finding Finding
		begins  string
		want    reason.Evidence
	}{
		"what they ran": {Finding{Caller: callers["alice"], What: "poweroff"}, "poweroff",
			reason.Evidence{What: "halt", Who: "alice", Detail: "sudo halt"}},
		"what begins": {Finding{Caller: Caller{Who: "a pod"}, What: "reboot"}, "kexec",
			reason.Evidence{What: "kexec", Who: "a pod", Detail: "kexec"}},
		"what was asked": {Finding{Caller: Caller{Who: "a pod"}, What: "reboot"}, "",
			reason.Evidence{What: "reboot", Who: "a pod", Detail: "reboot"}},
		"nobody, nothing": {Finding{}, "", reason.Evidence{What: "shutdown", Detail: "shutdown"}},
		"the button": {Finding{Button: true}, "poweroff",
			reason.Evidence{What: "power-button", Detail: "poweroff"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, tc.finding.Evidence(tc.begins)); diff != "" {
				t.Errorf("the evidence (-want +got):\n%s", diff)
			}
		})
	}
}
