//go:build linux

package installed

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/aftermath"
	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
	"github.com/epitaph-k8s/epitaph/test/kernel/debian"
	"github.com/epitaph-k8s/epitaph/test/realnode"
	"github.com/epitaph-k8s/epitaph/test/realnode/vm"
	"github.com/epitaph-k8s/epitaph/test/witness"
)

const (
	machineName = "machine-1"
	// bootPatience is for a machine by emulation, which may have to share its processors: at a load
	// of 20 to 30 it took four minutes until its node was ready (docs/kernels.md).
	bootPatience = 10 * time.Minute
	// podsOfJob is how many pods each death has.
	podsOfJob = 3
	// panicTimeout is the kernel.panic that a kubelet sets.
	panicTimeout = 10 * time.Second
	// administrator is whom the sandbox's kubeconfig names.
	administrator = "kubernetes-admin"
	// panicLine is what sysrq has the kernel die of.
	panicLine = "sysrq triggered crash"
)

// machineValues have the agent see to it that its kernel speaks, whatever the kernel.
var machineValues = append(realnode.Values(namespace, nodeName, machineName), "--set",
	"config.agent.clearPanicTimeout=true,config.agent.clearWithoutWatchdog=true")

// A realNode is the machine of TestRealNode.
type realNode struct {
	*vm.Node
	*cluster
	bootID string
	// speaksBeforeItRestarts is what a kernel does before Linux 7.0. Where it does not, the agent
	// sets kernel.panic to 0, over the kubelet's 10.
	speaksBeforeItRestarts bool
	// panics is how often its kernel has panicked.
	panics int
}

// TestRealNode has the chart's agent and manager in containers, on kubelets, and a machine that
// dies in three boots: a person halts it, and the cloud takes it away; its kernel panics, and nobody
// hears it; its kernel panics, and netconsole is heard.
func TestRealNode(t *testing.T) {
	n := switchOn(t, shared)
	began := time.Now()
	for _, step := range []struct {
		name string
		do   func(*testing.T)
	}{
		{"install", n.isInstalled},
		{"kubectl drain", n.isDrained},
		{"its agent takes everything away", n.takesAway},
		{"alice halts it", n.isHalted},
		{"a panic that nobody hears", n.panicsUnheard},
		{"a panic that is heard", n.panicsAloud},
	} {
		start := time.Now()
		if !t.Run(step.name, step.do) {
			n.describe(t)
			t.Fatalf("step %q has failed: those after it need it", step.name)
		}
		t.Logf("%s: %.0f s", step.name, time.Since(start).Seconds())
	}
	ran("real_node", began)
}

// switchOn starts the machine.
func switchOn(t *testing.T, c *cluster) *realNode {
	t.Helper()
	if why, err := os.ReadFile(filepath.Join(c.dir, noMachine)); err == nil {
		t.Skipf("SKIPPED: qemu-system-x86_64 is missing, or debootstrap, or a kernel for it: %s", why)
	}
	prepared, err := vm.ReadPrepared(c.dir)
	must(t, err)
	t.Logf("kernel %s", prepared.Release)
	node, err := vm.Start(t.Context(), c.Sandbox, vm.Options{Prepared: prepared, Name: machineName,
		Host: vm.Host, Pods: vm.Pods, Dir: t.TempDir(), Reboots: true})
	must(t, err)
	late, err := debian.Kernel{Release: prepared.Release}.AtLeast(7, 0)
	must(t, err)
	n := &realNode{Node: node, cluster: c, speaksBeforeItRestarts: !late}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(node.Describe())
		}
		node.Stop()
	})
	return n
}

func (n *realNode) isInstalled(t *testing.T) {
	n.boots(t)
	began := time.Now()
	n.helm(t, append([]string{"install", release, n.chart}, machineValues...)...)
	ran("machine_helm_install", began)
	n.isWatched(t, began)
	for _, p := range n.pods(t, "agent") {
		profile, err := n.client.CoreV1().Pods(namespace).GetLogs(p.Name,
			&corev1.PodLogOptions{}).DoRaw(t.Context())
		must(t, err)
		if strings.Contains(string(profile), "panic:") {
			t.Errorf("the agent logs\n%s", profile)
		}
	}
}

// boots waits for the next boot, until the node can take pods.
func (n *realNode) boots(t *testing.T) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), bootPatience)
	defer cancel()
	bootID, err := n.Boots(ctx)
	must(t, err)
	n.bootID = bootID
	ran("machine_ready", began)
}

