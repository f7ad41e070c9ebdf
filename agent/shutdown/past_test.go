package shutdown

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind"
	"github.com/epitaph-k8s/epitaph/reason"
)

// systemd shuts the machine down without logind: the evidence is written at once, and once.
func TestPastLogind(t *testing.T) {
	t.Parallel()
	started := logind.Event{Kind: logind.Started, What: "poweroff"}
	tests := map[string]struct {
		running []int
		want    reason.Evidence
		text    string
	}{
		"alice by sudo systemctl start poweroff.target": {
			[]int{13}, reason.Evidence{What: "poweroff", Who: "alice",
				Detail: "sudo systemctl start poweroff.target"},
			"alice ran sudo systemctl start poweroff.target",
		},
		"nobody who can be found": {nil, reason.Evidence{What: "poweroff", Detail: "poweroff"},
			"somebody unknown ran poweroff"},
		"somebody who asks for another thing": {
			[]int{10}, reason.Evidence{What: "poweroff", Detail: "poweroff"},
			"somebody unknown ran poweroff",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, b := newHost(), &book{fails: 1}
			h.running = tc.running
			watch(t, h, b)
			eventually(t, "it waits for a shutdown", func() bool { return h.held() == 1 })
			// She has logged in, and is logged out by then.
			h.logIn(map[uint32]string{1000: "alice"})
			h.events <- logind.Event{Kind: logind.LoggedIn}
			eventually(t, "it has heard", func() bool { return len(h.events) == 0 })
			h.nameless.Store(100)
			h.stopping.Store(true)
			// Somebody has asked logind for the same, and polkit asks them for a password: they
			// have nothing to do with it.
			h.events <- logind.Event{Kind: logind.Asked, Sender: ":1.14", Call: 1, What: "poweroff"}
			h.events <- started
			h.events <- started
			eventually(t, "it is written", func() bool { return len(b.read()) > 0 })
			got := b.read()[0]
			tc.want.When, tc.want.BootID = got.When, got.BootID
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("the evidence (-want +got):\n%s", diff)
			}
			says(t, got, tc.text)
			h.events <- logind.Event{Kind: logind.GivenUp, What: "poweroff"}
			eventually(t, "it is given up, and taken off",
				func() bool { return len(b.read()) == 0 })
		})
	}
}

func (h *host) logIn(users map[uint32]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.users = users
}

// systemd also starts what logind has begun: that is not new. Nor does a target count that systemd
// merely looks at.
func TestNotPastLogind(t *testing.T) {
	t.Parallel()
	t.Run("logind was asked", func(t *testing.T) {
		t.Parallel()
		h, b := newHost(), &book{}
		h.running = []int{13}
		watch(t, h, b)
		h.events <- logind.Event{Kind: logind.Asked, Sender: ":1.11", Call: 1, What: "poweroff"}
		h.events <- logind.Event{Kind: logind.Begins, What: "poweroff"}
		h.events <- logind.Event{Kind: logind.Granted, Sender: ":1.11", Call: 1}
		eventually(t, "it is written, and goes on",
			func() bool { return len(b.read()) == 1 && h.held() == 0 })
		h.stopping.Store(true)
		h.events <- logind.Event{Kind: logind.Started, What: "poweroff"}
		h.events <- logind.Event{Kind: logind.GivenUp, What: "poweroff"}
		h.events <- logind.Event{Kind: logind.Greeted, Sender: ":1.7"}
		eventually(t, "it has read what was said", func() bool { return len(h.events) == 0 })
		if all := b.read(); len(all) != 1 || all[0].Who != "root" {
			t.Errorf("written: %+v", all)
		}
	})
	t.Run("systemd goes on", func(t *testing.T) {
		t.Parallel()
		h, b := newHost(), &book{}
		h.running = []int{13}
		watch(t, h, b)
		h.events <- logind.Event{Kind: logind.Started, What: "poweroff"}
		h.events <- logind.Event{Kind: logind.Greeted, Sender: ":1.7"}
		eventually(t, "it has read what was said", func() bool { return len(h.events) == 0 })
		if all := b.read(); len(all) != 0 {
			t.Errorf("written: %+v", all)
		}
	})
}

