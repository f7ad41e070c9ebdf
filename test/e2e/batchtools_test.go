package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/recipes"
)

// recipe is what docs/batch-tools.md offers its readers to paste.
func recipe(t *testing.T, name string) string {
	t.Helper()
	block, err := recipes.Read("../../"+recipes.Page, name)
	if err != nil {
		t.Fatal(err)
	}
	return block
}

// jobOfThePage is the Job of docs/batch-tools.md.
func jobOfThePage(t *testing.T) batchv1.JobSpec {
	t.Helper()
	var job batchv1.Job
	if err := yaml.UnmarshalStrict([]byte(recipe(t, "job")), &job); err != nil {
		t.Fatal(err)
	}
	return job.Spec
}

// script runs a script of the page as a user does, with the real kubectl, and returns what it says
// and whether it ends well.
func (c *cluster) script(t *testing.T, name string, env []string, args ...string) (string, bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", recipe(t, name), name},
		args...)...)
	cmd.Env = append(os.Environ(), append(env, "KUBECONFIG="+c.Kubeconfig,
		"PATH="+filepath.Dir(c.Programs["kubectl"])+":"+os.Getenv("PATH"))...)
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

// The scripts of docs/batch-tools.md find the records, and let a pod go again only by its verdict.
func TestBatchToolsAskTheRecord(t *testing.T) {
	t.Parallel()
	ns := shared.namespace(t)
	drained := shared.job(t, ns, shared.node(t).Name)
	if err := evict(t, shared.as(t, runner), ns, drained.Name); err != nil {
		t.Fatal(err)
	}
	shared.leaves(t, reason.Pod, ns+"/"+drained.Name, reason.Reason{})
	lost := shared.pod(t, ns, shared.node(t).Name, "lost")
	shared.loseNodeOf(t, lost)
	deleted := shared.pod(t, ns, shared.node(t).Name, "deleted")
	shared.annotate(t, ns, deleted.Name, "the experiment is over")
	shared.remove(t, shared.as(t, "alice"), ns, deleted.Name)
	shared.leaves(t, reason.Pod, ns+"/"+deleted.Name, reason.Reason{})
	for _, tc := range []struct {
		pod, says string
		env       []string
		again     bool
	}{
		{pod: drained.Name, says: "disruption/no/no", again: true},
		{pod: lost.Name, says: "disruption/unknown/no"},
		{pod: deleted.Name, says: "routine/no/no"},
		{pod: "never", says: "not on record", env: []string{"TRIES=1"}},
	} {
		out, again := shared.script(t, "again.sh", tc.env, ns, tc.pod)
		if want := tc.pod + ": " + tc.says + "\n"; out != want || again != tc.again {
			t.Errorf("again.sh said %q and ended well: %v; want %q, %v", out, again, want, tc.again)
		}
	}
	out, ok := shared.script(t, "of-owner.sh", []string{"NAMESPACE=" + ns, "OWNER=work"})
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if !ok || len(lines) != 2 || strings.Join(strings.Fields(lines[1]), " ") !=
		drained.Name+" Evicted disruption no no work" {
		t.Errorf("of-owner.sh ended well: %v, and said\n%s", ok, out)
	}
}

// The JobSet of docs/batch-tools.md starts over when a node takes one of its pods, and is not
// charged for it, whatever maxRestarts is.
func (k *kueueCluster) restartsAJobSet(t *testing.T) {
	ns := k.namespace(t)
	template := k.pool(t, ns, 2)
	set := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(recipe(t, "jobset")), &set.Object); err != nil {
		t.Fatal(err)
	}
	set.SetNamespace(ns)
	if err := unstructured.SetNestedField(set.Object, int64(0), "spec", "failurePolicy",
		"maxRestarts"); err != nil {
		t.Fatal(err)
	}
	jobs, _, err := unstructured.NestedSlice(set.Object, "spec", "replicatedJobs")
	if err != nil {
		t.Fatal(err)
	}
	on, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&corev1.PodSpec{
		NodeSelector: template.Spec.NodeSelector, Tolerations: template.Spec.Tolerations})
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"nodeSelector", "tolerations"} {
		if on[field] == nil {
			continue
		}
		if err := unstructured.SetNestedField(jobs[0].(map[string]any), on[field], "template",
			"spec", "template", "spec", field); err != nil {
			t.Fatal(err)
		}
	}
	if err := unstructured.SetNestedSlice(set.Object, jobs, "spec", "replicatedJobs"); err != nil {
		t.Fatal(err)
	}
	k.make(t, jobSets, set)
	first := k.run(t, ns, 2)
	k.loseNodeOf(t, &first[0])
	k.eventuallyWithin(t, kueuePatience, "both pods run anew", func(context.Context) (bool, error) {
		running := 0
		for _, p := range k.podsIn(t, ns) {
			if p.UID != first[0].UID && p.UID != first[1].UID && p.Status.Phase == corev1.PodRunning {
				running++
			}
		}
		return running == 2, nil
	})
	now, err := k.objects.Resource(jobSets).Namespace(ns).Get(t.Context(), set.GetName(),
		metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	restarts, _, _ := unstructured.NestedInt64(now.Object, "status", "restarts")
	charged, _, _ := unstructured.NestedInt64(now.Object, "status", "restartsCountTowardsMax")
	if restarts != 1 || charged != 0 {
		t.Errorf("the JobSet was restarted %d times and charged for %d, want 1 and 0: %v", restarts,
			charged, now.Object["status"])
	}
}
