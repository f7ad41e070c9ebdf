package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	"golang.org/x/sync/errgroup"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/netconsole"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const (
	// tableWindow, tableRenewal and tableReboot are all that the table shortens: the defaults are
	// 30 s, 40 s and 10 minutes. As the defaults, they are longer than what they are to outlast,
	// here a restart of 15 s and a reboot of 35 s, which is itself longer than a Lease goes
	// unrenewed.
	tableWindow  = 12 * time.Second
	tableRenewal = 25 * time.Second
	tableReboot  = 90 * time.Second
	longRestart  = 15 * time.Second
	slowReboot   = 35 * time.Second
	// awayRenewal is less than apiAway: a Lease that nobody can renew must not count.
	awayRenewal = 8 * time.Second
	apiAway     = 20 * time.Second
	// tablePatience bounds the wait for the end of one row.
	tablePatience = 4 * time.Minute
	tokenOfBefore = "dGhlIHRva2VuIG9mIGFuIGVhcmxpZXIgYm9vdA"
)

// A patient is a node of the table: its machine, its kernel and its agent.
type patient struct {
	*cluster
	sandbox.Node
	namespace, row string
	pod            *corev1.Pod
	uid            types.UID
	signs, dies    bool
	// secret is what its kernel signs with; nothing where it does not.
	secret string
	booted time.Time
	seq    int
}

// A tableRow is what befalls a node whose panic is heard.
type tableRow struct {
	name string
	// mute has the kernel say nothing before.
	mute bool
	// prepare makes the node what the row is about; its agent has announced its token, if it signs.
	prepare func(context.Context, *patient) error
	// lives and dies are what the node goes through from when somebody forges its panic, or from
	// when it panics.
	lives, dies func(context.Context, *patient) error
}

func tableRows() []tableRow {
	restart := func(lasting time.Duration) tableRow {
		return tableRow{
			name:  fmt.Sprintf("the kubelet restarts for %s", lasting),
			lives: func(ctx context.Context, p *patient) error { return p.restarts(ctx, lasting) },
			dies: func(ctx context.Context, p *patient) error {
				return inOrder(ctx, p.stops, pause(lasting), p.panics)
			},
		}
	}
	dies := func(ctx context.Context, p *patient) error { return inOrder(ctx, p.stops, p.panics) }
	lives := func(ctx context.Context, p *patient) error { return p.restarts(ctx, longRestart) }
	return []tableRow{
		restart(time.Second),
		restart(5 * time.Second),
		restart(longRestart),
		{
			name: "the node reboots in order",
			lives: func(ctx context.Context, p *patient) error {
				return inOrder(ctx, p.goesDown, p.stops, p.panics, pause(slowReboot), p.boots)
			},
			dies: func(ctx context.Context, p *patient) error {
				return inOrder(ctx, p.goesDown, p.stops, p.panics)
			},
		},
		{
			name: "the node reboots in order, as its kubelet says",
			lives: func(ctx context.Context, p *patient) error {
				return inOrder(ctx, p.stops, p.kubeletShutsDown, p.panics, pause(slowReboot),
					p.boots)
			},
			dies: func(ctx context.Context, p *patient) error {
				return inOrder(ctx, p.stops, p.kubeletShutsDown, p.panics)
			},
		},
		{
			name: "partition",
			lives: func(ctx context.Context, p *patient) error {
				// It stays cut off until its renewals have refuted what was forged.
				return inOrder(ctx, p.panicsAliveIfSigned, p.isCutOff, p.isForged,
					pause(tableRenewal+3*time.Second), p.isRefuted, p.isReconnected)
			},
			dies: func(ctx context.Context, p *patient) error {
				return inOrder(ctx, p.isCutOff, pause(3*time.Second), p.stops, p.panics)
			},
		},
		{name: "the agent is off", prepare: func(ctx context.Context,
			p *patient) error {
			return p.losesItsAgent(ctx)
		}, lives: lives, dies: dies},
		{name: "the kernel never spoke", mute: true, lives: lives, dies: dies},
		{
			name:    "a panic of an earlier boot is replayed",
			prepare: func(ctx context.Context, p *patient) error { return p.rebooted(ctx) },
			lives: func(ctx context.Context, p *patient) error {
				return inOrder(ctx, p.stops, p.isReplayed, pause(longRestart), p.resumes)
			},
			dies: func(ctx context.Context, p *patient) error {
				return inOrder(ctx, p.stops, p.isReplayed, pause(time.Second), p.panics)
			},
		},
	}
}