// An agent that starts while systemd shuts down keeps what was written.
func TestBeginsWhileSystemdStops(t *testing.T) {
	t.Parallel()
	h, b := newHost(),
		&book{
			written: []reason.Evidence{{What: reason.EvidencePoweroff, Who: "alice", BootID: "b1"}}}
	h.stopping.Store(true)
	watch(t, h, b)
	h.events <- logind.Event{Kind: logind.Started, What: "poweroff"}
	eventually(t, "it has read what was said", func() bool { return len(h.events) == 0 })
	if all := b.read(); len(all) != 1 || all[0].Who != "alice" || h.held() != 0 {
		t.Errorf("written: %+v, %d locks", all, h.held())
	}
}

// A slow book takes a while to read and to write.
type slowBook struct {
	*book
	takes time.Duration
}

func (b slowBook) Get(ctx context.Context, key client.ObjectKey, o client.Object,
	opts ...client.GetOption) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(b.takes):
		return b.book.Get(ctx, key, o, opts...)
	}
}

func (b slowBook) AddEvidence(ctx context.Context, node *corev1.Node, e reason.Evidence) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return b.book.AddEvidence(ctx, node, e)
}

// The shutdown ends the agent, too: it writes all the same, even what it has not heard yet by then.
func TestEndedByTheShutdown(t *testing.T) {
	t.Parallel()
	for name, events := range map[string][]logind.Event{
		"logind waits": {{Kind: logind.Asked, Sender: ":1.11", Call: 1, What: "poweroff"},
			{Kind: logind.Begins, What: "poweroff"},
			{Kind: logind.Granted, Sender: ":1.11", Call: 1}},
		"past logind": {{Kind: logind.Started, What: "poweroff"}},
	} {
		for when, late := range map[string]bool{"while it writes": false,
			"before it has heard": true} {
			t.Run(fmt.Sprintf("%s, %s", name, when), func(t *testing.T) {
				t.Parallel()
				h, b := newHost(), slowBook{&book{}, 200 * time.Millisecond}
				h.running = []int{11}
				w := watcherOf(h, b)
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					_ = w.Run(ctx)
				}()
				eventually(t, "it waits for a shutdown", func() bool { return h.held() == 1 })
				h.stopping.Store(true)
				if late {
					cancel()
				}
				for _, e := range events {
					h.events <- e
				}
				if !late {
					eventually(t, "it has heard", func() bool { return len(h.events) == 0 })
				}
				cancel()
				<-ended
				if all := b.read(); len(all) != 1 || all[0].Who != "root" || h.held() != 0 {
					t.Errorf("written: %+v, %d locks", all, h.held())
				}
			})
		}
	}
}

// However long logind would wait: without an API server, a shutdown goes on after the configured
// time, even if the bus has gone silent.
func TestShutdownGoesOn(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*host){
		"no API server":                       func(h *host) { h.patient = time.Hour },
		"no API server, and the bus is stuck": func(h *host) { h.stuck = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, b := newHost(), slowBook{&book{}, time.Hour}
			w := watcherOf(h, b)
			w.Config.MaxDelay.Duration = 3 * time.Second
			run(t, w, h)
			eventually(t, "it waits for a shutdown", func() bool { return h.held() == 1 })
			change(h)
			began := time.Now()
			h.events <- logind.Event{Kind: logind.Begins}
			eventually(t, "the shutdown goes on", func() bool { return h.held() == 0 })
			if took := time.Since(began); took < time.Second || took > 10*time.Second {
				t.Errorf("it went on after %s", took)
			}
		})
	}
}

// However often others ask: they do not push out root's request.
func TestManyAsk(t *testing.T) {
	t.Parallel()
	h, b := newHost(), &book{}
	watch(t, h, b)
	h.events <- logind.Event{Kind: logind.Scheduled, Sender: ":1.11", Call: 1,
		What: "poweroff", Due: time.Now().Add(time.Second)}
	for n := range 200 {
		h.events <- logind.Event{Kind: logind.Unscheduled, Sender: ":1.14", Call: uint32(n)}
	}
	h.events <- logind.Event{Kind: logind.Begins, What: "poweroff"}
	eventually(t, "it is written", func() bool { return len(b.read()) == 1 })
	if who := b.read()[0].Who; who != "root" {
		t.Errorf("it was %q", who)
	}
}
