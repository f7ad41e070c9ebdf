package e2e

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/netconsole"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/forgeries"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const (
	captures = "../../netconsole/wire/testdata/captures"
	// pendingWindow is how long these tests let a panic of a living node pend.
	pendingWindow = 12 * time.Second
	// learned is how long a new node needs to be known as one that answers: a quiet round and some.
	learned = 3 * time.Second
)

// listening makes the listener quick to learn and quick to give up.
func listening(c *config.Config) {
	quick(c)
	c.Netconsole.ProofOfDeath.QuietRound = metav1.Duration{Duration: time.Second}
	c.Netconsole.ProofOfDeath.Window = metav1.Duration{Duration: pendingWindow}
	c.Netconsole.ProofOfDeath.MissedRenewal = metav1.Duration{Duration: 3 * time.Second}
}

// says sends datagrams from an address of this machine.
func (c *cluster) says(t *testing.T, from string, datagrams ...[]byte) {
	t.Helper()
	c.saysTo(t, c.Epitaph.Config.Netconsole.Address, from, datagrams...)
}

func (c *cluster) saysTo(t *testing.T, listener, from string, datagrams ...[]byte) {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.DialContext(t.Context(), "udp", listener)
	if err != nil {
		t.Fatalf("send from %s: %v", from, err)
	}
	defer conn.Close()
	for _, d := range datagrams {
		if _, err := conn.Write(d); err != nil {
			t.Fatalf("send from %s: %v", from, err)
		}
	}
}

// recording reads the payloads of a recorded kernel.
func recording(t *testing.T, name string) [][]byte {
	t.Helper()
	payloads, err := forgeries.Payloads(filepath.Join(captures, name+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return payloads
}

// aPanic is a kernel's announcement in the extended format.
func aPanic(line string) []byte {
	return []byte("0,400,9000000,-;Kernel panic - not syncing: " + line + "\n")
}

// tokenOfBoot is the secret that kernels of these tests add to what they say.
const tokenOfBoot = "c2lnbmVkIGluIHRoZXNlIHRlc3Rz"

// aSignedPanic is the same of a kernel that an agent has set up.
func aSignedPanic(line string) []byte { return sandbox.Signed(aPanic(line), tokenOfBoot) }

// signedAll signs whole messages.
func signedAll(datagrams [][]byte) [][]byte {
	for n := range datagrams {
		datagrams[n] = sandbox.Signed(datagrams[n], tokenOfBoot)
	}
	return datagrams
}

func panicked(line string) (pod, node reason.Reason) {
	return reason.Reason{
			Code: reason.KernelPanic, By: "epitaph/netconsole",
			Text: reason.Text(
				"This pod died unexpectedly because the underlying node kernel panicked! (" + line +
					")"),
		}, reason.Reason{
			Code: reason.KernelPanic, By: "epitaph/netconsole",
			Text: reason.Text("This node died unexpectedly because its kernel panicked! (" + line +
				")"),
		}
}

// signing makes a node whose agent has told the API of its token.
func (c *cluster) signing(t *testing.T) sandbox.Node {
	t.Helper()
	n := c.node(t)
	if err := c.SignWith(t.Context(), n, tokenOfBoot); err != nil {
		t.Fatal(err)
	}
	return n
}

// answering makes a node that signs, and is known to answer.
func (c *cluster) answering(t *testing.T) sandbox.Node {
	t.Helper()
	n := c.signing(t)
	// Whoever asks for the second time has seen the first answer.
	before := c.Asked(n.Name)
	c.eventually(t, "node "+n.Name+" is known to answer", func(context.Context) (bool, error) {
		return c.Asked(n.Name) > before+1, nil
	})
	return n
}

func (c *cluster) dies(t *testing.T, node string) {
	t.Helper()
	if err := c.StopKubelet(t.Context(), node); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) aliveNode(t *testing.T, name string) *corev1.Node {
	t.Helper()
	node, err := c.client.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatalf("node %s is not left alone: %v", name, err)
	}
	return node
}

// event waits for an Event on a node.
func (c *cluster) event(t *testing.T, node, why, note string) {
	t.Helper()
	c.eventually(t, why+" on node "+node, func(ctx context.Context) (bool, error) {
		all, err := c.client.EventsV1().Events(metav1.NamespaceDefault).List(ctx,
			metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		for _, e := range all.Items {
			if e.Regarding.Name == node && e.Reason == why && strings.Contains(e.Note, note) {
				return true, nil
			}
		}
		return false, nil
	})
}

func TestNetconsole(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: listening}})
	t.Run("group", func(t *testing.T) {
		tests := map[string]func(*testing.T){}
		for name, test := range map[string]func(*testing.T, *cluster){
			"a recorded panic takes the node and its pods":     recordedPanic,
			"what the kernel says is made harmless":            harmlessWords,
			"a stranger is not heard":                          strangersAreNotHeard,
			"a living node vetoes":                             livingNodeVetoes,
			"user space that outlives the panic is waited for": userSpaceOutlivesThePanic,
			"a node that booted again stays":                   rebootedNodeStays,
			"a pod keeps the reason that it has":               ownReasonStays,
			"fakes and plain text are not believed":            fakesAreNotBelieved,
			"a panic is heard through floods":                  panicIsHeardThroughFloods,
			"loss and disorder":                                networkIsUnkind,
			"a Job is told whole":                              aJobIsToldWhole,
		} {
			tests[name] = func(t *testing.T) { test(t, c) }
		}
		together(t, tests)
	})
	t.Run("two replicas do the work once", func(t *testing.T) { workIsDoneOnce(t, c) })
	t.Run("an API server that is away is waited for", func(t *testing.T) { apiServerAway(t, c) })
	t.Run("a replica that starts finishes what another one began",
		func(t *testing.T) { intentIsTakenUp(t, c) })
}