// Nothing that lives dies of a panic that somebody forges, and everything that is dead leaves:
// whether it signs or not, whatever befalls it meanwhile.
func TestOnlyTheDeadAreBuried(t *testing.T) {
	t.Parallel()
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(k *config.Config) {
			undisturbed(k)
			k.Netconsole.ProofOfDeath.Window = metav1.Duration{Duration: tableWindow}
			k.Netconsole.ProofOfDeath.MissedRenewal = metav1.Duration{Duration: tableRenewal}
			k.Netconsole.ProofOfDeath.MaxReboot = metav1.Duration{Duration: tableReboot}
			k.Netconsole.Brake.Nodes = 1000
		}}})
	var patients []*patient
	rows := map[*patient]tableRow{}
	for _, row := range tableRows() {
		for n := range 4 {
			p := c.admit(t, row.name, n&1 != 0, n&2 != 0)
			patients, rows[p] = append(patients, p), row
		}
	}
	c.eachOf(t, patients, func(ctx context.Context,
		p *patient) error {
		return p.prepared(ctx, rows[p])
	})
	time.Sleep(learned)
	c.eachOf(t, patients, func(ctx context.Context, p *patient) error {
		if p.dies {
			return errors.Join(rows[p].dies(ctx, p), p.isBuried(ctx))
		}
		return errors.Join(rows[p].lives(ctx, p), p.isSpared(ctx, rows[p]))
	})
	c.wantOnlyTheDeadBuried(t, patients)
}

// The API server is away for longer than a Lease must go unrenewed, while nodes panic, and others
// are only out of reach.
func TestOnlyTheDeadAreBuriedWhenTheAPIServerWasAway(t *testing.T) {
	t.Parallel()
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(k *config.Config) {
			undisturbed(k)
			k.Netconsole.ProofOfDeath.Window = metav1.Duration{Duration: apiAway + tableWindow}
			k.Netconsole.ProofOfDeath.MissedRenewal = metav1.Duration{Duration: awayRenewal}
			k.Netconsole.ProofOfDeath.MaxReboot = metav1.Duration{Duration: tableReboot}
		}}})
	row := tableRow{name: "the API server is away"}
	var patients []*patient
	for n := range 4 {
		patients = append(patients, c.admit(t, row.name, n&1 != 0, n&2 != 0))
	}
	c.eachOf(t, patients, func(ctx context.Context,
		p *patient) error {
		return p.prepared(ctx, row)
	})
	time.Sleep(learned)
	c.eachOf(t, patients, func(ctx context.Context, p *patient) error {
		if p.dies {
			return p.stops(ctx)
		}
		return inOrder(ctx, p.panicsAliveIfSigned, p.isCutOff)
	})
	resume := c.freeze(t, "kube-apiserver")
	c.eachOf(t, patients, func(ctx context.Context, p *patient) error {
		if p.dies {
			return p.panics(ctx)
		}
		return p.isForged(ctx)
	})
	time.Sleep(apiAway)
	resume()
	c.eachOf(t, patients, func(ctx context.Context, p *patient) error {
		if p.dies {
			return p.isBuried(ctx)
		}
		return errors.Join(p.isReconnected(ctx), p.isSpared(ctx, row))
	})
	c.wantOnlyTheDeadBuried(t, patients)
}

// wantOnlyTheDeadBuried looks at all nodes again, now that every panic is judged.
func (c *cluster) wantOnlyTheDeadBuried(t *testing.T, patients []*patient) {
	t.Helper()
	dead := 0
	for _, p := range patients {
		if p.dies {
			dead++
			continue
		}
		if err := p.isUntouched(t.Context()); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
	if n := c.metricOf(t, netconsole.MetricPanics, "verdict", "dead"); n != float64(dead) {
		t.Errorf("%.0f nodes were declared dead, want the %d that are", n, dead)
	}
}

// admit makes room for a node and its pod.
func (c *cluster) admit(t *testing.T, row string, signs, dies bool) *patient {
	t.Helper()
	return &patient{cluster: c, row: row, signs: signs, dies: dies, namespace: c.namespace(t),
		seq: 100}
}

// isMade makes the node and its pod.
func (p *patient) isMade(ctx context.Context) (err error) {
	if p.Node, err = p.AddNode(ctx, sandbox.NodeSpec{Name: unique("n")}); err != nil {
		return err
	}
	p.booted = time.Now()
	node, err := p.client.CoreV1().Nodes().Get(ctx, p.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	p.uid = node.UID
	pods := p.client.CoreV1().Pods(p.namespace)
	if _, err := pods.Create(ctx, podSpec(p.namespace, p.Name, "a"),
		metav1.CreateOptions{}); err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, 10*poll, tablePatience, true,
		func(ctx context.Context) (bool, error) {
			p.pod, err = pods.Get(ctx, "a", metav1.GetOptions{})
			return err == nil && p.pod.Status.Phase == corev1.PodRunning, nil
		})
}

func (p *patient) String() string {
	kernel, end := "unsigned", "lives"
	if p.signs {
		kernel = "signed"
	}
	if p.dies {
		end = "is dead"
	}
	return fmt.Sprintf("%s, %s, %s (node %s)", p.row, kernel, end, p.Name)
}

// eachOf does something with all nodes at the same time.
func (c *cluster) eachOf(t *testing.T, patients []*patient,
	do func(context.Context, *patient) error) {
	t.Helper()
	var group errgroup.Group
	failed := make([]error, len(patients))
	for n, p := range patients {
		group.Go(func() error {
			failed[n] = do(t.Context(), p)
			return nil
		})
	}
	_ = group.Wait()
	for n, err := range failed {
		if err != nil {
			t.Errorf("%s: %v", patients[n], err)
		}
	}
}

// inOrder does one thing after another.
func inOrder(ctx context.Context, steps ...func(context.Context) error) error {
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func pause(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d):
			return nil
		}
	}
}

