package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/agent"
	"github.com/epitaph-k8s/epitaph/agent/configfs"
	"github.com/epitaph-k8s/epitaph/agent/fault"
	"github.com/epitaph-k8s/epitaph/agent/listeners"
	"github.com/epitaph-k8s/epitaph/agent/route"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/netconsolefs"
)

const gateway = "02:00:00:00:00:01"

// A world is an agent's environment: a model of the kernel's configfs, and answers that a test
// changes.
type world struct {
	mu        sync.Mutex
	kernel    *netconsolefs.Kernel
	listeners []listeners.Listener
	unread    error
	hop       map[string]string // by listener; "" is one that does not answer
	noRoute   map[string]bool
	own       []netip.Addr
	port      error
	unready   error
	registry  *prometheus.Registry
	levels    []int
	proc      string
}

// setProc writes a file of /proc.
func (w *world) setProc(t *testing.T, name, content string) {
	t.Helper()
	path := filepath.Join(w.proc, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755),
		os.WriteFile(path, []byte(content), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func newWorld(version string, listening ...string) *world {
	w := &world{
		kernel: netconsolefs.New(netconsolefs.Versions[version]), hop: map[string]string{},
		noRoute: map[string]bool{}, registry: prometheus.NewRegistry(),
	}
	w.listen(listening...)
	return w
}

func (w *world) listen(addresses ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listeners = nil
	for _, a := range addresses {
		w.listeners = append(w.listeners, listeners.Listener{Address: netip.MustParseAddrPort(a),
			Node: "on-" + a, Ready: true})
	}
}

// Listeners implements agent.Source.
func (w *world) Listeners(context.Context) ([]listeners.Listener, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.listeners), w.unread
}

func (w *world) way(dst netip.Addr) (route.Way, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	hop, known := w.hop[dst.String()]
	switch {
	case w.noRoute[dst.String()]:
		return route.Way{}, fault.New(fault.NoRoute, syscall.ENETUNREACH,
			"find the route to "+dst.String(), "give it one")
	case !known:
		hop = gateway
	case hop == "":
		return route.Way{}, fault.New(fault.NoNeighbour, nil,
			dst.String()+" has not answered", "look at ip neigh")
	}
	return route.Way{Device: "eth0", Source: netip.MustParseAddr("10.0.0.2"), NextHop: hop}, nil
}

func (w *world) agent(t *testing.T, change ...func(*agent.Options)) *agent.Agent {
	t.Helper()
	c := config.Default().Agent
	if w.proc == "" {
		w.proc = t.TempDir()
		w.setProc(t, "sys/kernel/panic", "10\n")
		w.setProc(t, "sys/kernel/printk", "7\t4\t1\t7\n")
	}
	c.ProcSys = filepath.Join(w.proc, "sys")
	o := agent.Options{
		Config: c, Node: "n1", BootID: "b1", Kernel: "6.12.1", Source: w,
		Files: func() (configfs.Files, error) { return w.kernel, w.unready },
		Way:   w.way,
		Own:   func() ([]netip.Addr, error) { return w.own, nil },
		Hold:  func(context.Context, int) (io.Closer, error) { return io.NopCloser(nil), w.port },
		ConsoleLevel: func(level int) error {
			w.levels = append(w.levels, level)
			return nil
		},
		Proc: w.proc, Clock: clock.RealClock{}, Registerer: w.registry, Log: logr.Discard(),
	}
	for _, f := range change {
		f(&o)
	}
	a, err := agent.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// restarted returns an agent that knows nothing of what another did.
func (w *world) restarted(t *testing.T) *agent.Agent {
	t.Helper()
	w.registry = prometheus.NewRegistry()
	return w.agent(t)
}

func codes(r agent.Result) (all []fault.Code) {
	for _, f := range r.Faults {
		all = append(all, f.Code)
	}
	return all
}

func (w *world) speaks(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, w.kernel.Speaking()); diff != "" {
		t.Errorf("the kernel speaks to (-want +got):\n%s", diff)
	}
}

const (
	nine, ten, eleven = "10.0.0.9:6666", "10.0.0.10:6666", "10.0.0.11:6666"
	by                = " by " + gateway
)

func TestPass(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		listening  []string
		before     func(w *world)
		happen     func(w *world)
		restart    bool
		want       []string
		wantFaults []fault.Code
	}{
		"two listeners": {listening: []string{nine, ten},
			want: []string{ten + by, nine + by}},
		"a listener moved": {listening: []string{nine},
			happen: func(w *world) { w.listen(ten) }, want: []string{ten + by}},
		"another agent's work": {listening: []string{nine}, restart: true,
			want: []string{nine + by}},
		"the gateway's address changed": {
			listening: []string{nine},
			happen:    func(w *world) { w.hop["10.0.0.9"] = "02:00:00:00:00:0a" },
			want:      []string{nine + " by 02:00:00:00:00:0a"},
		},
		"the gateway does not answer now": {
			listening: []string{nine}, happen: func(w *world) { w.hop["10.0.0.9"] = "" },
			want: []string{nine + by}, wantFaults: []fault.Code{fault.NoNeighbour},
		},
		"one gateway does not answer, the other changed": {
			listening: []string{nine, ten}, happen: func(w *world) {
				w.hop["10.0.0.9"],
					w.hop["10.0.0.10"] = "", "02:00:00:00:00:0a"
			},
			want:       []string{ten + " by 02:00:00:00:00:0a", nine + by},
			wantFaults: []fault.Code{fault.NoNeighbour},
		},
		"no route to one of three": {
			listening: []string{nine, ten, eleven},
			before:    func(w *world) { w.noRoute["10.0.0.10"] = true },
			want:      []string{eleven + by, nine + by}, wantFaults: []fault.Code{fault.NoRoute},
		},
		"no route any more": {
			listening: []string{nine}, happen: func(w *world) { w.noRoute["10.0.0.9"] = true },
			want: []string{nine + by}, wantFaults: []fault.Code{fault.NoRoute},
		},
		"the service is empty": {
			listening: []string{nine}, happen: func(w *world) { w.listen() },
			want: []string{nine + by}, wantFaults: []fault.Code{fault.NoListener},
		},
		"nobody tells who listens, and the gateway changed": {
			listening: []string{nine}, happen: func(w *world) {
				w.unread, w.hop["10.0.0.9"] = errors.New("timeout"), "02:00:00:00:00:0a"
				w.listeners = nil
			},
			want:       []string{nine + " by 02:00:00:00:00:0a"},
			wantFaults: []fault.Code{fault.ListenersUnread},
		},
		"nobody tells a new agent who listens": {
			listening: []string{nine, ten},
			happen: func(w *world) {
				w.unread = errors.New("timeout")
				w.listeners = nil
				w.hop["10.0.0.10"] = ""
			},
			restart: true, want: []string{ten + by, nine + by},
			wantFaults: []fault.Code{fault.ListenersUnread, fault.NoNeighbour},
		},
		"never itself": {
			listening: []string{nine, ten},
			before:    func(w *world) { w.own = []netip.Addr{netip.MustParseAddr("10.0.0.9")} },
			want:      []string{ten + by},
		},
		"itself alone": {
			listening:  []string{nine},
			before:     func(w *world) { w.own = []netip.Addr{netip.MustParseAddr("10.0.0.9")} },
			wantFaults: []fault.Code{fault.NoListener},
		},
		"the device was away": {
			listening: []string{nine}, happen: func(w *world) {
				w.kernel.Unplug("eth0")
				w.kernel.Device("eth0", nil)
			}, want: []string{nine + by},
		},
		"the device is gone": {
			listening: []string{nine}, happen: func(w *world) { w.kernel.Unplug("eth0") },
			wantFaults: []fault.Code{fault.UnsuitableDevice},
		},
		"foreign targets": {
			listening: []string{nine}, before: func(w *world) {
				_ = w.kernel.Mkdir("theirs")
				_ = w.kernel.Write("theirs/enabled", "1")
			},
			want: []string{"0.0.0.0:6666 by ff:ff:ff:ff:ff:ff", nine + by},
		},
		"somebody has the port": {
			listening: []string{nine}, before: func(w *world) { w.port = syscall.EADDRINUSE },
			want: []string{nine + by}, wantFaults: []fault.Code{fault.SourcePortTaken},
		},
		"no netconsole": {
			listening: []string{nine},
			before: func(w *world) {
				w.unready = fault.New(fault.NoModule, nil, "no module", "load it")
			},
			wantFaults: []fault.Code{fault.NoModule},
		},
	}
	for name, tc := range tests {
		for version := range netconsolefs.Versions {
			t.Run(name+" "+version, func(t *testing.T) {
				t.Parallel()
				w := newWorld(version, tc.listening...)
				if tc.before != nil {
					tc.before(w)
				}
				a := w.agent(t)
				r := a.Pass(t.Context())
				if tc.happen != nil {
					if len(r.Faults) > 0 {
						t.Fatalf("before anything happens: %v", r.Faults)
					}
					tc.happen(w)
				}
				if tc.restart {
					a = w.restarted(t)
				}
				r = a.Pass(t.Context())
				w.speaks(t, tc.want...)
				if diff := cmp.Diff(tc.wantFaults, codes(r)); diff != "" {
					t.Errorf("faults (-want +got):\n%s", diff)
				}
				if said := w.kernel.Said(); len(said) > 0 {
					t.Errorf("the kernel says %q: each line goes to all listeners", said)
				}
				for _, c := range fault.Codes() {
					want := 0.0
					if slices.Contains(tc.wantFaults, c) {
						want = 1
					}
					if got := w.metric(t, agent.MetricFaults, "fault", string(c)); got != want {
						t.Errorf("the metric of %s is %v, want %v", c, got, want)
					}
				}
			})
		}
	}
}

