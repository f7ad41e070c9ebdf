package shutdown

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/agent/shutdown/logind"
	"github.com/epitaph-k8s/epitaph/agent/shutdown/process"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

// A host is what the watcher sees of a machine. Process 7 is alice's sudo halt, 8 a service, 9 a
// pod, 10 bob's, 11 is root's, 12 the kernel's, 13 alice's who went past logind, 14 mallory's.
type host struct {
	events        chan logind.Event
	begun, hidden bool
	deaf          error
	running       []int

	stopping atomic.Bool
	// stuck makes the bus stop answering.
	stuck bool
	// nameless is how often logind does not provide a name in time.
	nameless atomic.Int32
	// users are logged in.
	users   map[uint32]string
	mu      sync.Mutex
	locks   int // that are held
	patient time.Duration
}

func newHost() *host { return &host{events: make(chan logind.Event, 64), patient: 5 * time.Second} }

var senders = map[string]uint32{":1.7": 7, ":1.8": 8, ":1.9": 9, ":1.10": 10, ":1.11": 11,
	":1.12": 12, ":1.14": 14}

var origins = map[int]process.Origin{
	7:  {Verb: "halt", Command: "sudo halt", Login: ptr.To[uint32](1000)},
	8:  {Verb: "shutdown", Command: "shutdown", Unit: "apt-daily-upgrade.service"},
	9:  {Pod: "0a1b2c3d-0000-4000-8000-00000000beef"},
	10: {Verb: "reboot", Command: "reboot", UID: ptr.To[uint32](1001)},
	11: {Verb: "poweroff", Command: "poweroff"},
	12: {Verb: "poweroff", Command: "poweroff", Kernel: true},
	13: {Verb: "poweroff", Command: "sudo systemctl start poweroff.target",
		Login: ptr.To[uint32](1000)},
	14: {Verb: "poweroff", Command: "poweroff", UID: ptr.To[uint32](1002)},
}

func (h *host) Next(ctx context.Context) (logind.Event, error) {
	select {
	case <-ctx.Done():
		return logind.Event{}, ctx.Err()
	case e, ok := <-h.events:
		if !ok {
			return e, errors.New("it hung up")
		}
		return e, nil
	}
}
func (h *host) Deaf() error                                 { return h.deaf }
func (h *host) Begun(context.Context) (bool, error)         { return h.begun, nil }
func (h *host) SeesProcesses(context.Context) (bool, error) { return !h.hidden, nil }
func (h *host) Close() error                                { return nil }
func (h *host) Stopping(context.Context) (bool, error)      { return h.stopping.Load(), nil }

func (h *host) MaxDelay(ctx context.Context) (time.Duration, error) {
	if h.stuck {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return h.patient, nil
}

func (h *host) Delay(context.Context, string, string) (io.Closer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.locks++
	return h.lock(), nil
}

type closer func()

func (c closer) Close() error { c(); return nil }

func (h *host) lock() io.Closer {
	return closer(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.locks--
	})
}

func (h *host) held() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.locks
}

func (h *host) Process(_ context.Context, sender string) (pid, uid uint32, err error) {
	if pid, ok := senders[sender]; ok {
		return pid, map[uint32]uint32{10: 1001, 14: 1002}[pid], nil
	}
	return 0, 0, errors.New("no such name")
}

func (h *host) UserName(_ context.Context, uid uint32) (string, error) {
	if h.nameless.Add(-1) >= 0 {
		return "", context.DeadlineExceeded
	}
	if uid == 1000 {
		return "alice", nil
	}
	return "", errors.New("not logged in")
}

func (h *host) Users(context.Context) (map[uint32]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.users), nil
}

func (h *host) SessionUser(_ context.Context, pid uint32) (string, error) {
	if pid == 7 {
		return "alice", nil
	}
	return "", errors.New("no session")
}

func (h *host) Of(_ context.Context, pid int) (process.Origin, error) { return origins[pid], nil }
func (h *host) Running(context.Context) (all []process.Origin, err error) {
	for _, pid := range h.running {
		all = append(all, origins[pid])
	}
	return all, nil
}

// A book is the Node, and what is written on it.
type book struct {
	client.Reader
	mu      sync.Mutex
	written []reason.Evidence
	fails   int // the next writes
}

func (b *book) Get(_ context.Context, _ client.ObjectKey, o client.Object,
	_ ...client.GetOption) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	node := o.(*corev1.Node)
	node.ObjectMeta = metav1.ObjectMeta{Name: "n1", UID: "u1"}
	return nil
}

func (b *book) AddEvidence(_ context.Context, _ *corev1.Node, e reason.Evidence) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fails > 0 {
		b.fails--
		return termination.ErrChanged
	}
	b.written = append(b.written, e)
	return nil
}

