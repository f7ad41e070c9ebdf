package e2e

import (
	"context"
	"slices"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/netconsole"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const (
	// failoverWindow is how long a panic is pending there: longer than what is done between the
	// panic and the failover takes.
	failoverWindow = 25 * time.Second
	// failoverRenewal is longer than any wait of these tests: a node that leaves did not leave for
	// its Lease.
	failoverRenewal = 10 * time.Minute
)

// surviving makes the trials of panics outlast the failover.
func surviving(k *config.Config) {
	listening(k)
	// What answers is remembered for longer than a trial takes to ask again.
	k.Netconsole.ProofOfDeath.QuietRound = metav1.Duration{Duration: 2 * time.Second}
	k.Netconsole.ProofOfDeath.Window = metav1.Duration{Duration: failoverWindow}
	k.Netconsole.ProofOfDeath.MissedRenewal = metav1.Duration{Duration: failoverRenewal}
}

// A failover is a cluster with two replicas, of which the first one leads and is killed.
type failover struct {
	*cluster
	second *sandbox.Epitaph
	// whole is the test that lasts until the end.
	whole *testing.T
}

// What is begun under one leader and ends under the next is told as if there had been one: each of
// these is brought to the moment at which the leader is killed, and returns what follows.
func TestLastHourOverAFailover(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: surviving}})
	second, err := c.AddEpitaph(t.Context(), sandbox.EpitaphOptions{Configure: surviving})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(second.Stop)
	f := failover{cluster: c, second: second, whole: t}
	type follow struct {
		name string
		is   func(*testing.T)
	}
	var after []follow
	for _, moment := range []struct {
		name   string
		before func(*testing.T) (after func(*testing.T))
	}{
		{"driven off whoever is first", f.drivenOff},
		{"driven off its controller first", func(t *testing.T) func(*testing.T) {
			return f.drivenOffBy(t, daemonSetController, taintManager)
		}},
		{"driven off the taint manager first",
			func(t *testing.T) func(
				*testing.T) {
				return f.drivenOffBy(t, taintManager, daemonSetController)
			}},
		{"driven off a node with trouble", f.drivenOffAnIllNode},
		{"full and an orphan", f.fullOrphan},
		// These are the last, for a trial does not wait for the failover.
		{"renewed then silent", f.renewsThenSilent},
		{"answered then silent", f.answersThenSilent},
		{"silent at once", f.silentAtOnce},
	} {
		t.Run("until "+moment.name,
			func(t *testing.T) { after = append(after, follow{moment.name, moment.before(t)}) })
	}
	if t.Failed() {
		return
	}
	c.Epitaph.Kill()
	// The last first: it is the trials whose time runs.
	for _, follows := range slices.Backward(after) {
		t.Run(follows.name, follows.is)
	}
}

const (
	daemonSetController = "system:serviceaccount:kube-system:daemon-set-controller"
	taintManager        = "system:serviceaccount:kube-system:node-controller"
	rackMove            = "example.com/rack-move"
)

// heldDaemonSet makes a DaemonSet whose pod stays when it has ended, and returns its pod. Seconds
// is for how long it tolerates the taint.
func (f failover) heldDaemonSet(t *testing.T, ns, node string, seconds int64) corev1.Pod {
	t.Helper()
	f.daemonSet(t, ns, node, func(set *appsv1.DaemonSet) {
		set.Spec.Template.Finalizers = []string{"example.com/held"}
		if seconds > 0 {
			set.Spec.Template.Spec.Tolerations = []corev1.Toleration{{
				Key: rackMove, Operator: corev1.TolerationOpExists,
				Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds,
			}}
		}
	})
	return f.theRunningPod(t, ns)
}

func (f failover) taint(t *testing.T, node string) {
	t.Helper()
	f.patchNode(t, node,
		map[string]any{"spec": map[string]any{
			"taints": []corev1.Taint{{Key: rackMove, Effect: corev1.TaintEffectNoExecute}}}})
}