// metric reads one series.
func (w *world) metric(t *testing.T, name, label, value string) float64 {
	t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == value) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("there is no metric %s of %s", name, value)
	return 0
}

// While a target is replaced the kernel never stops sending.
func TestNoGap(t *testing.T) {
	t.Parallel()
	w := newWorld("6.14", nine)
	speaking := func(configfs.Files) {
		if len(w.kernel.Speaking()) == 0 {
			t.Error("there is a moment at which the kernel speaks to nobody")
		}
	}
	var watched func(configfs.Files)
	a := w.agent(t, func(o *agent.Options) {
		o.Files = func() (configfs.Files, error) {
			return observed{w.kernel, func() { watched(w.kernel) }}, nil
		}
	})
	watched = func(configfs.Files) {}
	a.Pass(t.Context())
	watched = speaking
	w.hop["10.0.0.9"] = "02:00:00:00:00:0a"
	a.Pass(t.Context())
	w.listen(ten)
	a.Pass(t.Context())
	w.speaks(t, ten+by)
}

// observed files are inspected after each change.
type observed struct {
	configfs.Files
	after func()
}

func (o observed) Write(file, value string) error {
	defer o.after()
	return o.Files.Write(file, value)
}

func (o observed) Rmdir(dir string) error {
	defer o.after()
	return o.Files.Rmdir(dir)
}

