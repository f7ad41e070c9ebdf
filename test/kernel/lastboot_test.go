//go:build linux

package kernel

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
	"github.com/epitaph-k8s/epitaph/test/kernel/firstroot"
	"github.com/epitaph-k8s/epitaph/test/kernel/initramfs"
	"github.com/epitaph-k8s/epitaph/test/kernel/link"
	"github.com/epitaph-k8s/epitaph/test/kernel/machine"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const (
	lateNode = "late"
	// lateFile names a listener that is none: the panic has to be found without one.
	lateFile = `{"apiVersion": "config.epitaph-k8s.io/v1alpha1", "kind": "Configuration", "agent": {"period": "1s", "listeners": ["10.80.1.1:6699"]}}`
	// kept is memory that Linux leaves alone, and nobody clears at a reset.
	kept = "mem_address=0x10000000,mem_size=0x100000,record_size=0x10000"
)

// TestLastBoot has a kernel panic that nobody hears, and restart: the agent of the next boot finds
// what it died of.
func TestLastBoot(t *testing.T) { withKernel(t, fetched.prepareLastBoot, lastBootInside) }

func (f fetched) prepareLastBoot(ctx context.Context, out io.Writer, dir string) error {
	if err := f.prepare(ctx, out, dir); err != nil {
		return err
	}
	epitaph, err := buildStatic(ctx, filepath.Join(dir, "static"), "../../cmd/epitaph")
	if err != nil {
		return err
	}
	ramoops, err := firstroot.Modules(ctx, f.kernel, "ramoops", "ramoops")
	if err != nil {
		return err
	}
	disk, err := firstroot.Modules(ctx, f.kernel, "disk", "virtio_blk", "ext4")
	if err != nil {
		return err
	}
	return writeInitramfs(ctx, f.kernel, filepath.Join(dir, "initramfs"),
		slices.Concat(ramoops, disk, []initramfs.File{
			firstroot.Program("epitaph", epitaph),
			firstroot.Text("late.yaml", []byte(lateFile)),
		})...)
}

// A late machine is a node whose panics nobody hears, and which comes back.
type late struct {
	*machine.Machine
	*cluster
	api   client.Client
	proxy string
	boots int
	// speaksLate is set where the kernel restarts before it sends.
	speaksLate bool
}

func lastBootInside(t *testing.T, dir string) {
	p := begin(t, dir)
	l := &late{cluster: startCluster(t), speaksLate: panicTimeout(p.Release) == "0"}
	l.connect(t)
	l.powerOn(t, p, makeDisk(t, dir))
	if _, err := l.AddNode(t.Context(), sandbox.NodeSpec{Name: lateNode,
		Address: netip.MustParseAddr("10.80.1.2")}); err != nil {
		t.Fatal(err)
	}
	pods := l.fill(t, lateNode)
	first := l.booted(t)
	if report := l.report(t, lateNode); report.LastBoot != nil {
		t.Errorf("of the boot before the first, %+v is claimed", report.LastBoot)
	}
	l.rebootAfterFakes(t, first)
	second := l.booted(t)
	l.claimsNothing(t, first)
	l.panicUnheard(t, pods, second)
	l.booted(t)
	if err := l.StartKubelet(t.Context(), lateNode); err != nil {
		t.Fatal(err)
	}
	l.explains(t, pods, second)
}

func makeDisk(t *testing.T, dir string) string {
	t.Helper()
	disk := filepath.Join(dir, "disk")
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const size = 16 << 20
	if err := os.Truncate(disk, size); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(),
		"mkfs.ext4", "-q", "-F", disk).CombinedOutput(); err != nil {
		t.Fatalf("make a file system: %v\n%s", err, out)
	}
	return disk
}

// connect makes a client that knows obituaries.
func (l *late) connect(t *testing.T) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme,
		v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if l.api, err = client.New(l.RESTConfig(), client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
}

func (l *late) powerOn(t *testing.T, p prepared, disk string) {
	t.Helper()
	tap, err := link.Tap("tap9")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tap.Close() })
	if err := link.Add("tap9", netip.MustParsePrefix("10.80.1.1/24")); err != nil {
		t.Fatal(err)
	}
	l.proxy = l.forward(t, "10.80.1.1:0")
	l.Machine, err = machine.Start(machine.Options{
		QEMU: p.QEMU, Kernel: p.Kernel, Initramfs: p.Initramfs, Tap: tap,
		Address: netip.MustParseAddr("10.80.1.2"),
		Memory:  "512M", Disks: []string{disk}, Reboots: true,
		Parameters: map[string]string{"guest_address": "10.80.1.2/24",
			"guest_panic": kubeletTimeout, "memmap": "1M$256M", "guest_ramoops": kept},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Stop()
		if t.Failed() {
			t.Logf("the console:\n%s", l.Console())
		}
	})
}