// prepared makes the node what the row is about. The kernel speaks, unless it is one that never
// did.
func (p *patient) prepared(ctx context.Context, row tableRow) error {
	if err := p.isMade(ctx); err != nil {
		return err
	}
	if p.signs {
		p.secret = tokenOfBoot
		if err := p.SignWith(ctx, p.Node, p.secret); err != nil {
			return err
		}
	}
	if row.prepare != nil {
		if err := row.prepare(ctx, p); err != nil {
			return err
		}
	}
	if err := pause(learned)(ctx); err != nil || row.mute {
		return err
	}
	return p.speaks(ctx, 6, "eth0: link is up", p.secret)
}

// speaks is a line of the kernel, with the number and the time that it has in this boot.
func (p *patient) speaks(ctx context.Context, level int, line, secret string) error {
	p.seq++
	return p.sends(ctx, fmt.Appendf(nil, "%d,%d,%d,-;%s\n", level, p.seq,
		time.Since(p.booted).Microseconds(), line), secret)
}

func (p *patient) sends(ctx context.Context, datagram []byte, secret string) error {
	if secret != "" {
		datagram = sandbox.Signed(datagram, secret)
	}
	dialer := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(p.Address)}}
	conn, err := dialer.DialContext(ctx, "udp", p.Epitaph.Config.Netconsole.Address)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write(datagram)
	return err
}

const ownPanic = "in the table"

func (p *patient) panics(ctx context.Context) error {
	return p.speaks(ctx, 0, "Kernel panic - not syncing: "+ownPanic, p.secret)
}

// isForged has somebody at the node's address say that it panics, who does not have its token.
func (p *patient) isForged(ctx context.Context) error {
	return p.speaks(ctx, 0, "Kernel panic - not syncing: forged", "")
}

// isReplayed has somebody repeat what the kernel said when it panicked in an earlier boot.
func (p *patient) isReplayed(ctx context.Context) error {
	secret := ""
	if p.signs {
		secret = tokenOfBefore
	}
	return p.sends(ctx, []byte("0,4000,900000000,-;Kernel panic - not syncing: replayed\n"), secret)
}

// panicsAliveIfSigned sends the one panic that can be signed and of a node that lives: user space
// goes on after it (reboot=force).
func (p *patient) panicsAliveIfSigned(ctx context.Context) error {
	if p.secret == "" {
		return nil
	}
	if err := p.panics(ctx); err != nil {
		return err
	}
	return p.told(ctx, netconsole.EventPanicDoubted)
}

// restarts is a restart of the kubelet, and the panic at the worst moment.
func (p *patient) restarts(ctx context.Context, lasting time.Duration) error {
	return inOrder(ctx, p.panicsAliveIfSigned, p.stops, p.isForged, pause(lasting), p.resumes)
}

func (p *patient) isRefuted(ctx context.Context) error {
	return p.told(ctx, netconsole.EventPanicRefused)
}
func (p *patient) stops(ctx context.Context) error     { return p.StopKubelet(ctx, p.Name) }
func (p *patient) resumes(ctx context.Context) error   { return p.ResumeKubelet(ctx, p.Name) }
func (p *patient) isCutOff(context.Context) error      { return p.CutOff(p.Name) }
func (p *patient) isReconnected(context.Context) error { return p.Reconnect(p.Name) }

// boots brings the node back under another boot ID.
func (p *patient) boots(ctx context.Context) error {
	if err := p.StartKubelet(ctx, p.Name); err != nil {
		return err
	}
	for _, n := range p.Nodes() {
		if n.Name == p.Name {
			p.Node = n
		}
	}
	p.booted, p.seq = time.Now(), 0
	return nil
}

// goesDown is what its agent says when somebody reboots the node.
func (p *patient) goesDown(ctx context.Context) error {
	evidence, err := json.Marshal(
		[]reason.Evidence{{What: reason.EvidenceReboot, Who: "bob", When: time.Now(),
			BootID: p.BootID}})
	if err != nil {
		return err
	}
	if err := p.patches(ctx, map[string]string{reason.EvidenceKey: string(evidence)}); err != nil {
		return err
	}
	return pause(learned)(ctx)
}