// ends waits until a pod that is held has been told to stop, and returns what lets it go and looks
// at what it left with.
func (f failover) ends(t *testing.T, pod corev1.Pod,
	want func(by string) reason.Reason) func(*testing.T) {
	t.Helper()
	ns := pod.Namespace
	told := f.podLike(t, ns, pod.Name, "is told to stop, with a reason", func(p *corev1.Pod) bool {
		return p.UID == pod.UID && p.DeletionTimestamp != nil && keys.Pod.Has(p.Annotations)
	})
	own, err := keys.Pod.Read(told.Annotations)
	if err != nil || own.By != daemonSetController && own.By != taintManager &&
		own.By != diskOfNode.By {
		t.Errorf("it is told to stop with %+v (%v)", own, err)
	}
	return func(t *testing.T) {
		f.patchPod(t, ns, pod.Name, `{"metadata":{"finalizers":null}}`)
		f.leaves(t, reason.Pod, ns+"/"+pod.Name, want(own.By))
		f.wantRecord(t, ns, pod.Name, want(own.By))
	}
}

func movedBy(node string) func(by string) reason.Reason {
	return func(by string) reason.Reason {
		return reason.Reason{Code: reason.Evicted, By: by,
			Text: reason.Text("This pod was evicted (node " + node + " is tainted " + rackMove +
				")")}
	}
}

func (f failover) drivenOff(t *testing.T) func(*testing.T) {
	ns, node := f.namespace(t), f.node(t).Name
	pod := f.heldDaemonSet(t, ns, node, 0)
	f.taint(t, node)
	return f.ends(t, pod, movedBy(node))
}

func (f failover) drivenOffAnIllNode(t *testing.T) func(*testing.T) {
	ns, node := f.namespace(t), f.node(t).Name
	pod := f.heldDaemonSet(t, ns, node, 0)
	f.annotateNode(t, node, diskOfNode)
	f.taint(t, node)
	return f.ends(t, pod, func(string) reason.Reason { return diskOfPod })
}