// isWatched waits until the agent of this boot has its kernel speak, has announced its token, and
// waits for a shutdown.
func (n *realNode) isWatched(t *testing.T, since time.Time) {
	t.Helper()
	n.becomes(t, "its agent has the kernel speak", vm.Speaks(n.bootID))
	n.slowly(t, "its agent waits for a shutdown", func(ctx context.Context) (bool, error) {
		for _, p := range n.pods(t, "agent") {
			log, err := n.client.CoreV1().Pods(namespace).GetLogs(p.Name,
				&corev1.PodLogOptions{}).DoRaw(ctx)
			if err == nil && strings.Contains(string(log), `"msg":"waiting for a shutdown"`) {
				return true, nil
			}
		}
		return false, nil
	})
	ran("machine_watched", since)
	if r := n.report(t); len(r.Troubles) > 0 {
		t.Errorf("its agent complains: %+v", r.Troubles)
	}
}

// isDrained has its pods evicted by kubectl, and ended by its kubelet.
func (n *realNode) isDrained(t *testing.T) {
	job, pods := n.startJob(t, "drained")
	began := time.Now()
	n.kubectl(t, "drain", machineName, "--ignore-daemonsets", "--timeout=5m")
	ran("machine_drain", began)
	want := reason.Reason{Code: reason.NodeDrained, By: administrator,
		Text: reason.New(reason.Pod, reason.NodeDrained,
			"node "+machineName+" by "+administrator, "").Text}
	n.leaveWith(t, pods, want)
	n.removeJob(t, job)
	n.kubectl(t, "uncordon", machineName)
}

// takesAway has the chart take from the node what its agent has set up, as before an
// uninstallation; and set it up again.
func (n *realNode) takesAway(t *testing.T) {
	began := time.Now()
	n.upgrade(t, "--set", "agent.remove=true,agent.maxUnavailable=100%")
	ran("machine_agent_removed", began)
	node := n.nodeNow(t)
	for _, key := range []string{reason.AgentKey, reason.TokenKey} {
		if text, ok := node.Annotations[key]; ok {
			t.Errorf("the Node still has %s: %s", key, text)
		}
	}
	must(t, n.Root.Type("echo targets: $(ls /sys/kernel/config/netconsole | wc -l)."))
	must(t, n.Root.Sees(t.Context(), "targets: 0.", 1))
	n.upgrade(t)
	n.isWatched(t, began)
}

func (n *realNode) upgrade(t *testing.T, args ...string) {
	t.Helper()
	n.helm(t, slices.Concat([]string{"upgrade", release, n.chart}, machineValues, args)...)
}

// isHalted has alice end the machine, and the cloud take it away.
func (n *realNode) isHalted(t *testing.T) {
	job, pods := n.startJob(t, "halted")
	began, uid := time.Now(), n.nodeNow(t).UID
	must(t, n.Alice.Type("sudo halt"))
	n.becomes(t, "the evidence stands", func(node *corev1.Node) bool {
		known, err := reason.EvidenceOn(node)
		return err == nil && slices.ContainsFunc(known, func(e reason.Evidence) bool {
			return e.What == reason.EvidenceHalt && e.Who == "alice" && e.Detail == "sudo halt" &&
				e.BootID == n.bootID
		})
	})
	ran("machine_halt_to_evidence", began)
	n.says(t, "reboot: System halted", 1)
	ran("machine_halt_to_down", began)
	must(t, n.TakeInstanceAway(machineName))
	taken := time.Now()
	d := n.nodeLeaves(t, uid)
	ran("machine_taken_to_node_gone", taken)
	if want := (reason.Reason{Code: reason.NodeHalted, By: "alice",
		Text: "This node went away because alice ran sudo halt on it"}); d.Reason != want {
		t.Errorf("the node left with\n  %+v, want\n  %+v", d.Reason, want)
	}
	want := reason.Reason{Code: reason.NodeHalted, By: "alice",
		Text: "This pod had to be terminated because alice ran sudo halt on the node"}
	n.leaveWith(t, pods, want)
	n.removeJob(t, job)
}