func TestTenListeners(t *testing.T) {
	t.Parallel()
	var many []string
	for n := range 10 {
		many = append(many, fmt.Sprintf("10.0.1.%d:6666", n))
	}
	w := newWorld("6.14", many...)
	r := w.agent(t, func(o *agent.Options) { o.Config.MaxListeners = 3 }).Pass(t.Context())
	if len(r.Faults) > 0 || len(r.SpeaksTo) != 3 || len(w.kernel.Names()) != 3 {
		t.Errorf("it speaks to %v, faults %v", r.SpeaksTo, r.Faults)
	}
	if got := w.metric(t, agent.MetricTargets, "", ""); got != 3 {
		t.Errorf("the metric says %v", got)
	}
	if got := testutil.ToFloat64(counter(t, w)); got != 3 {
		t.Errorf("%v targets were made", got)
	}
}

func counter(t *testing.T, w *world) prometheus.Collector {
	t.Helper()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "x"})
	c.Add(w.metric(t, agent.MetricChanges, "change", "made"))
	return c
}

// Without an API server nobody could check a secret, so the kernel sends none.
func TestUserdata(t *testing.T) {
	t.Parallel()
	w := newWorld("6.9", nine)
	w.agent(t).Pass(t.Context())
	name := w.kernel.Names()[0]
	for key, want := range map[string]string{"epitaph-node": "n1", "epitaph-boot": "b1"} {
		if got, _, _ := w.kernel.Value(name, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if _, _, ok := w.kernel.Value(name, "epitaph-token"); ok {
		t.Error("the kernel sends a secret that nobody knows")
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	for version := range netconsolefs.Versions {
		w := newWorld(version, nine, ten)
		_ = w.kernel.Mkdir("theirs")
		w.agent(t).Pass(t.Context())
		if err := w.restarted(t).Remove(t.Context()); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"theirs"}, w.kernel.Names()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", version, diff)
		}
	}
	for _, code := range []fault.Code{fault.NoModule, fault.NoConfigfs} {
		w := newWorld("6.1")
		w.unready = fault.New(code, nil, "nothing there", "")
		if err := w.agent(t).Remove(t.Context()); err != nil {
			t.Errorf("%s: Remove = %v", code, err)
		}
	}
	w := newWorld("6.1")
	w.unready = fault.New(fault.NoPermission, nil, "no", "")
	if err := w.agent(t).Remove(t.Context()); err == nil {
		t.Error("targets that cannot be seen pass for removed")
	}
}

// Unmounting configfs hides the targets but does not remove them. Unloading the module does.
func TestTargetsThatAreOnlyNotSeen(t *testing.T) {
	t.Parallel()
	for code, want := range map[fault.Code]int{fault.NoConfigfs: 1, fault.NoPermission: 1,
		fault.NoModule: 0} {
		w := newWorld("6.1", nine)
		a := w.agent(t)
		if r := a.Pass(t.Context()); len(r.SpeaksTo) != 1 {
			t.Fatalf("it speaks to %v", r.SpeaksTo)
		}
		w.unready = fault.New(code, nil, "nothing there", "")
		for range 2 {
			if r := a.Pass(t.Context()); len(r.SpeaksTo) != want {
				t.Errorf("%s: it speaks to %v, want %d", code, r.SpeaksTo, want)
			}
		}
	}
}

func TestRehearse(t *testing.T) {
	t.Parallel()
	w := newWorld("6.14", nine)
	a := w.agent(t)
	a.Pass(t.Context())
	w.listen(ten, nine)
	w.noRoute["10.0.0.77"] = true
	before := w.kernel.Names()
	var out bytes.Buffer
	a.Rehearse(t.Context(), &out)
	if !slices.Equal(before, w.kernel.Names()) || len(w.kernel.Said()) > 0 {
		t.Error("the rehearsal changed something")
	}
	for _, want := range []string{
		"# speaks already: 10.0.0.9:6666 from 10.0.0.2:665 by eth0, 02:00:00:00:00:01\n",
		"mkdir /sys/kernel/config/netconsole/epitaph-10.0.0.10-6666-",
		"/userdata/epitaph-token/value", "echo SECRET", "/enabled\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it prints\n%s\nwithout %q", out.String(), want)
		}
	}
	w.listen(ten)
	w.noRoute["10.0.0.10"] = true
	out.Reset()
	a.Rehearse(t.Context(), &out)
	if want :=
		"# NoRoute: find the route to 10.0.0.10: network is unreachable: give it one\n"; out.String() != want {
		t.Errorf("it prints %q, want %q", out.String(), want)
	}
}