// kubeletShutsDown is what its kubelet says last when it shuts down gracefully
// (pkg/kubelet/nodestatus/setters.go). The node lifecycle controller overwrites it four seconds
// later here.
func (p *patient) kubeletShutsDown(ctx context.Context) error {
	condition := corev1.NodeCondition{
		Type: corev1.NodeReady, Status: corev1.ConditionFalse, Reason: "KubeletNotReady",
		Message:           "node is shutting down",
		LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now(),
	}
	patch, err := json.Marshal(
		map[string]any{"status": map[string]any{
			"conditions": []corev1.NodeCondition{condition}}})
	if err != nil {
		return err
	}
	_, err = p.client.CoreV1().Nodes().Patch(ctx, p.Name, types.StrategicMergePatchType, patch,
		metav1.PatchOptions{}, "status")
	return err
}

func (p *patient) patches(ctx context.Context, annotations map[string]string) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"annotations": annotations}})
	if err != nil {
		return err
	}
	_, err = p.client.CoreV1().Nodes().Patch(ctx, p.Name, types.MergePatchType, patch,
		metav1.PatchOptions{})
	return err
}

// losesItsAgent is a reboot after which the agent did not start: what it announced is of the boot
// before, and the kernel does not sign. What signed is to be, is signed with the old token.
func (p *patient) losesItsAgent(ctx context.Context) error {
	if !p.signs {
		return nil
	}
	before := p.Node
	before.BootID = "an-earlier-boot"
	return p.SignWith(ctx, before, p.secret)
}

// rebooted is a reboot whose new token the agent has announced.
func (p *patient) rebooted(ctx context.Context) error {
	if p.signs {
		if err := p.SignWith(ctx, p.Node, tokenOfBefore); err != nil {
			return err
		}
	}
	if err := inOrder(ctx, p.stops, p.boots); err != nil || !p.signs {
		return err
	}
	return p.SignWith(ctx, p.Node, p.secret)
}

// told waits for an Event on the node.
func (p *patient) told(ctx context.Context, why string) error {
	selector := fields.Set{"involvedObject.name": p.Name, "reason": why}.String()
	err := wait.PollUntilContextTimeout(ctx, 10*poll, tablePatience, true,
		func(ctx context.Context) (bool, error) {
			found, err := p.client.CoreV1().Events(metav1.NamespaceDefault).List(ctx,
				metav1.ListOptions{FieldSelector: selector})
			return err == nil && len(found.Items) > 0, nil
		})
	if err != nil {
		return fmt.Errorf("wait for the Event %s: %w", why, err)
	}
	return nil
}

// isBuried waits for the node and its pod to leave because of its own panic.
func (p *patient) isBuried(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tablePatience)
	defer cancel()
	for subject, name := range map[reason.Subject]string{reason.Pod: p.namespace + "/a",
		reason.Node: p.Name} {
		d, err := p.witness.Sees(ctx, subject, name)
		if err != nil {
			return err
		}
		if d.Reason.Code != reason.KernelPanic ||
			!strings.Contains(string(d.Reason.Text), ownPanic) {
			return fmt.Errorf("%s %s left with %+v", subject, name, d.Reason)
		}
	}
	return nil
}

// isSpared waits until what was heard of the node is refused, and looks whether the node was left
// alone. Where what is replayed was signed in another boot, it is refused at once, and one Event
// may speak for several nodes.
func (p *patient) isSpared(ctx context.Context, row tableRow) error {
	seenThrough := p.signs && strings.Contains(row.name, "replayed")
	if !seenThrough {
		if err := p.told(ctx, netconsole.EventPanicRefused); err != nil {
			return err
		}
	}
	return p.isUntouched(ctx)
}

func (p *patient) isUntouched(ctx context.Context) error {
	node, err := p.client.CoreV1().Nodes().Get(ctx, p.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("the node lives, and its Node is gone: %w", err)
	}
	pod, err := p.client.CoreV1().Pods(p.namespace).Get(ctx, "a", metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("the node lives, and its pod is gone: %w", err)
	}
	switch {
	case node.UID != p.uid || node.DeletionTimestamp != nil || keys.Node.Has(node.Annotations):
		return fmt.Errorf("the Node of a node that lives was touched: %v", node.Annotations)
	case pod.UID != p.pod.UID || pod.DeletionTimestamp != nil || keys.Pod.Has(pod.Annotations):
		return fmt.Errorf("the pod of a node that lives was touched: %v", pod.Annotations)
	case !equality.Semantic.DeepEqual(pod.Spec, p.pod.Spec):
		return errors.New("the pod of a node that lives has another spec")
	}
	return nil
}