// RemoveEvidence is refused if another write came first: the real one names the version that was
// read.
func (b *book) RemoveEvidence(ctx context.Context, _ *corev1.Node,
	forgettable func(reason.Evidence) bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ctx.Err() != nil {
		return termination.ErrChanged
	}
	b.written = slices.DeleteFunc(b.written, forgettable)
	return nil
}

func (b *book) read() []reason.Evidence {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.written)
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came about: %s", what)
		}
	}
}

// A diary is a Node, as it is read and written.
type diary interface {
	client.Reader
	Writer
}

func watcherOf(h *host, d diary) *Watcher {
	return New(Options{
		Config: config.Default().Agent.Shutdown, Node: "n1", BootID: "b1", Live: d, Terminator: d,
		Processes: h,
		Connect:   func(context.Context, string) (Bus, error) { return h, nil },
		Button: func(ctx context.Context, _ func()) error {
			<-ctx.Done()
			return nil
		},
		Clock: clock.RealClock{}, Log: logr.Discard(),
	})
}

// run makes a watcher watch until the test ends.
func run(t *testing.T, w *Watcher, h *host) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = w.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		if n := h.held(); n != 0 {
			t.Errorf("%d locks are held after the end", n)
		}
	})
}

// watch runs a watcher; sending on press presses the button.
func watch(t *testing.T, h *host, d diary) (w *Watcher, press chan<- struct{}) {
	t.Helper()
	presses := make(chan struct{})
	w = watcherOf(h, d)
	w.Button = func(ctx context.Context, pressed func()) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-presses:
				pressed()
			}
		}
	}
	run(t, w, h)
	return w, presses
}