// booted waits for a boot, has its agent begin, and returns its ID, which the Node then has, too.
func (l *late) booted(t *testing.T) (bootID string) {
	t.Helper()
	l.boots++
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), agentPatience)
	defer cancel()
	line, _, err := l.SaysAgain(ctx, "guest: boot ", l.boots)
	if err == nil {
		_, _, err = l.SaysAgain(ctx, "guest: ready", l.boots)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("boot %d was ready after %.1f s", l.boots, time.Since(began).Seconds())
	_, bootID, _ = strings.Cut(line, "guest: boot ")
	status := fmt.Appendf(nil, `{"status":{"nodeInfo":{"bootID":%q}}}`, bootID)
	if _, err := l.client.CoreV1().Nodes().Patch(t.Context(), lateNode,
		types.StrategicMergePatchType, status, metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"put /kubeconfig " + l.kubeconfig(t, lateNode, l.proxy),
		"follow --node " + lateNode + " --kubeconfig /kubeconfig --config /late.yaml"} {
		if err := l.Do(command); err != nil {
			t.Fatal(err)
		}
	}
	l.eventually(t, "the agent of this boot reports",
		func(context.Context) (bool, error) { return l.report(t, lateNode).BootID == bootID, nil })
	return bootID
}

// rebootAfterFakes has user space say what a panic says, lets the kernel dump its log for an oops
// that it survives, and reboots.
func (l *late) rebootAfterFakes(t *testing.T, bootID string) {
	t.Helper()
	for _, command := range []string{
		"print <0>Kernel panic - not syncing: fake", "print Panic#1 Part1", "survive",
		"print <0>Kernel panic - not syncing: fake",
	} {
		if err := l.Do(command); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Order("reboot"); err != nil {
		t.Fatal(err)
	}
	t.Logf("boot %s ends in good order", bootID)
}

// claimsNothing looks at what the agent made of that: the dump of the oops is there, and nothing is
// said of a panic.
func (l *late) claimsNothing(t *testing.T, bootID string) {
	t.Helper()
	if err := l.Do("show /sys/fs/pstore"); err != nil {
		t.Fatal(err)
	}
	if console := l.Console(); !strings.Contains(console, "Oops#1 Part1") ||
		!strings.Contains(console, "Kernel panic - not syncing: fake") {
		t.Error(
			"the kernel has kept no dump of an oops with the words of user space: nothing is proven")
	}
	last := l.report(t, lateNode).LastBoot
	if last == nil || last.BootID != bootID || last.Ended != "orderly" || last.Panic != "" {
		t.Errorf("the agent says of a boot that ended in good order: %+v", last)
	}
	if value := l.nodeNow(t, lateNode).Annotations[reason.EvidenceKey]; value != "" {
		t.Errorf("evidence of something that did not happen: %s", value)
	}
	if records := l.recordsOfNode(t); len(records) > 0 {
		t.Errorf("a record of something that did not happen: %+v", records)
	}
}

// panicUnheard has the kernel panic. While the machine is down, one pod is lost; the restart will
// fail another.
func (l *late) panicUnheard(t *testing.T, pods []string, bootID string) {
	t.Helper()
	if l.speaksLate {
		l.eventually(t, "the agent has warned", func(context.Context) (bool, error) {
			return slices.ContainsFunc(l.report(t, lateNode).Troubles,
				func(x termination.Trouble) bool { return x.Code == "PanicUnsent" }), nil
		})
	}
	if err := l.Order("sysrq"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), agentPatience)
	defer cancel()
	if _, err := l.Says(ctx, "Rebooting in "+kubeletTimeout+" seconds"); err != nil {
		t.Fatal(err)
	}
	if err := l.StopKubelet(t.Context(), lateNode); err != nil {
		t.Fatal(err)
	}
	// Kubernetes writes whole seconds, and the deletion must be in a later one.
	time.Sleep(1100 * time.Millisecond)
	remover, err := kubernetes.NewForConfig(l.As("system:serviceaccount:batch:runner",
		"system:masters"))
	if err != nil {
		t.Fatal(err)
	}
	if err := remover.CoreV1().Pods(metav1.NamespaceDefault).Delete(t.Context(), pods[0],
		metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))}); err != nil {
		t.Fatal(err)
	}
	l.eventually(t, "the pod that is lost is recorded as unexplained",
		func(ctx context.Context) (bool, error) {
			o, err := l.recordOf(ctx, pods[0])
			return o != nil && o.Spec.Code == string(reason.Unexplained), err
		})
	l.failAsContainerdDoes(t, pods[1])
	t.Logf("boot %s ends in a panic", bootID)
}