// panicsUnheard has the kernel panic while the machine's cable is out. The agent of the next boot
// finds what the kernel left.
func (n *realNode) panicsUnheard(t *testing.T) {
	must(t, n.GiveInstance(machineName))
	must(t, n.Reset(t.Context()))
	began := time.Now()
	n.boots(t)
	n.isWatched(t, began)
	if last := n.report(t).LastBoot; last == nil || last.Ended != "orderly" {
		t.Errorf("of the boot that was halted, its agent says %+v", last)
	}
	job, pods := n.startJob(t, "unheard")
	lost := n.bootID
	must(t, n.CutOff())
	n.dies(t)
	if n.speaksBeforeItRestarts {
		n.says(t, "Rebooting in 10 seconds", 1)
	} else {
		n.staysDown(t)
		must(t, n.Reset(t.Context()))
	}
	must(t, n.Reconnect())
	began = time.Now()
	n.boots(t)
	n.isFound(t, lost)
	ran("machine_reboot_to_found", began)
	n.isExplained(t, pods)
	n.isWatched(t, began)
	n.countsFailures(t, job, pods)
	n.removeJob(t, job)
}

// dies has the kernel panic, and returns when the console shows it. The disk has everything by then:
// of a container whose start is not on it yet, containerd 1.6 says after the reboot that it was
// created, and the kubelet waits for it for ever.
func (n *realNode) dies(t *testing.T) time.Time {
	t.Helper()
	n.panics++
	must(t, n.Root.Type("sync; echo c > /proc/sysrq-trigger"))
	// A kernel that stays down ends with a line that repeats it.
	return n.says(t, "] Kernel panic - not syncing: "+panicLine, n.panics)
}

// staysDown looks at a kernel that has died for some time: it does not restart by itself.
func (n *realNode) staysDown(t *testing.T) {
	t.Helper()
	n.says(t, "end Kernel panic - not syncing: "+panicLine, n.panics)
	time.Sleep(2 * panicTimeout)
	if console := n.Console(); strings.Contains(console, "Rebooting in") {
		t.Errorf("the kernel restarts by itself: %s", console)
	}
}

// isFound looks at the record of a boot, and at the Event.
func (n *realNode) isFound(t *testing.T, bootID string) {
	t.Helper()
	n.slowly(t, "the boot is on record", func(ctx context.Context) (bool, error) {
		var all v1alpha1.NodeObituaryList
		if err := n.objects.List(ctx, &all); err != nil {
			return false, nil
		}
		for _, o := range all.Items {
			if s := o.Spec; s.BootID == bootID && s.Code == string(reason.KernelPanic) {
				if !s.Returned || s.Amended == nil || s.Amended.From != "pstore" ||
					!slices.Contains(s.KernelLog, "Kernel panic - not syncing: "+panicLine) {
					t.Errorf("the boot is on record as %+v", s)
				}
				return true, nil
			}
		}
		return false, nil
	})
	if last := n.report(t).LastBoot; last == nil || last.BootID != bootID ||
		last.Ended != "panic" || last.Panic != panicLine || last.Source != "pstore" {
		t.Errorf("its agent says of the boot: %+v", last)
	}
	n.slowly(t, "an Event tells of it", func(ctx context.Context) (bool, error) {
		events, err := n.client.CoreV1().Events("").List(ctx, metav1.ListOptions{})
		return err == nil && slices.ContainsFunc(events.Items, func(e corev1.Event) bool {
			return e.Reason == aftermath.EventFound && e.InvolvedObject.Name == machineName
		}), nil
	})
}

// isExplained waits until the pods that the restart failed have their reason.
func (n *realNode) isExplained(t *testing.T, pods []corev1.Pod) {
	t.Helper()
	want := string(reason.New(reason.Pod, reason.KernelPanic, panicLine, "").Text)
	for _, pod := range pods {
		n.slowly(t, "pod "+pod.Name+" is explained", func(ctx context.Context) (bool, error) {
			p, err := n.client.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
			return err == nil && p.UID == pod.UID && p.Status.Phase == corev1.PodFailed &&
				p.Annotations[reason.DefaultKeys().Pod.Reason] == want, nil
		})
	}
}

// countsFailures looks at the Job, to which nobody said that it was a disruption, and at what the
// plugin says about it.
func (n *realNode) countsFailures(t *testing.T, job string, pods []corev1.Pod) {
	t.Helper()
	n.slowly(t, "the Job counts its failures", func(ctx context.Context) (bool, error) {
		j, err := n.client.BatchV1().Jobs(metav1.NamespaceDefault).Get(ctx, job, metav1.GetOptions{})
		return err == nil && j.Status.Failed == podsOfJob, nil
	})
	said := n.why(t, pods[0].Name)
	for _, words := range []string{panicLine, "Job " + job} {
		if !strings.Contains(said, words) {
			t.Errorf("why does not say %q:\n%s", words, said)
		}
	}
}

