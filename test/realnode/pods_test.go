//go:build linux

package realnode_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"os"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/reason"
)

const alice = "alice"

// A pod is deleted by a person who says why, its container is stopped, and its kubelet takes it out
// of the API with that reason.
func TestDeletedPodLeavesWithItsReason(t *testing.T) {
	t.Parallel()
	c := shared
	c.runs(t, worker("deleted", "-say=hello", "-term-exit=0"))
	c.eventually(t, "the container says hello", func(ctx context.Context) (bool, error) {
		log, err := c.client.CoreV1().Pods(metav1.NamespaceDefault).GetLogs("deleted",
			&corev1.PodLogOptions{}).DoRaw(ctx)
		return string(log) == "hello\n", err
	})
	c.saysWhy(t, "deleted", "the experiment is over")
	must(t, c.as(t, alice).CoreV1().Pods(metav1.NamespaceDefault).Delete(t.Context(),
		"deleted", metav1.DeleteOptions{}))
	d := c.leaves(t, "deleted")
	if want := (reason.Reason{Code: reason.UserRequest,
		Text: "the experiment is over", By: alice}); d.Reason != want {
		t.Errorf("it left with\n  %+v, want\n  %+v", d.Reason, want)
	}
	if s := d.Pod.Status.ContainerStatuses[0].State.Terminated; s == nil || s.ExitCode != 0 {
		t.Errorf("its container is %+v, want it ended with 0",
			d.Pod.Status.ContainerStatuses[0].State)
	}
}

// The last to delete a pod is its kubelet, whoever was the first, and however the pod was to go.
func TestKubeletsFinalDeleteKeepsTheReason(t *testing.T) {
	t.Parallel()
	c := shared
	for name, tc := range map[string]struct {
		remove func(t *testing.T, name string) error
		want   reason.Reason
	}{
		"deleted": {
			remove: func(t *testing.T, name string) error {
				return c.as(t, program).CoreV1().Pods(metav1.NamespaceDefault).Delete(t.Context(),
					name, metav1.DeleteOptions{})
			},
			want: reason.Reason{Code: reason.Unexplained, By: program,
				Text: "Nobody said why this pod was deleted, and nothing could be inferred (deleted by " + program + ")"},
		},
		"evicted": {
			remove: func(t *testing.T, name string) error {
				return c.as(t, program).PolicyV1().Evictions(metav1.NamespaceDefault).Evict(
					t.Context(),
					&policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: name,
						Namespace: metav1.NamespaceDefault}})
			},
			want: reason.Reason{Code: reason.Evicted, By: program,
				Text: "This pod was evicted (by " + program + ")"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			name := "final-" + name
			c.runs(t, worker(name, "-term-exit=0"))
			must(t, tc.remove(t, name))
			if d := c.leaves(t, name); d.Reason != tc.want {
				t.Errorf("it left with\n  %+v, want\n  %+v", d.Reason, tc.want)
			}
			// A watcher may hear of the end before the API server has answered who asked for it.
			c.eventually(t, "its kubelet deleted it for good", func(context.Context) (bool, error) {
				return c.lastDeleter(t, name) == "system:node:"+nodeName, nil
			})
		})
	}
}

// lastDeleter is whose DELETE of a pod the API server answered last.
func (c *cluster) lastDeleter(t *testing.T, name string) (who string) {
	t.Helper()
	content, err := os.ReadFile(c.AuditLog())
	must(t, err)
	for line := range bytes.Lines(content) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // It is just being written.
		}
		var e struct {
			Stage, Verb            string
			User, ImpersonatedUser struct{ Username string }
			ObjectRef              struct{ Resource, Name string }
		}
		must(t, json.Unmarshal(line, &e))
		if e.Stage == "ResponseComplete" && e.Verb == "delete" && e.ObjectRef.Resource == "pods" &&
			e.ObjectRef.Name == name {
			who = cmp.Or(e.ImpersonatedUser.Username, e.User.Username)
		}
	}
	return who
}

