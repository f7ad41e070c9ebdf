package demo

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const (
	jobName = "simulation"
	// recording is a Linux 6.1 that panicked, as it was received, word for word.
	recording = "netconsole/wire/testdata/captures/sysrq-ext-6.1c-panic10.jsonl"
	// lastWords is what the recorded kernel died of.
	lastWords = "sysrq triggered crash"
	// secret is what an agent would have had the kernel sign with.
	secret = "c2lnbmVkIGluIHRoZSBkZW1v"
)

// A kernel is the one that panics.
type kernel interface {
	// announce has the node say what its kernel signs with.
	announce(context.Context, *stage) error
	// panic returns when the kernel has begun to say so.
	panic(context.Context, *stage) (time.Time, error)
}

func kernelPanics(ctx context.Context, st *stage) error {
	if err := st.kernel.announce(ctx, st); err != nil {
		return err
	}
	others := []*corev1.Pod{podOn(panicNode, "cache-0"), podOn(panicNode, "cache-1"),
		podOn(panicNode, "cache-2")}
	if err := st.runs(ctx, others...); err != nil {
		return err
	}
	victim, err := st.startJob(ctx)
	if err != nil {
		return err
	}
	st.victim = victim
	cause, err := st.kernel.panic(ctx, st)
	if err != nil {
		return err
	}
	const text = "This pod died unexpectedly because the underlying node kernel panicked! (" +
		lastWords + ")"
	for _, name := range []string{"cache-0", "cache-1", "cache-2", victim} {
		err = errors.Join(err, st.podDied(ctx, name, reason.KernelPanic, text, cause))
	}
	last := st.rows[len(st.rows)-1].took
	for _, r := range st.rows[len(st.rows)-4:] {
		last = max(last, r.took)
	}
	st.say("from the panic to the last pod gone: %.2f s", last.Seconds())
	return errors.Join(err, st.died(ctx, reason.Node, panicNode, reason.KernelPanic,
		"This node died unexpectedly because its kernel panicked! ("+lastWords+")", cause))
}

// A recorded kernel is one that panicked once, and whose datagrams are sent again.
type recorded struct{}

func (recorded) announce(ctx context.Context, st *stage) error {
	node, err := nodeNamed(st.sandbox, panicNode)
	if err != nil {
		return err
	}
	return st.sandbox.SignWith(ctx, node, secret)
}

func (recorded) panic(ctx context.Context, st *stage) (cause time.Time, err error) {
	node, err := nodeNamed(st.sandbox, panicNode)
	if err != nil {
		return cause, err
	}
	if err := st.sandbox.StopKubelet(ctx, panicNode); err != nil {
		return cause, err
	}
	cause = time.Now()
	datagrams, err := replay(ctx, st.sandbox, node)
	if err != nil {
		return cause, err
	}
	st.say("%d recorded datagrams, signed, sent from %s to the listener", datagrams, node.Address)
	return cause, nil
}

// startJob starts the Job on the node that will panic, and returns its pod's name.
func (st *stage) startJob(ctx context.Context) (string, error) {
	jobs := st.client.BatchV1().Jobs(namespace)
	if _, err := jobs.Create(ctx, aJob(jobName, panicNode), metav1.CreateOptions{}); err != nil {
		return "", fmt.Errorf("create job %s: %w", jobName, err)
	}
	pod, err := st.jobPod(ctx, func(p *corev1.Pod) bool { return p.Spec.NodeName == panicNode })
	if err != nil {
		return "", err
	}
	return pod.Name, nil
}

// jobPod waits for a running pod of the Job that suits.
func (st *stage) jobPod(ctx context.Context,
	suits func(*corev1.Pod) bool) (found *corev1.Pod, err error) {
	err = st.until(ctx, "a pod of job "+jobName+" runs", func(ctx context.Context) (bool, error) {
		pods, err := st.client.CoreV1().Pods(namespace).List(ctx,
			metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + jobName})
		if err != nil {
			return false, err
		}
		for n := range pods.Items {
			if p := &pods.Items[n]; p.Status.Phase == corev1.PodRunning &&
				p.DeletionTimestamp == nil && suits(p) {
				found = p
				return true, nil
			}
		}
		return false, nil
	})
	return found, err
}

func nodeNamed(s *sandbox.Sandbox, name string) (sandbox.Node, error) {
	for _, n := range s.Nodes() {
		if n.Name == name {
			return n, nil
		}
	}
	return sandbox.Node{}, fmt.Errorf("the sandbox has no node %s", name)
}

// replay sends the recording from the node's own address and returns how many datagrams it had.
func replay(ctx context.Context, s *sandbox.Sandbox, from sandbox.Node) (int, error) {
	checkout, err := binaries.Checkout()
	if err != nil {
		return 0, err
	}
	payloads, err := readRecording(filepath.Join(checkout, recording))
	if err != nil {
		return 0, err
	}
	dialer := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from.Address)}}
	conn, err := dialer.DialContext(ctx, "udp", s.Epitaph.Config.Netconsole.Address)
	if err != nil {
		return 0, fmt.Errorf("send from node %s: %w", from.Name, err)
	}
	defer conn.Close()
	for _, p := range payloads {
		if _, err := conn.Write(sandbox.Signed(p, secret)); err != nil {
			return 0, fmt.Errorf("send from node %s: %w", from.Name, err)
		}
	}
	return len(payloads), nil
}

// readRecording reads the payloads of a recording, in the order in which they arrived.
func readRecording(path string) ([][]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the recording: %w", err)
	}
	defer file.Close()
	var payloads [][]byte
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var datagram struct{ Hex string }
		if err := json.Unmarshal(lines.Bytes(), &datagram); err != nil {
			return nil, fmt.Errorf("read the recording: %w", err)
		}
		payload, err := hex.DecodeString(datagram.Hex)
		if err != nil {
			return nil, fmt.Errorf("read the recording: %w", err)
		}
		payloads = append(payloads, payload)
	}
	return payloads, nil
}

func jobRunsAgain(ctx context.Context, st *stage) error {
	pod, err := st.jobPod(ctx, func(p *corev1.Pod) bool { return p.Spec.NodeName != panicNode })
	if err != nil {
		return err
	}
	job, err := st.client.BatchV1().Jobs(namespace).Get(ctx, jobName, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read job %s: %w", jobName, err)
	}
	if job.Status.Failed != 0 || job.Status.Active != 1 {
		return fmt.Errorf("job %s: %d failed and %d active, want 0 and 1", jobName,
			job.Status.Failed, job.Status.Active)
	}
	st.say("pod %s runs on %s; the Job counts %d failures with backoffLimit %d", pod.Name,
		pod.Spec.NodeName, job.Status.Failed, *job.Spec.BackoffLimit)
	return nil
}