// panicsAloud has the kernel panic, and the listener hear it.
func (n *realNode) panicsAloud(t *testing.T) {
	job, pods := n.startJob(t, "heard")
	uid := n.nodeNow(t).UID
	panicked := n.dies(t)
	d := n.nodeLeaves(t, uid)
	fmt.Printf("RESULT node_machine_panic_to_node_gone_s %.2f s\n", d.At.Sub(panicked).Seconds())
	line := panicLine
	if !n.speaksBeforeItRestarts {
		// Such a kernel says where it happened, too: the shell that wrote to sysrq-trigger.
		line = regexp.MustCompile(panicLine + "; in task bash on CPU [01]").FindString(
			string(d.Reason.Text))
	}
	if want := (reason.Reason{Code: reason.KernelPanic, By: "epitaph/netconsole",
		Text: reason.New(reason.Node, reason.KernelPanic, line, "").Text}); d.Reason != want {
		t.Errorf("the node left with\n  %+v, want\n  %+v", d.Reason, want)
	}
	want := reason.Reason{Code: reason.KernelPanic, By: "epitaph/netconsole",
		Text: reason.New(reason.Pod, reason.KernelPanic, line, "").Text}
	var last time.Duration
	for _, pod := range pods {
		d := n.leavesWith(t, pod, want)
		last = max(last, d.At.Sub(panicked))
		disrupted := func(c corev1.PodCondition) bool {
			return c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue
		}
		if d.Pod.Status.Phase != corev1.PodFailed ||
			!slices.ContainsFunc(d.Pod.Status.Conditions, disrupted) {
			t.Errorf("pod %s left with the status %+v", pod.Name, d.Pod.Status)
		}
		if record := n.isOnRecord(t, pod, want); record.Spec.NodeObituary == "" ||
			!record.Spec.DisruptionTarget {
			t.Errorf("pod %s is on record with %+v", pod.Name, record.Spec)
		}
	}
	fmt.Printf("RESULT node_machine_panic_to_last_pod_s %.2f s\n", last.Seconds())
	// The pods could not leave before their Job had seen how they ended.
	j, err := n.client.BatchV1().Jobs(metav1.NamespaceDefault).Get(t.Context(), job,
		metav1.GetOptions{})
	must(t, err)
	if j.Status.Failed != 0 || len(j.Status.Conditions) != 0 {
		t.Errorf("the Job counts failures: %+v", j.Status)
	}
	if said := n.why(t, pods[0].Name); !strings.Contains(said, string(want.Text)) {
		t.Errorf("why says\n%s", said)
	}
	n.slowly(t, "an Event on the Job tells of it", func(ctx context.Context) (bool, error) {
		events, err := n.client.CoreV1().Events(metav1.NamespaceDefault).List(ctx,
			metav1.ListOptions{})
		return err == nil && slices.ContainsFunc(events.Items, func(e corev1.Event) bool {
			return e.InvolvedObject.Kind == "Job" && e.InvolvedObject.Name == job &&
				strings.Contains(e.Message, panicLine)
		}), nil
	})
}

// startJob has pods of a Job run on the machine. The Job does not count disruptions.
func (n *realNode) startJob(t *testing.T, name string) (job string, pods []corev1.Pod) {
	t.Helper()
	_, err := n.client.BatchV1().Jobs(metav1.NamespaceDefault).Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: batchv1.JobSpec{
			Completions: ptr.To(int32(podsOfJob)), Parallelism: ptr.To(int32(podsOfJob)),
			BackoffLimit: ptr.To(int32(podsOfJob)),
			PodFailurePolicy: &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{
				Action: batchv1.PodFailurePolicyActionIgnore,
				OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{
					{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}},
			}}},
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
				NodeSelector:  map[string]string{corev1.LabelHostname: machineName},
				RestartPolicy: corev1.RestartPolicyNever,
				// A slow boot is no reason to evict them.
				Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists,
					Effect: corev1.TaintEffectNoExecute}},
				Containers: []corev1.Container{{Name: "main", Image: realnode.WorkerImage,
					ImagePullPolicy: corev1.PullNever}},
			}},
		},
	}, metav1.CreateOptions{})
	must(t, err)
	n.slowly(t, "the pods of Job "+name+" run", func(ctx context.Context) (bool, error) {
		all, err := n.client.CoreV1().Pods(metav1.NamespaceDefault).List(ctx,
			metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + name})
		if err != nil {
			return false, nil
		}
		pods = all.Items
		return len(pods) == podsOfJob && !slices.ContainsFunc(pods, func(p corev1.Pod) bool {
			return p.Status.Phase != corev1.PodRunning
		}), nil
	})
	return name, pods
}