func TestWhoIsNamed(t *testing.T) {
	t.Parallel()
	asked := func(sender, what string) logind.Event {
		return logind.Event{Kind: logind.Asked, Sender: sender, Call: 1, What: what}
	}
	scheduled := func(sender string, in time.Duration) logind.Event {
		return logind.Event{Kind: logind.Scheduled, Sender: sender, Call: 2,
			What: "poweroff", Due: time.Now().Add(in)}
	}
	granted := func(sender string, call uint32) logind.Event {
		return logind.Event{Kind: logind.Granted, Sender: sender, Call: call}
	}
	quiet := func(e logind.Event) logind.Event {
		e.NoReply = true
		return e
	}
	begins, powersOff := logind.Event{Kind: logind.Begins},
		logind.Event{Kind: logind.Begins, What: "poweroff"}
	tests := map[string]struct {
		events  []logind.Event
		change  func(*host)
		pressed bool
		want    reason.Evidence
		// wantText is what a pod on the node will say.
		wantText string
	}{
		"alice by sudo": {
			events:   []logind.Event{asked(":1.7", "halt"), begins, granted(":1.7", 1)},
			want:     reason.Evidence{What: "halt", Who: "alice", Detail: "sudo halt"},
			wantText: "alice ran sudo halt",
		},
		"a process that is gone when she has asked, and was there when she greeted": {
			events: []logind.Event{{Kind: logind.Greeted, Sender: ":1.7"}, asked(":1.7", "halt"),
				begins, granted(":1.7", 1)},
			want:     reason.Evidence{What: "halt", Who: "alice", Detail: "sudo halt"},
			wantText: "alice ran sudo halt",
		},
		"alice, whose name logind does not tell at once": {
			events:   []logind.Event{asked(":1.7", "halt"), begins, granted(":1.7", 1)},
			change:   func(h *host) { h.nameless.Store(1) },
			want:     reason.Evidence{What: "halt", Who: "alice", Detail: "sudo halt"},
			wantText: "alice ran sudo halt",
		},
		"an unattended upgrade": {
			events: []logind.Event{asked(":1.8", "reboot"), {Kind: logind.Begins, What: "reboot"},
				granted(":1.8", 1)},
			want: reason.Evidence{What: "shutdown", Who: "unattended-upgrades",
				Detail: "shutdown"}, wantText: "unattended-upgrades ran shutdown",
		},
		"a pod": {
			events: []logind.Event{asked(":1.9", "reboot"), {Kind: logind.Begins, What: "kexec"},
				granted(":1.9", 1)},
			want: reason.Evidence{What: "kexec", Who: "pod 0a1b2c3d-0000-4000-8000-00000000beef",
				Detail: "kexec"}, wantText: "pod 0a1b2c3d-0000-4000-8000-00000000beef ran kexec",
		},
		"the kernel, which overheats": {
			events:   []logind.Event{asked(":1.12", "poweroff"), begins, granted(":1.12", 1)},
			want:     reason.Evidence{What: "poweroff", Who: "the kernel", Detail: "poweroff"},
			wantText: "the kernel ran poweroff",
		},
		"somebody who is not logged in": {
			events: []logind.Event{asked(":1.10", "reboot"), begins, granted(":1.10", 1)},
			want: reason.Evidence{What: "reboot", Who: "the user with UID 1001",
				Detail: "reboot"}, wantText: "the user with UID 1001 ran reboot",
		},
		"somebody whom polkit has asked for a password": {
			events: []logind.Event{asked(":1.10", "poweroff"), asked(":1.14", "poweroff"),
				powersOff, granted(":1.10", 1)},
			want: reason.Evidence{What: "reboot", Who: "the user with UID 1001",
				Detail: "reboot"}, wantText: "the user with UID 1001 ran reboot",
		},
		"root": {
			events:   []logind.Event{asked(":1.11", "poweroff"), powersOff},
			want:     reason.Evidence{What: "poweroff", Who: "root", Detail: "poweroff"},
			wantText: "root ran poweroff",
		},
		"root, and others who ask as well, for a password or none": {
			events: []logind.Event{asked(":1.14", "poweroff"), asked(":1.10", "poweroff"),
				asked(":1.11", "poweroff"), quiet(asked(":1.10", "poweroff")), powersOff,
				granted(":1.11", 1)},
			want:     reason.Evidence{What: "poweroff", Who: "root", Detail: "poweroff"},
			wantText: "root ran poweroff",
		},
		"root who wants no answer, and others who ask as well": {
			events: []logind.Event{asked(":1.14", "poweroff"), quiet(asked(":1.11", "poweroff")),
				quiet(asked(":1.10", "poweroff")), powersOff},
			want:     reason.Evidence{What: "poweroff", Who: "root", Detail: "poweroff"},
			wantText: "root ran poweroff",
		},
		"somebody who wants no answer": {
			events: []logind.Event{quiet(asked(":1.10", "reboot")), begins},
			want: reason.Evidence{What: "reboot", Who: "the user with UID 1001",
				Detail: "reboot"}, wantText: "the user with UID 1001 ran reboot",
		},
		"what was refused does not count": {
			events: []logind.Event{asked(":1.10", "reboot"),
				{Kind: logind.Refused, Sender: ":1.10", Call: 1}, asked(":1.7", "halt"), begins,
				granted(":1.7", 1)},
			want:     reason.Evidence{What: "halt", Who: "alice", Detail: "sudo halt"},
			wantText: "alice ran sudo halt",
		},
		"what is not answered does not count: the button was pressed": {
			events: []logind.Event{asked(":1.10", "poweroff"), powersOff}, pressed: true,
			want:     reason.Evidence{What: "power-button", Detail: "poweroff"},
			wantText: "the power button was pressed",
		},
		"what begins is another thing than one of them asked for": {
			events: []logind.Event{asked(":1.11", "reboot"), asked(":1.7", "halt"),
				{Kind: logind.Begins, What: "halt"}},
			want:     reason.Evidence{What: "halt", Who: "alice", Detail: "sudo halt"},
			wantText: "alice ran sudo halt",
		},
		"of two who asked, neither": {
			events: []logind.Event{asked(":1.11", "poweroff"), asked(":1.9", "poweroff"),
				powersOff},
			want:     reason.Evidence{What: "poweroff", Detail: "poweroff"},
			wantText: "somebody unknown ran poweroff",
		},
		"a shutdown that is due": {
			events:   []logind.Event{scheduled(":1.11", 0), granted(":1.11", 2), powersOff},
			want:     reason.Evidence{What: "poweroff", Who: "root", Detail: "poweroff"},
			wantText: "root ran poweroff",
		},
		"one that is not due": {
			events:   []logind.Event{scheduled(":1.11", time.Hour), granted(":1.11", 2), powersOff},
			want:     reason.Evidence{What: "poweroff", Detail: "poweroff"},
			wantText: "somebody unknown ran poweroff",
		},
		"one that was due long ago, and did not come": {
			events: []logind.Event{scheduled(":1.11", -time.Hour), granted(":1.11", 2),
				powersOff},
			want:     reason.Evidence{What: "poweroff", Detail: "poweroff"},
			wantText: "somebody unknown ran poweroff",
		},
		"one that nobody has granted": {
			events:   []logind.Event{scheduled(":1.10", 0), powersOff},
			want:     reason.Evidence{What: "poweroff", Detail: "poweroff"},
			wantText: "somebody unknown ran poweroff",
		},
		"one that was taken back": {
			events: []logind.Event{scheduled(":1.11", 0),
				{Kind: logind.Unscheduled, Sender: ":1.7", Call: 3}, granted(":1.7", 3), powersOff},
			want:     reason.Evidence{What: "poweroff", Detail: "poweroff"},
			wantText: "somebody unknown ran poweroff",
		},
		"one that somebody wanted to take back": {
			events: []logind.Event{scheduled(":1.11", 0),
				{Kind: logind.Unscheduled, Sender: ":1.7", Call: 3},
				{Kind: logind.Refused, Sender: ":1.7", Call: 3}, powersOff},
			want:     reason.Evidence{What: "poweroff", Who: "root", Detail: "poweroff"},
			wantText: "root ran poweroff",
		},
		"one that somebody wants to take back, whom polkit asks for a password": {
			events: []logind.Event{scheduled(":1.11", 0),
				{Kind: logind.Unscheduled, Sender: ":1.10", Call: 3}, powersOff},
			want:     reason.Evidence{What: "poweroff", Who: "root", Detail: "poweroff"},
			wantText: "root ran poweroff",
		},
		"the power button": {
			events: []logind.Event{powersOff}, pressed: true,
			want:     reason.Evidence{What: "power-button", Detail: "poweroff"},
			wantText: "the power button was pressed",
		},
		"nobody known, nothing known": {
			events:   []logind.Event{begins},
			want:     reason.Evidence{What: "shutdown", Detail: "shutdown"},
			wantText: "somebody unknown ran shutdown",
		},
		"nobody heard, but one process runs it": {
			events: []logind.Event{begins}, change: func(h *host) {
				h.running = []int{7}
				h.deaf = logind.ErrDeaf
			},
			want:     reason.Evidence{What: "halt", Who: "alice", Detail: "sudo halt"},
			wantText: "alice ran sudo halt",
		},
		"nobody heard, and one process runs another thing": {
			events: []logind.Event{powersOff}, change: func(h *host) { h.running = []int{7, 9} },
			want:     reason.Evidence{What: "poweroff", Detail: "poweroff"},
			wantText: "somebody unknown ran poweroff",
		},
		"nobody heard, and two people's processes run it": {
			events: []logind.Event{powersOff}, change: func(h *host) { h.running = []int{13, 11} },
			want:     reason.Evidence{What: "poweroff", Detail: "poweroff"},
			wantText: "somebody unknown ran poweroff",
		},
		"processes cannot be seen: her session": {
			events:   []logind.Event{asked(":1.7", "halt"), begins},
			change:   func(h *host) { h.hidden = true },
			want:     reason.Evidence{What: "halt", Who: "alice", Detail: "halt"},
			wantText: "alice ran halt",
		},
		"processes cannot be seen: a user": {
			events: []logind.Event{asked(":1.10", "reboot"), begins, granted(":1.10", 1)},
			change: func(h *host) { h.hidden = true },
			want: reason.Evidence{What: "reboot", Who: "the user with UID 1001",
				Detail: "reboot"},
			wantText: "the user with UID 1001 ran reboot",
		},
		"processes cannot be seen: root may be anybody": {
			events:   []logind.Event{asked(":1.11", "poweroff"), begins},
			change:   func(h *host) { h.hidden = true },
			want:     reason.Evidence{What: "poweroff", Detail: "poweroff"},
			wantText: "somebody unknown ran poweroff",
		},
		"the caller has left": {
			events:   []logind.Event{asked(":1.99", "poweroff"), begins, granted(":1.99", 1)},
			want:     reason.Evidence{What: "poweroff", Detail: "poweroff"},
			wantText: "somebody unknown ran poweroff",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, b := newHost(), &book{fails: 1}
			if tc.change != nil {
				tc.change(h)
			}
			_, press := watch(t, h, b)
			if tc.pressed {
				press <- struct{}{}
			}
			for _, e := range tc.events {
				h.events <- e
			}
			// It is announced twice.
			h.events <- begins
			eventually(t, "evidence is written, and the shutdown goes on",
				func() bool { return len(b.read()) > 0 && h.held() == 0 })
			got := b.read()[0]
			if got.When.IsZero() || got.BootID != "b1" {
				t.Errorf("it happened at %s in boot %q", got.When, got.BootID)
			}
			tc.want.When, tc.want.BootID = got.When, got.BootID
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("the evidence (-want +got):\n%s", diff)
			}
			says(t, got, tc.wantText)
		})
	}
}

// says compares what the pods of a node with that evidence say when it is deleted.
func says(t *testing.T, e reason.Evidence, want string) {
	t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1",
		Annotations: map[string]string{reason.EvidenceKey: marshal(t, e)}}}
	node.Status.NodeInfo.BootID = e.BootID
	r, ok := reason.Inferrer{Keys: reason.DefaultKeys()}.Infer(reason.Facts{
		Now: e.When, Remover: reason.RemoverOf("system:serviceaccount:kube-system:node-controller",
			nil),
		Pod: &corev1.Pod{Spec: corev1.PodSpec{NodeName: "n1"}}, Node: node,
	})
	if text := "This pod had to be terminated because " + want + " on the node"; !ok ||
		string(r.Text) != text {
		t.Errorf("a pod says %q, want %q", r.Text, text)
	}
}