// A pod that the kubelet does not admit never runs, and its status says so. One that ran is another
// matter, whatever its kubelet says.
func TestRefusedPodHasNotRun(t *testing.T) {
	t.Parallel()
	c := shared
	// A kubelet that is busy may say so too late to be believed; then another is asked for.
	const tries = 10
	var pod *corev1.Pod
	for n := range tries {
		greedy := worker("greedy-" + strconv.Itoa(n))
		greedy.Spec.NodeName = nodeName // past the scheduler, which would let it wait
		greedy.Spec.Containers[0].Resources.Requests = corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("1000")}
		c.create(t, greedy)
		pod = c.comes(t, greedy.Name, "it is refused",
			func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
		must(t, c.as(t, program).CoreV1().Pods(metav1.NamespaceDefault).Delete(t.Context(),
			greedy.Name, metav1.DeleteOptions{}))
		if d := c.leaves(t, greedy.Name); d.Reason.Code != reason.Refused ||
			d.Reason.By != "system:node:"+nodeName {
			t.Errorf("it left with %+v", d.Reason)
		}
		if obituary.RefusedAtOnce(pod) {
			break
		}
	}
	if pod.Status.Reason != "OutOfcpu" || !obituary.RefusedAtOnce(pod) {
		t.Errorf("refused at once: %t, by %+v %+v", obituary.RefusedAtOnce(pod), pod.Status,
			pod.ManagedFields)
	}
	ran := worker("ran-and-failed", "-for=1s", "-exit=3")
	c.create(t, ran)
	pod = c.comes(t, ran.Name, "it has failed",
		func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	if obituary.RefusedAtOnce(pod) {
		t.Errorf("refused at once, though it ran: %+v", pod.Status)
	}
}

// A pod that fails by itself, or because its time was up, is what its kubelet says of it.
func TestPodsThatFail(t *testing.T) {
	t.Parallel()
	c := shared
	overruns := worker("overruns", "-term-exit=0")
	for _, tc := range []struct {
		pod    *corev1.Pod
		reason string
		exit   int32
	}{
		{pod: worker("fails", "-for=2s", "-exit=3"), exit: 3},
		{pod: overruns, reason: "DeadlineExceeded"},
	} {
		t.Run(tc.pod.Name, func(t *testing.T) {
			t.Parallel()
			c.create(t, tc.pod)
			if tc.reason == "DeadlineExceeded" {
				c.overruns(t, tc.pod.Name)
			}
			pod := c.comes(t, tc.pod.Name, "it has failed and its container has ended",
				func(p *corev1.Pod) bool {
					return p.Status.Phase == corev1.PodFailed && allEnded(p)
				})
			if got := pod.Status.ContainerStatuses[0].State.Terminated.ExitCode; got != tc.exit ||
				pod.Status.Reason != tc.reason {
				t.Errorf("it failed with code %d and reason %q, want %d and %q", got,
					pod.Status.Reason, tc.exit, tc.reason)
			}
			c.saysWhy(t, pod.Name, "it has failed")
			must(t, c.as(t, alice).CoreV1().Pods(metav1.NamespaceDefault).Delete(t.Context(),
				pod.Name, metav1.DeleteOptions{}))
			if d := c.leaves(t, pod.Name); d.Reason != (reason.Reason{Code: reason.UserRequest, Text: "it has failed", By: alice}) {
				t.Errorf("it left with %+v", d.Reason)
			}
		})
	}
}

// overruns gives a pod a deadline once it runs: by then it has to listen for SIGTERM, and a busy
// machine may take long to start it.
func (c *cluster) overruns(t *testing.T, name string) {
	t.Helper()
	p := c.comes(t, name, "it runs", func(p *corev1.Pod) bool {
		return len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].State.Running != nil
	})
	ran := int64(time.Since(p.Status.StartTime.Time).Seconds())
	deadline, err := json.Marshal(map[string]any{"spec": map[string]any{
		"activeDeadlineSeconds": ran + 6}})
	must(t, err)
	_, err = c.client.CoreV1().Pods(metav1.NamespaceDefault).Patch(t.Context(), name,
		types.MergePatchType, deadline, metav1.PatchOptions{})
	must(t, err)
}

// What is mounted within a folder of the host that a container has read-only can be written to,
// also where it was mounted later: the agent's configfs.
func TestMountsOfTheHostAreSeenAndWritable(t *testing.T) {
	t.Parallel()
	c := shared
	const folder = "/run/mounts-of-the-host"
	pod := worker("mounts", "-write="+"/host/inner/file")
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "host",
			VolumeSource: corev1.VolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: folder,
					Type: ptr.To(corev1.HostPathDirectoryOrCreate)}}}}
	pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{
		{Name: "host", MountPath: "/host", ReadOnly: true,
			MountPropagation: ptr.To(corev1.MountPropagationHostToContainer)}}
	c.runs(t, pod)
	_, err := c.node.Exec(t.Context(), "mkdir", folder+"/inner")
	must(t, err)
	_, err = c.node.Exec(t.Context(), "mount", "-t", "tmpfs", "later", folder+"/inner")
	must(t, err)
	c.comes(t,
		"mounts", "it has written",
		func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
}