// drivenOffBy plays both controllers, in the order that is asked for: the real ones wait, since the
// taint is tolerated for a while.
func (f failover) drivenOffBy(t *testing.T, first, later string) func(*testing.T) {
	ns, node := f.namespace(t), f.node(t).Name
	f.taint(t, node)
	pod := f.heldDaemonSet(t, ns, node, 3600)
	drive := func(t *testing.T, who string) {
		t.Helper()
		pods := f.as(t, who).CoreV1().Pods(ns)
		if who == taintManager {
			condition := encode(t,
				map[string]any{"status": map[string]any{"conditions": []corev1.PodCondition{{
					Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
					Reason: "DeletionByTaintManager", LastTransitionTime: metav1.Now(),
					Message: "Taint manager: deleting due to NoExecute taint",
				}}}})
			if _, err := pods.Patch(t.Context(), pod.Name, types.StrategicMergePatchType, condition,
				metav1.PatchOptions{}, "status"); err != nil {
				t.Fatal(err)
			}
		}
		if err := pods.Delete(t.Context(), pod.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	drive(t, first)
	ends := f.ends(t, pod, func(string) reason.Reason { return movedBy(node)(first) })
	return func(t *testing.T) {
		drive(t, later)
		ends(t)
	}
}

// keptFromDeleting has the API server refuse Epitaph's deletes of the pods of a namespace, one of
// which must be called p-1.
func (f failover) keptFromDeleting(ns string) (lift func()) {
	f.whole.Helper()
	return f.bar(f.whole, crashPoint{
		op: admissionregistrationv1.Delete, resource: "pods",
		barred: func(ns, _ string) string { return "request.namespace == '" + ns + "'" },
	}, ns, "")
}

func (f failover) fullOrphan(t *testing.T) func(*testing.T) {
	ns, node := f.namespace(t), f.node(t).Name
	f.pod(t, ns, node, "full", full)
	f.pod(t, ns, node, "p-1")
	lift := f.keptFromDeleting(ns)
	f.annotateNode(t, node, diskOfNode)
	f.deleteNode(t, node)
	f.holdsItsReason(t, ns, "full", diskOfPod)
	return func(t *testing.T) {
		lift()
		f.leaves(t, reason.Pod, ns+"/p-1", diskOfPod)
		wantFailedWith(t, f.goes(t, ns, "full"), true)
		f.wantRecord(t, ns, "full", diskOfPod)
	}
}

// answersForLong makes a node that signs, and that each replica knows as one that answers.
func (f failover) answersForLong(t *testing.T) sandbox.Node {
	t.Helper()
	n := f.answering(t)
	time.Sleep(2 * learned) // a quiet round of these tests, and some
	return n
}

// saysToBoth sends a datagram to both replicas.
func (f failover) saysToBoth(t *testing.T, node sandbox.Node, datagram []byte) {
	t.Helper()
	f.saysTo(t, f.second.Config.Netconsole.Address, node.Address, datagram)
	f.says(t, node.Address, datagram)
}

// spares checks that a panic is refused, and that nothing of the node was touched.
func (f failover) spares(t *testing.T, node sandbox.Node, pod *corev1.Pod) {
	t.Helper()
	f.event(t, node.Name, netconsole.EventPanicRefused, "")
	stays(t, f.cluster, pod, time.Second)
	if found := f.aliveNode(t, node.Name); keys.Node.Has(found.Annotations) {
		t.Errorf("the Node carries a reason: %v", found.Annotations)
	}
}

// answersThenSilent is a restart of the kubelet at the end of the window, when user space is asked
// again.
func (f failover) answersThenSilent(t *testing.T) func(*testing.T) {
	ns, node := f.namespace(t), f.answersForLong(t)
	pod := f.pod(t, ns, node.Name, "a")
	heard := time.Now()
	f.saysToBoth(t, node, aSignedPanic("and it went on"))
	f.eventually(t, "each replica doubts the panic", func(ctx context.Context) (bool, error) {
		selector := fields.Set{"involvedObject.name": node.Name,
			"reason": netconsole.EventPanicDoubted}.String()
		doubts, err := f.client.CoreV1().Events(metav1.NamespaceDefault).List(ctx,
			metav1.ListOptions{FieldSelector: selector})
		return err == nil && len(doubts.Items) == 2, err
	})
	passes := func(t *testing.T, since time.Duration) {
		t.Helper()
		f.eventually(t, "time passes", func(context.Context) (bool,
			error) {
			return time.Since(heard) > since, nil
		})
	}
	return func(t *testing.T) {
		passes(t, failoverWindow-time.Second) // so lately it is still known as one that answers
		if err := f.StopKubelet(t.Context(), node.Name); err != nil {
			t.Fatal(err)
		}
		passes(t, failoverWindow+5*time.Second)
		stays(t, f.cluster, pod, time.Second)
		if err := f.ResumeKubelet(t.Context(), node.Name); err != nil {
			t.Fatal(err)
		}
		f.spares(t, node, pod)
	}
}

// renewsThenSilent is a node that only the API server can reach, and whose panic is not signed.
func (f failover) renewsThenSilent(t *testing.T) func(*testing.T) {
	ns, node := f.namespace(t), f.answersForLong(t)
	pod := f.pod(t, ns, node.Name, "a")
	if err := f.CutOff(node.Name); err != nil {
		t.Fatal(err)
	}
	heard := time.Now()
	f.saysToBoth(t, node, aPanic("behind a wall"))
	f.eventually(t, "the Lease is renewed after what was under way",
		func(ctx context.Context) (bool, error) {
			lease, err := f.client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(ctx,
				node.Name, metav1.GetOptions{})
			return err == nil && lease.Spec.RenewTime != nil &&
				lease.Spec.RenewTime.Sub(heard) > 7*time.Second, nil
		})
	if err := f.StopKubelet(t.Context(), node.Name); err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T) { f.spares(t, node, pod) }
}

func (f failover) silentAtOnce(t *testing.T) func(*testing.T) {
	ns, node := f.namespace(t), f.answersForLong(t)
	f.pod(t, ns, node.Name, "a")
	f.dies(t, node.Name)
	f.saysToBoth(t, node, aSignedPanic("not a word after"))
	return func(t *testing.T) {
		wantPod, wantNode := panicked("not a word after")
		f.leaves(t, reason.Pod, ns+"/a", wantPod)
		f.leaves(t, reason.Node, node.Name, wantNode)
		f.wantRecord(t, ns, "a", wantPod)
	}
}
