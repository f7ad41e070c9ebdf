package shutdown

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-k8s/epitaph/agent/fault"
	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind"
	"github.com/epitaph-k8s/epitaph/reason"
)

func marshal(t *testing.T, e reason.Evidence) string {
	t.Helper()
	text, err := json.Marshal([]reason.Evidence{e})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A shutdown that is called off leaves nothing, and the watcher waits for the next one.
func TestCalledOff(t *testing.T) {
	t.Parallel()
	h, b := newHost(), &book{}
	watch(t, h, b)
	h.events <- logind.Event{Kind: logind.Asked, Sender: ":1.7", Call: 1, What: "halt"}
	h.events <- logind.Event{Kind: logind.Begins}
	eventually(t, "the first is written", func() bool { return len(b.read()) == 1 })
	h.events <- logind.Event{Kind: logind.CalledOff}
	h.events <- logind.Event{Kind: logind.CalledOff}
	eventually(t, "it is taken off, and there is a lock",
		func() bool { return len(b.read()) == 0 && h.held() == 1 })
	h.events <- logind.Event{Kind: logind.Restarted}
	h.events <- logind.Event{Kind: logind.Asked, Sender: ":1.11", Call: 1, What: "poweroff"}
	h.events <- logind.Event{Kind: logind.Begins}
	eventually(t,
		"the second is written", func() bool { return len(b.read()) == 1 && h.held() == 0 })
	if who := b.read()[0].Who; who != "root" {
		t.Errorf("it was %q", who)
	}
}

// An agent that starts removes evidence of what the machine has survived in this boot, and nothing
// else; while a shutdown is under way, nothing.
func TestBegins(t *testing.T) {
	t.Parallel()
	own := reason.Evidence{What: reason.EvidenceSoftReboot, Who: "alice", BootID: "b1"}
	earlier := reason.Evidence{What: reason.EvidenceReboot, Who: "alice", BootID: "b0"}
	panicked := reason.Evidence{What: reason.EvidencePanic, BootID: "b1"}
	t.Run("after a soft reboot", func(t *testing.T) {
		t.Parallel()
		b := &book{written: []reason.Evidence{own, earlier, panicked}}
		watch(t, newHost(), b)
		eventually(t, "one is taken off", func() bool { return len(b.read()) < 3 })
		if diff := cmp.Diff([]reason.Evidence{earlier, panicked}, b.read()); diff != "" {
			t.Errorf("what stays (-want +got):\n%s", diff)
		}
	})
	t.Run("during a shutdown", func(t *testing.T) {
		t.Parallel()
		h, b := newHost(), &book{written: []reason.Evidence{own}}
		h.begun = true
		watch(t, h, b)
		h.events <- logind.Event{Kind: logind.Begins}
		h.events <- logind.Event{Kind: logind.Greeted, Sender: ":1.7"}
		eventually(t, "it has read what was said", func() bool { return len(h.events) == 0 })
		if len(b.read()) != 1 || h.held() != 0 {
			t.Errorf("%d pieces of evidence, %d locks", len(b.read()), h.held())
		}
	})
}

func TestFaults(t *testing.T) {
	t.Parallel()
	codes := func(w *Watcher) (all []fault.Code) {
		for _, err := range w.Faults() {
			all = append(all, fault.Of(err).Code)
		}
		return all
	}
	t.Run("deaf and blind", func(t *testing.T) {
		t.Parallel()
		h := newHost()
		h.deaf, h.hidden = logind.ErrDeaf, true
		w, _ := watch(t, h, &book{})
		eventually(t,
			"both are said",
			func() bool {
				return cmp.Equal(codes(w),
					[]fault.Code{fault.CallersUnheard, fault.ProcessesHidden})
			})
	})
	t.Run("the bus hangs up", func(t *testing.T) {
		t.Parallel()
		h := newHost()
		close(h.events)
		w, _ := watch(t, h, &book{})
		eventually(t, "it is said, and the lock given back",
			func() bool {
				return cmp.Equal(codes(w), []fault.Code{fault.NoSystemBus}) &&
					h.held() == 0
			})
	})
	t.Run("no bus", func(t *testing.T) {
		t.Parallel()
		w := New(
			Options{Connect: func(context.Context, string) (Bus, error) {
				return nil, errors.New("no such file or directory")
			}})
		err := w.follow(t.Context())
		const want = "reach the host's system bus: no such file or directory: mount the host's /run/dbus into the pod, or set agent.shutdown.enabled to false where the host has no systemd"
		if fault.Of(err).Code != fault.NoSystemBus || err.Error() != want {
			t.Errorf("it says %s: %v", fault.Of(err).Code, err)
		}
	})
}
