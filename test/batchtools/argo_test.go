// Package batchtools runs recipes of docs/batch-tools.md with the libraries by which the tools
// evaluate them.
package batchtools

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/argoproj/argo-workflows/v3/util/expr/argoexpr"
	"github.com/argoproj/argo-workflows/v3/util/expr/env"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/recipes"
)

// retries evaluates the expression of the page as Argo does when the last try has ended with such a
// message (argo-workflows v3.7.0 workflow/controller/operator.go, buildRetryStrategyLocalScope).
func retries(t *testing.T, status, exitCode, message string) bool {
	t.Helper()
	block, err := recipes.Read("../../"+recipes.Page, "argo-message")
	if err != nil {
		t.Fatal(err)
	}
	var recipe struct {
		RetryStrategy struct{ Limit, Expression string }
	}
	if err := yaml.UnmarshalStrict([]byte(block), &recipe); err != nil {
		t.Fatalf("the recipe: %v", err)
	}
	again, err := argoexpr.EvalBool(recipe.RetryStrategy.Expression,
		env.GetFuncMap(map[string]any{
			"retries": "0", "lastRetry.exitCode": exitCode, "lastRetry.status": status,
			"lastRetry.duration": "12.5", "lastRetry.message": message,
		}))
	if err != nil {
		t.Fatalf("Argo cannot evaluate the expression: %v", err)
	}
	return again
}

// running is a pod of a Workflow as its kubelet last reported it.
func running() *corev1.Pod {
	pod := &corev1.Pod{}
	pod.Namespace, pod.Name, pod.UID = "ns", "etl-work-1", "0b7b1c9a-0000-4000-8000-000000000001"
	pod.CreationTimestamp.Time = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	pod.Spec.NodeName = "n1"
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	pod.Spec.Containers = []corev1.Container{{Name: "main"}}
	pod.Status.Phase = corev1.PodRunning
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main",
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{
			StartedAt: pod.CreationTimestamp}}}}
	return pod
}

// verdict is what the record of the pod says, which left for r.
func verdict(pod *corev1.Pod, r reason.Reason) v1alpha1.Verdict {
	o := obituary.Of(pod, r, pod.CreationTimestamp.Add(time.Minute))
	obituary.Judge(o)
	return *o.Spec.Verdict
}

// mayGoAgain is what the page promises of its recipes.
func mayGoAgain(c reason.Code, v v1alpha1.Verdict) bool {
	return c.Class() == reason.Disruption && v.MayStillRun == v1alpha1.No &&
		v.Chargeable == v1alpha1.No
}

// Of each sentence that Epitaph can write into status.message, the expression has Argo try again
// if, and only if, the verdict says that the pod runs no more and is not to blame.
func TestArgoRetriesByTheVerdict(t *testing.T) {
	t.Parallel()
	details := []string{"n1", "", "alice", "sysrq triggered crash", "bob ran sudo halt",
		// Words of others within a sentence are not taken for one.
		"This pod died unexpectedly because the underlying node kernel panicked! (x",
		"The node was low on resource: x on the node",
		"This pod had to be terminated because the cloud instance of node n1 is gone",
		strings.Repeat("x on the node is gone ", 200)}
	var retried []reason.Code
	for _, code := range reason.Codes() {
		for _, detail := range details {
			if code == reason.UserRequest && detail != "alice" {
				continue // Its words are the user's own: they can be any sentence.
			}
			r := reason.New(reason.Pod, code, detail, "epitaph/gc")
			want := mayGoAgain(code, verdict(running(), r))
			if got := retries(t, "Failed", "-1", string(r.Text)); got != want {
				t.Errorf("%s: Argo tries again: %v, want %v; the verdict is %+v", r.Text, got, want,
					verdict(running(), r))
			}
			if want && !slices.Contains(retried, code) {
				retried = append(retried, code)
			}
		}
	}
	// Else the loop would prove nothing.
	if want := []reason.Code{reason.CloudInstanceGone, reason.KernelPanic, reason.NodeHalted,
		reason.OutOfService}; !slices.Equal(retried, want) {
		t.Errorf("Argo tries again after %v, want %v", retried, want)
	}
}

