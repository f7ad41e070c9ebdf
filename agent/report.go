package agent

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/agent/fault"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

const (
	// refresh is how often what was written is checked: a Node may be created anew, and annotations
	// be removed.
	refresh = 10 * time.Minute
	// writeTimeout bounds one write to the Node.
	writeTimeout = 10 * time.Second
)

// A written is what the Node was last seen with, and when.
type written struct {
	value any
	at    time.Time
}

// write makes one annotation of the Node as it should be. If it is known to be there, it costs no
// request.
func (a *Agent) write(ctx context.Context, key string, value any,
	do func(context.Context, *corev1.Node) error) error {
	now := a.Clock.Now()
	if w, ok := a.written[key]; ok && reflect.DeepEqual(w.value, value) && now.Sub(w.at) < refresh {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	node := &corev1.Node{}
	err := a.Cluster.Live.Get(ctx, types.NamespacedName{Name: a.Node}, node)
	if err == nil {
		err = do(ctx, node)
	}
	if err != nil {
		return fault.New(fault.NodeUnwritten, err, "tell the API of node "+a.Node,
			"the agent needs to get nodes and to patch nodes/status; its node's name is given with --node")
	}
	a.written[key] = written{value, now}
	return nil
}

// report writes onto the Node whether its kernel would be heard.
func (a *Agent) report(ctx context.Context, r Result) error {
	if a.Cluster == nil {
		return nil
	}
	report := termination.Report{BootID: a.BootID, Kernel: a.Kernel}
	for _, t := range r.SpeaksTo {
		report.SpeaksTo = append(report.SpeaksTo, t.Listener.String())
	}
	for _, f := range r.Faults {
		report.Troubles = append(report.Troubles,
			termination.Trouble{Code: string(f.Code), Text: f.Error()})
	}
	report.LastBoot = a.lastBoot()
	if a.Cloud != nil {
		report.Cloud = a.Cloud()
	}
	return a.write(ctx, reason.AgentKey, report,
		func(ctx context.Context, node *corev1.Node) error {
			return a.Cluster.Terminator.Report(ctx, node, &report)
		})
}

// tell logs what has changed since the last pass.
func (a *Agent) tell(r Result) {
	now := r.String()
	if now == a.last {
		return
	}
	a.last = now
	for _, f := range r.Faults {
		a.Log.Info("fault", "code", f.Code, "text", f.Error())
	}
	a.Log.Info("netconsole", "speaksTo", r.targets(), "faults", len(r.Faults))
}

func (r Result) targets() []string {
	all := make([]string, 0, len(r.SpeaksTo))
	for _, t := range r.SpeaksTo {
		all = append(all, t.String())
	}
	return all
}

// String is for people who ran the agent once.
func (r Result) String() string {
	var b strings.Builder
	for _, t := range r.targets() {
		fmt.Fprintf(&b, "speaks to %s\n", t)
	}
	for _, f := range r.Faults {
		fmt.Fprintf(&b, "%s: %s\n", f.Code, f.Error())
	}
	return b.String()
}

// setConsoleLevel sets the level of the console, if the configuration asks for one.
func (a *Agent) setConsoleLevel() error {
	if a.Config.ConsoleLogLevel == 0 {
		return nil
	}
	if err := a.ConsoleLevel(a.Config.ConsoleLogLevel); err != nil {
		return fault.New(fault.ConsoleLevelUnset, err,
			fmt.Sprintf("set the console's log level to %d", a.Config.ConsoleLogLevel),
			"give the agent CAP_SYSLOG, or set kernel.printk on the host, and agent.consoleLogLevel to 0")
	}
	return nil
}