func recordedPanic(t *testing.T, c *cluster) {
	tests := map[string]func(*testing.T){}
	for capture, line := range map[string]string{
		"sysrq-ext-6.1c-panic10":   "sysrq triggered crash",
		"initexit-panic0-ext-7.3c": "Attempted to kill init! exitcode=0x00000700",
		"oops-panic-ext-6.1c":      "Fatal exception",
		"sysrq-ext-6.12c-panic0":   "sysrq triggered crash",
	} {
		tests[capture] = func(t *testing.T) {
			ns, node := c.namespace(t), c.answering(t)
			pods := c.fill(t, ns, node.Name, 3)
			c.dies(t, node.Name)
			began := time.Now()
			c.says(t, node.Address, signedAll(recording(t, capture))...)
			wantPod, wantNode := panicked(line)
			for _, pod := range pods {
				d := c.leaves(t, reason.Pod, pod, wantPod)
				wantFailedWith(t, d.Pod, true)
				t.Logf("pod %s gone %.2f s after the first datagram", pod,
					d.At.Sub(began).Seconds())
			}
			c.leaves(t, reason.Node, node.Name, wantNode)
			c.wantKernelLog(t, node.Name, "Kernel panic - not syncing: "+line)
		}
	}
	together(t, tests)
}

// wantKernelLog reads the kernel's words from the node's obituary.
func (c *cluster) wantKernelLog(t *testing.T, node, want string) {
	t.Helper()
	client, err := dynamic.NewForConfig(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	all, err := client.Resource(obituaries).List(t.Context(),
		metav1.ListOptions{FieldSelector: "spec.nodeName=" + node})
	if err != nil || len(all.Items) != 1 {
		t.Fatalf("read the obituary of node %s: %d found, %v", node, len(all.Items), err)
	}
	log, _, err := unstructured.NestedStringSlice(all.Items[0].Object, "spec", "kernelLog")
	if err != nil {
		t.Fatal(err)
	}
	if n := slices.Index(log, want); n < 1 || n == len(log)-1 {
		t.Errorf(
			"the kernel's log in the obituary of node %s does not hold %q with lines before and after: %q", node, want, log)
	}
}

func harmlessWords(t *testing.T, c *cluster) {
	ns, node := c.namespace(t), c.answering(t)
	c.pod(t, ns, node.Name, "a")
	c.dies(t, node.Name)
	c.says(t, node.Address,
		aSignedPanic(`\x1b]0;owned\x07\x1b[2J first line\x0asecond \xe2\x80\xae line`))
	wantPod, wantNode := panicked(`\x1b]0;owned\x07\x1b[2J first line second \u202e line`)
	c.leaves(t, reason.Pod, ns+"/a", wantPod)
	c.leaves(t, reason.Node, node.Name, wantNode)
}

func strangersAreNotHeard(t *testing.T, c *cluster) {
	ns, node := c.namespace(t), c.answering(t)
	pod := c.pod(t, ns, node.Name, "a")
	c.dies(t, node.Name)
	c.says(t, "127.0.2.1", aPanic("forged"))
	stays(t, c, pod, pendingWindow)
	if found := c.aliveNode(t, node.Name); keys.Node.Has(found.Annotations) {
		t.Errorf("the Node carries a reason: %v", found.Annotations)
	}
}

func livingNodeVetoes(t *testing.T, c *cluster) {
	ns, node := c.namespace(t), c.node(t)
	pod := c.pod(t, ns, node.Name, "a")
	c.says(t, node.Address, aPanic("forged from its own address"))
	c.event(t, node.Name, netconsole.EventPanicDoubted, "forged from its own address")
	c.event(t, node.Name, netconsole.EventPanicRefused, "the node's user space still answers")
	stays(t, c, pod, time.Second)
	if found := c.aliveNode(t, node.Name); keys.Node.Has(found.Annotations) {
		t.Errorf("the Node carries a reason: %v", found.Annotations)
	}
}

func userSpaceOutlivesThePanic(t *testing.T, c *cluster) {
	ns, node := c.namespace(t), c.answering(t)
	c.pod(t, ns, node.Name, "a")
	c.says(t, node.Address, aSignedPanic("with reboot=force"))
	c.event(t, node.Name, netconsole.EventPanicDoubted, "with reboot=force")
	c.dies(t, node.Name)
	wantPod, wantNode := panicked("with reboot=force")
	c.leaves(t, reason.Pod, ns+"/a", wantPod)
	c.leaves(t, reason.Node, node.Name, wantNode)
}

func rebootedNodeStays(t *testing.T, c *cluster) {
	ns, node := c.namespace(t), c.answering(t)
	pod := c.pod(t, ns, node.Name, "a")
	c.says(t, node.Address, aSignedPanic("and quickly back"))
	c.event(t, node.Name, netconsole.EventPanicDoubted, "and quickly back")
	c.patchNode(t, node.Name,
		map[string]any{"status": map[string]any{
			"nodeInfo": map[string]any{"bootID": "another-boot"}}}, "status")
	c.event(t, node.Name, netconsole.EventPanicRefused, "the node is back under another boot ID")
	c.eventually(t, "the panic stays as evidence", func(context.Context) (bool, error) {
		evidence, err := reason.EvidenceOn(c.aliveNode(t, node.Name))
		return slices.ContainsFunc(evidence, func(e reason.Evidence) bool {
			return e.What == reason.EvidencePanic && e.Detail == "and quickly back" &&
				e.BootID == node.BootID
		}), err
	})
	stays(t, c, pod, time.Second)
}

func ownReasonStays(t *testing.T, c *cluster) {
	ns, node := c.namespace(t), c.answering(t)
	c.pod(t, ns, node.Name, "a")
	c.annotate(t, ns, "a", "I am done with it")
	c.dies(t, node.Name)
	c.says(t, node.Address, aSignedPanic("boom"))
	d := c.leaves(t, reason.Pod, ns+"/a", reason.Reason{
		Code: reason.UserRequest, Text: "I am done with it", By: reason.ByNetconsole,
	})
	if d.Pod.Status.Phase != corev1.PodFailed {
		t.Errorf("the pod left in phase %s, want Failed", d.Pod.Status.Phase)
	}
}

func fakesAreNotBelieved(t *testing.T, c *cluster) {
	ns, node := c.namespace(t), c.answering(t)
	pod := c.pod(t, ns, node.Name, "a")
	c.dies(t, node.Name)
	for _, capture := range []string{
		"kmsg-ext-6.1c", "kmsg-legacy-6.1c", "forge-ext-6.1c", "forge-legacy-6.12c",
		"execstack-ext-6.1c", "sysrq-legacy-6.1c-panic10",
	} {
		c.says(t, node.Address, recording(t, capture)...)
	}
	c.says(t, node.Address, nil, []byte{0}, []byte(";"), []byte("0,1,2,-;"), make([]byte, 9000))
	stays(t, c, pod, 2*time.Second)
	if found := c.aliveNode(t, node.Name); keys.Node.Has(found.Annotations) {
		t.Errorf("the Node carries a reason: %v", found.Annotations)
	}
}

// workIsDoneOnce lets two replicas hear the same panic, and counts what the API server was asked
// for.
func workIsDoneOnce(t *testing.T, c *cluster) {
	second, err := c.AddEpitaph(t.Context(), sandbox.EpitaphOptions{Configure: listening})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Stop()
	ns, node := c.namespace(t), c.answering(t)
	pods := c.fill(t, ns, node.Name, 5)
	c.dies(t, node.Name)
	c.says(t, node.Address, aSignedPanic("heard by two"))
	c.saysTo(t, second.Config.Netconsole.Address, node.Address, aSignedPanic("heard by two"))
	wantPod, wantNode := panicked("heard by two")
	for _, pod := range pods {
		c.leaves(t, reason.Pod, pod, wantPod)
	}
	c.leaves(t, reason.Node, node.Name, wantNode)
	for _, pod := range pods {
		_, name, _ := strings.Cut(pod, "/")
		if n := c.asked(t, "delete", "/api/v1/namespaces/"+ns+"/pods/"+name); n != 1 {
			t.Errorf("pod %s was deleted %d times, want once", pod, n)
		}
	}
}

// apiServerAway stops the API server's process while the panic arrives.
func apiServerAway(t *testing.T, c *cluster) {
	ns, node := c.namespace(t), c.answering(t)
	c.pod(t, ns, node.Name, "a")
	c.dies(t, node.Name)
	resume := c.freeze(t, "kube-apiserver")
	c.says(t, node.Address, aSignedPanic("nobody listens"))
	time.Sleep(3 * time.Second)
	resume()
	wantPod, wantNode := panicked("nobody listens")
	c.leaves(t, reason.Pod, ns+"/a", wantPod)
	c.leaves(t, reason.Node, node.Name, wantNode)
}

// freeze stops a program of the cluster until the function that it returns is called.
func (c *cluster) freeze(t *testing.T, program string) (resume func()) {
	t.Helper()
	for _, p := range c.Processes() {
		if p.Name != program {
			continue
		}
		if err := syscall.Kill(p.PID(), syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		resume = func() { _ = syscall.Kill(p.PID(), syscall.SIGCONT) }
		t.Cleanup(resume)
		return resume
	}
	t.Fatalf("the cluster has no %s", program)
	return nil
}

// intentIsTakenUp leaves what a replica leaves that dies right after its first write.
func intentIsTakenUp(t *testing.T, c *cluster) {
	ns, node := c.namespace(t), c.answering(t)
	c.pod(t, ns, node.Name, "a")
	c.Epitaph.Kill()
	c.dies(t, node.Name)
	wantPod, wantNode := panicked("unfinished")
	annotations := keys.Node.Annotations(wantNode)
	annotations["epitaph-k8s.io/marked-dead"] = fmt.Sprintf(
		`{"what":"panic","detail":"unfinished","when":"2026-01-02T03:04:05Z","bootID":%q}`,
		node.BootID)
	c.patchNode(t, node.Name,
		map[string]any{"metadata": map[string]any{"annotations": annotations}})
	if err := c.Epitaph.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.leaves(t, reason.Pod, ns+"/a", wantPod)
	c.leaves(t, reason.Node, node.Name, wantNode)
	if _, err := c.client.CoreV1().Nodes().Get(t.Context(), node.Name,
		metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("read the Node: %v, want that it is gone", err)
	}
}