// What a kubelet itself writes into status.message (K8s v1.37 pkg/kubelet: eviction/helpers.go,
// nodeshutdown/nodeshutdown_manager.go, preemption/preemption.go, active_deadline.go, kubelet.go)
// leads to the same answer as the record of such a pod.
func TestArgoRetriesByTheKubeletsWords(t *testing.T) {
	t.Parallel()
	for message, tc := range map[string]struct {
		reason string
		again  bool
	}{
		"The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. Container main was using 2Gi, request is 1Gi, has larger consumption of memory. ": {"Evicted", true},
		"Pod was terminated in response to imminent node shutdown.":                     {"Terminated", true},
		"Preempted in order to admit critical pod":                                      {"Preempting", true},
		"Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ": {"Evicted", false},
		"Usage of EmptyDir volume \"scratch\" exceeds the limit \"1Gi\". ":              {"Evicted", false},
		"Container main exceeded its local ephemeral storage limit \"1Gi\". ":           {"Evicted", false},
		"Pod was active on the node longer than the specified deadline":                 {"DeadlineExceeded", false},
	} {
		pod := running()
		pod.Status.Phase, pod.Status.Reason = corev1.PodFailed, tc.reason
		pod.Status.Message = message
		end := pod.CreationTimestamp
		end.Time = end.Add(30 * time.Second)
		pod.Status.ContainerStatuses[0].State = corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "Error",
				StartedAt: pod.CreationTimestamp, FinishedAt: end}}
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget,
			Status: corev1.ConditionTrue, Reason: "TerminationByKubelet",
			LastTransitionTime: end}}
		code := codeOf(t, pod)
		v := verdict(pod, reason.New(reason.Pod, code, message, "system:node:n1"))
		if again := mayGoAgain(code, v); again != tc.again {
			t.Errorf("%s: by the record it may go again: %v, want %v: %s, %+v", message, again,
				tc.again, code, v)
		}
		if got := retries(t, "Failed", "137", message); got != tc.again {
			t.Errorf("%s: Argo tries again: %v, want %v", message, got, tc.again)
		}
	}
}

// codeOf is what Epitaph makes of the words in the status of the pod.
func codeOf(t *testing.T, pod *corev1.Pod) reason.Code {
	t.Helper()
	for _, s := range reason.Statuses() {
		if s.Reason.Matches(pod.Status.Reason) && s.Message.Matches(pod.Status.Message) {
			return s.Code
		}
	}
	t.Fatalf("nothing is known of %s: %s", pod.Status.Reason, pod.Status.Message)
	return ""
}

// Where Argo sees no words at all, or such as prove nothing, it does not try again: it makes these
// messages itself (argo-workflows v3.7.0 workflow/controller/operator.go, inferFailedReason and
// podReconciliation).
func TestArgoDoesNotGuess(t *testing.T) {
	t.Parallel()
	for message, last := range map[string]struct{ status, exitCode string }{
		"main: Error (exit code 143)": {"Failed", "143"}, "main: Error (exit code 137)": {"Failed", "137"},
		"main: OOMKilled (exit code 137)": {"Failed", "137"}, "main: Error (exit code 1)": {"Failed", "1"},
		"pod deleted": {"Error", "-1"}, "": {"Failed", "-1"},
		"pod failed: neither main nor wait container completed successfully": {"Failed", "-1"},
		// A kubelet that was restarted refuses what ran under it.
		"Pod was rejected: Node didn't have enough resource: cpu, requested: 1": {"Failed", "-1"},
		"Pod was rejected as the node is shutting down.":                        {"Failed", "-1"},
	} {
		if retries(t, last.status, last.exitCode, message) {
			t.Errorf("%q: Argo tries again", message)
		}
	}
}