// removeJob leaves no pod that the next boot would have to run.
func (n *realNode) removeJob(t *testing.T, name string) {
	t.Helper()
	must(t, n.client.BatchV1().Jobs(metav1.NamespaceDefault).Delete(t.Context(), name,
		metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationBackground)}))
}

// slowly waits for something that may need the machine.
func (n *realNode) slowly(t *testing.T, what string, is func(context.Context) (bool, error)) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), poll, bootPatience, true,
		is); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// becomes waits until the Node is as it is to be.
func (n *realNode) becomes(t *testing.T, what string, is func(*corev1.Node) bool) {
	t.Helper()
	n.slowly(t, what, func(ctx context.Context) (bool, error) {
		node, err := n.client.CoreV1().Nodes().Get(ctx, machineName, metav1.GetOptions{})
		return err == nil && is(node), nil
	})
}

func (n *realNode) nodeNow(t *testing.T) *corev1.Node {
	t.Helper()
	node, err := n.client.CoreV1().Nodes().Get(t.Context(), machineName, metav1.GetOptions{})
	must(t, err)
	return node
}

func (n *realNode) report(t *testing.T) termination.Report {
	t.Helper()
	r, _, err := termination.ReportOf(n.nodeNow(t))
	must(t, err)
	return r
}

func (n *realNode) says(t *testing.T, words string, times int) time.Time {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bootPatience)
	defer cancel()
	_, at, err := n.SaysAgain(ctx, words, times)
	must(t, err)
	return at
}

// nodeLeaves waits until that Node has left, which may come back under its name.
func (n *realNode) nodeLeaves(t *testing.T, uid any) (d witness.Death) {
	t.Helper()
	n.slowly(t, "the Node leaves", func(context.Context) (bool, error) {
		var ok bool
		d, ok = n.witness.Saw(reason.Node, machineName)
		return ok && any(d.UID) == uid, nil
	})
	return d
}

// leaveWith waits for the pods' end, and looks at what is said of it.
func (n *realNode) leaveWith(t *testing.T, pods []corev1.Pod, want reason.Reason) {
	t.Helper()
	for _, pod := range pods {
		n.leavesWith(t, pod, want)
		n.isOnRecord(t, pod, want)
	}
	if said := n.why(t, pods[0].Name); !strings.Contains(said, string(want.Text)) {
		t.Errorf("why says\n%s", said)
	}
}

func (n *realNode) leavesWith(t *testing.T, pod corev1.Pod, want reason.Reason) witness.Death {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bootPatience)
	defer cancel()
	d, err := n.witness.Sees(ctx, reason.Pod, pod.Namespace+"/"+pod.Name)
	must(t, err)
	if d.Reason != want {
		t.Errorf("pod %s left with\n  %+v, want\n  %+v", pod.Name, d.Reason, want)
	}
	return d
}

// isOnRecord waits for the pod's obituary.
func (n *realNode) isOnRecord(t *testing.T, pod corev1.Pod,
	want reason.Reason) (found v1alpha1.PodObituary) {
	t.Helper()
	n.slowly(t, "pod "+pod.Name+" is on record", func(ctx context.Context) (bool, error) {
		var all v1alpha1.PodObituaryList
		if err := n.objects.List(ctx, &all, client.InNamespace(pod.Namespace)); err != nil {
			return false, nil
		}
		at := slices.IndexFunc(all.Items, func(o v1alpha1.PodObituary) bool {
			return o.Spec.PodUID == pod.UID && !o.Spec.Removed.IsZero()
		})
		if at >= 0 {
			found = all.Items[at]
		}
		return at >= 0, nil
	})
	if s := found.Spec; s.Code != string(want.Code) || s.Reason != string(want.Text) ||
		s.By != want.By {
		t.Errorf("pod %s is on record with %s %q by %s, want %+v", pod.Name, s.Code, s.Reason, s.By,
			want)
	}
	return found
}

// why is what the plugin says of a pod.
func (n *realNode) why(t *testing.T, pod string) string {
	t.Helper()
	return n.kubectl(t, "epitaph", "why", "pod/"+pod, "--namespace="+metav1.NamespaceDefault)
}

// kubectl is what it prints, with the plugin on its path.
func (n *realNode) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), n.Programs["kubectl"], args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+n.Kubeconfig,
		"PATH="+n.dir+":"+os.Getenv("PATH"))
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, said)
	}
	return string(said)
}