func TestConsoleLevel(t *testing.T) {
	t.Parallel()
	w := newWorld("6.14", nine)
	w.agent(t).Pass(t.Context())
	if len(w.levels) > 0 {
		t.Error("the level was set although nobody asked")
	}
	w.registry = prometheus.NewRegistry()
	r := w.agent(t, func(o *agent.Options) {
		o.Config.ConsoleLogLevel = 4
		o.ConsoleLevel = func(int) error { return syscall.EPERM }
	}).Pass(t.Context())
	const want = "set the console's log level to 4: operation not permitted: give the agent CAP_SYSLOG, or set kernel.printk on the host, and agent.consoleLogLevel to 0"
	if len(r.Faults) != 1 || r.Faults[0].Error() != want {
		t.Errorf("faults %v", r.Faults)
	}
}

// Faults are retried with growing waits, a change at once, and a fault is logged when it comes and
// when it goes.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("6.14", nine)
		w.hop["10.0.0.9"] = ""
		var logged []string
		log := funcr.New(func(_, args string) { logged = append(logged, args) }, funcr.Options{})
		var passes []time.Duration
		begin := time.Now()
		a := w.agent(t, func(o *agent.Options) {
			o.Log = log
			o.Files = func() (configfs.Files, error) {
				passes = append(passes, time.Since(begin))
				return w.kernel, nil
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		changed := make(chan struct{}, 1)
		ended := make(chan error)
		go func() { ended <- a.Run(ctx, changed) }()
		time.Sleep(70 * time.Second)
		w.mu.Lock()
		w.hop["10.0.0.9"] = gateway
		w.mu.Unlock()
		changed <- struct{}{}
		time.Sleep(40 * time.Second)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		want := []time.Duration{0, 1 * time.Second, 3 * time.Second, 7 * time.Second,
			15 * time.Second, 31 * time.Second, 61 * time.Second, 70500 * time.Millisecond,
			100500 * time.Millisecond}
		if diff := cmp.Diff(want, passes); diff != "" {
			t.Errorf("passes (-want +got):\n%s", diff)
		}
		wantLog := []string{
			`"level"=0 "msg"="fault" "code"="NoNeighbour" "text"="10.0.0.9 has not answered: look at ip neigh"`,
			`"level"=0 "msg"="netconsole" "speaksTo"=[] "faults"=1`,
			`"level"=0 "msg"="netconsole" "speaksTo"=["10.0.0.9:6666 from 10.0.0.2:665 by eth0, 02:00:00:00:00:01"] "faults"=0`,
		}
		if diff := cmp.Diff(wantLog, logged); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
		// The agent has ended; the kernel goes on sending.
		w.speaks(t, nine+by)
	})
}