// explains looks at what the agent of the next boot has found, and what became of it.
func (l *late) explains(t *testing.T, pods []string, bootID string) {
	t.Helper()
	const line = "sysrq triggered crash"
	pod := string(reason.New(reason.Pod, reason.KernelPanic, line, "").Text)
	var record v1alpha1.NodeObituary
	l.eventually(t, "the boot is recorded", func(context.Context) (bool, error) {
		for _, o := range l.recordsOfNode(t) {
			if o.Spec.BootID == bootID && len(o.Spec.KernelLog) > 0 {
				record = o
				return true, nil
			}
		}
		return false, nil
	})
	if want := reason.New(reason.Node, reason.KernelPanic, line,
		""); record.Spec.Reason != string(
		want.Text) || !record.Spec.Returned || record.Spec.Amended.From != "pstore" {
		t.Errorf("the boot is recorded as %+v", record.Spec)
	}
	if !slices.Contains(record.Spec.KernelLog, "Kernel panic - not syncing: "+line) {
		t.Errorf("the record does not have the kernel's words: %q", record.Spec.KernelLog)
	}
	l.eventually(t, "the pod that was lost has its reason",
		func(ctx context.Context) (bool, error) {
			o, err := l.recordOf(ctx, pods[0])
			return o != nil && o.Spec.Code == string(reason.KernelPanic) && o.Spec.Reason == pod &&
				o.Spec.NodeObituary == record.Name &&
				o.Spec.Amended.Was == string(reason.Unexplained), err
		})
	l.eventually(t, "the pod that the restart failed has its reason",
		func(ctx context.Context) (bool, error) {
			p, err := l.client.CoreV1().Pods(metav1.NamespaceDefault).Get(ctx, pods[1],
				metav1.GetOptions{})
			return err == nil && p.Annotations[reason.DefaultKeys().Pod.Reason] == pod, err
		})
	l.untouched(t, lateNode, pods[2:])
	if last := l.report(t, lateNode).LastBoot; last == nil || last.BootID != bootID ||
		last.Ended != "panic" || last.Panic != line || last.Source != "pstore" {
		t.Errorf("the agent says of the boot: %+v", last)
	}
}

func (l *late) recordsOfNode(t *testing.T) []v1alpha1.NodeObituary {
	t.Helper()
	all := &v1alpha1.NodeObituaryList{}
	if err := l.api.List(t.Context(), all,
		client.MatchingFields{"spec.nodeName": lateNode}); err != nil {
		t.Fatal(err)
	}
	return all.Items
}

func (l *late) recordOf(ctx context.Context, pod string) (*v1alpha1.PodObituary, error) {
	all := &v1alpha1.PodObituaryList{}
	err := l.api.List(ctx, all, client.InNamespace(metav1.NamespaceDefault),
		client.MatchingFields{"spec.podName": pod})
	if err != nil || len(all.Items) == 0 {
		return nil, err
	}
	return &all.Items[0], nil
}

// failAsContainerdDoes writes what a kubelet says of a pod that it finds without processes after a
// restart.
func (l *late) failAsContainerdDoes(t *testing.T, name string) {
	t.Helper()
	pod, err := l.client.CoreV1().Pods(metav1.NamespaceDefault).Get(t.Context(), name,
		metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod.Status.Phase = corev1.PodFailed
	running := pod.Status.ContainerStatuses[0].State.Running
	pod.Status.ContainerStatuses[0].State = corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{
			ExitCode: 255, Reason: "Unknown", StartedAt: running.StartedAt,
			FinishedAt: metav1.Now(),
		}}
	if _, err := l.client.CoreV1().Pods(metav1.NamespaceDefault).UpdateStatus(t.Context(), pod,
		metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}
