package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/reason"
)

// deletes runs "delete" in a namespace, with a reason.
func (c *cluster) deletes(t *testing.T, ns string, args ...string) said {
	t.Helper()
	return c.plugin(t, append([]string{"delete", "-n", ns, "--reason", "superseded"}, args...)...)
}

func teamed(p *corev1.Pod) { p.Labels = map[string]string{"team": "x"} }

// A user who may delete pods, and nothing else, deletes many at once. What one of the names comes
// to is nothing to the others.
func TestPluginDeletesMany(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	for _, name := range []string{"a", "b", "notebook", "d"} {
		shared.pod(t, ns, node, name)
	}
	for _, name := range []string{"x-1", "x-2"} {
		shared.pod(t, ns, node, name, teamed)
	}
	shared.grant(t, ns, "dana", "", []string{"pods"}, []string{"get", "list", "patch", "delete"})
	want := reason.Reason{Code: reason.UserRequest, Text: "superseded", By: "dana"}
	gone := func(names ...string) {
		t.Helper()
		for _, name := range names {
			shared.leaves(t, reason.Pod, ns+"/"+name, want)
		}
	}
	dana := func(args ...string) said {
		t.Helper()
		return shared.deletes(t, ns, append(args, "--as", "dana")...)
	}

	wantSaid(t, dana("pods", "-l", "team=x", "--dry-run=server"),
		said{out: "pod \"x-1\" deleted (server dry run): superseded\n" +
			"pod \"x-2\" deleted (server dry run): superseded\n"})
	wantSaid(t, dana("pods", "-l", "team=x", "--dry-run=client"),
		said{out: "pod \"x-1\" deleted (dry run): superseded\n" +
			"pod \"x-2\" deleted (dry run): superseded\n"})
	for _, name := range []string{"x-1", "x-2"} {
		if p := shared.alive(t, ns, name); keys.Pod.Has(p.Annotations) {
			t.Errorf("the dry runs left %v on pod %s", p.Annotations, name)
		}
	}

	got := dana("pod", "a", "notebooc", "b")
	if got.code != 1 || got.out != "pod \"a\" deleted: superseded\npod \"b\" deleted: superseded\n" ||
		!strings.Contains(got.err,
			"error: not found: there is no pod notebooc: did you mean notebook?\n") ||
		!strings.Contains(got.err, "error: 1 of 3 failed\n") {
		t.Errorf("of three names, one of which is wrong, it said %+v", got)
	}
	gone("a", "b")
	if got := dana("pod/nobody", "pod/noone"); got.code != 3 || got.out != "" ||
		strings.Count(got.err, "error: not found: there is no pod no") != 2 {
		t.Errorf("of two names that are wrong, it said %+v", got)
	}
	wantSaid(t, dana("pod/nobody", "pod/noone", "--ignore-not-found"), said{})

	wantSaid(t, dana("pods", "-l", "team=x", "-o", "name"), said{out: "pod/x-1\npod/x-2\n"})
	gone("x-1", "x-2")
	wantSaid(t, dana("po", "-l", "team=x"), said{err: "There is nothing to delete.\n"})
	wantSaid(t, dana("pods", "--field-selector", "metadata.name=d"),
		said{out: "pod \"d\" deleted: superseded\n"})
	gone("d")
	wantSaid(t, dana("pods", "--all"), said{out: "pod \"notebook\" deleted: superseded\n",
		err: "1 object is to be deleted.\n"})
	gone("notebook")

	got = dana("deploy/web", "pod/nobody")
	if got.code != 1 || !strings.Contains(got.err, "error: read deployment.apps web: ") ||
		!strings.Contains(got.err, "error: not found: there is no pod nobody") {
		t.Errorf("without a right, it said %+v", got)
	}
}

// What may be wrong with the words is found before anything is deleted.
func TestPluginDeletesNothingByMistake(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	shared.pod(t, ns, node, "kept", func(p *corev1.Pod) {
		p.Finalizers = []string{"example.com/kept"}
	})
	for name, tc := range map[string]struct {
		args string
		says string
	}{
		"all of no namespace": {"pods --all", "--all takes all there are in a namespace"},
		"an unknown kind": {"deploymenq/web",
			`there is no kind "deploymenq": did you mean deployment`},
		"many of an unknown kind": {"pod,jbos -l a=b", `there is no kind "jbos": did you mean jobs?`},
		"a kind without a name":   {"pods", "no name was specified"},
		"a name and all":          {"pod kept --all", "choose among one TYPE"},
		"labels and all":          {"pods -n default --all -l a=b", "setting 'all' parameter"},
		"nothing":                 {"", "name what is to be deleted"},
		"a wrong cascade":         {"pod/kept --cascade orphans", "did you mean orphan?"},
		"a wrong dry run":         {"pod/kept --dry-run sever", "did you mean server?"},
		"a wrong output":          {"pod/kept -o json", `-o is "json", it must be one of ["name"]`},
		"force and grace":         {"pod/kept --force --grace-period 5", "--force leaves no"},
		"no such file":            {"-f /nonexistent", "/nonexistent"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := shared.plugin(t, append([]string{"delete", "--reason", "superseded"},
				strings.Fields(tc.args)...)...)
			if got.code != 2 || got.out != "" || !strings.Contains(got.err, tc.says) {
				t.Errorf("it said %+v, want 2 and %q", got, tc.says)
			}
		})
	}
	t.Run("how long it waits", func(t *testing.T) {
		t.Parallel()
		got := shared.deletes(t, ns, "kept", "--grace-period", "1", "--timeout", "1s")
		if got.code != 1 || got.out != "pod \"kept\" deleted: superseded\n" ||
			got.err != "error: pod kept is still there after --timeout\n" {
			t.Errorf("of a pod that stays, it said %+v", got)
		}
		if got := shared.deletes(t, ns, "kept"); got.code != 1 ||
			!strings.Contains(got.err, "pod kept is being deleted already") {
			t.Errorf("of one that is being deleted, it said %+v", got)
		}
		if _, err := shared.client.CoreV1().Pods(ns).Patch(t.Context(), "kept",
			types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`),
			metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	})
}

// The reason of what owns pods reaches the pods, whatever the owner is called by, and by whatever
// the command finds it.
func TestPluginDeletesOwners(t *testing.T) {
	t.Parallel()
	carol := []string{"--as", "carol", "--as-group", "system:masters"}
	deleted := func(owner string) reason.Reason {
		return ownerDeleted("carol deleted "+owner+": superseded", "carol")
	}
	t.Run("a Deployment and a Job", func(t *testing.T) {
		t.Parallel()
		ns, node := shared.namespace(t), shared.node(t).Name
		job := shared.activeJob(t, ns, node).Name
		shared.replicated(t, ns, node)
		web := shared.runningPodOf(t, ns, "pod-template-hash")
		shared.eventually(t, "the Deployment says that it has a pod",
			func(ctx context.Context) (bool, error) {
				d, err := shared.client.AppsV1().Deployments(ns).Get(ctx, "web",
					metav1.GetOptions{})
				return err == nil && d.Status.Replicas > 0, err
			})
		shared.grantIn(t, ns, "olga", rbacv1.PolicyRule{APIGroups: []string{"apps", "batch"},
			Resources: []string{"deployments", "jobs"}, Verbs: []string{"get", "patch"}})
		shared.hasRight(t, "olga", ns, "batch", "jobs", "patch")
		got := shared.deletes(t, ns, "deploy/web", "job/work", "--as", "olga")
		if got.code != 1 || got.out != "" || strings.Count(got.err, "is forbidden") != 2 {
			t.Errorf("of owners that olga may not delete, it said %+v", got)
		}
		left, err := shared.client.BatchV1().Jobs(ns).Get(t.Context(), "work", metav1.GetOptions{})
		if err != nil || keys.Pod.Has(left.Annotations) {
			t.Errorf("the refused deletion left %v (%v)", left.Annotations, err)
		}
		sets, err := shared.client.AppsV1().ReplicaSets(ns).List(t.Context(), metav1.ListOptions{})
		if err != nil || len(sets.Items) != 1 || keys.Pod.Has(sets.Items[0].Annotations) {
			t.Errorf("the refused deletion left a reason on %+v (%v)", sets, err)
		}
		wantSaid(t, shared.deletes(t, ns, append(carol, "deploy/web", "job/work")...),
			said{out: "deployment.apps \"web\" deleted: superseded\n" +
				"job.batch \"work\" deleted: superseded\n"})
		shared.leaves(t, reason.Pod, ns+"/"+web, deleted("Deployment web"))
		shared.leaves(t, reason.Pod, ns+"/"+job, deleted("Job work"))
	})
	t.Run("what files describe", func(t *testing.T) {
		t.Parallel()
		ns, node := shared.namespace(t), shared.node(t).Name
		kind := shared.defineKinds(t, "workload.codeflare.dev", "appwrappers")[0]
		top := shared.owner(t, ns, kind, nil)
		pod := shared.activeJob(t, ns, node, func(j *batchv1.Job) {
			j.OwnerReferences = []metav1.OwnerReference{*top}
		})
		shared.pod(t, ns, node, "a")
		dir := t.TempDir()
		inner := filepath.Join(dir, "inner")
		if err := os.Mkdir(inner, 0o700); err != nil {
			t.Fatal(err)
		}
		for path, what := range map[string]string{
			filepath.Join(dir, "pod.yaml"): `
apiVersion: v1
kind: Pod
metadata: {name: a}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: absent}
`,
			filepath.Join(inner, "owner.yaml"): "apiVersion: " + top.APIVersion + "\nkind: " +
				top.Kind + "\nmetadata: {name: " + top.Name + "}\n",
		} {
			if err := os.WriteFile(path, []byte(what), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got := shared.deletes(t, ns, append(carol, "-R", "-f", dir)...)
		if got.code != 1 || !strings.Contains(got.out, "pod \"a\" deleted: superseded\n") ||
			!strings.Contains(got.out, "\""+top.Name+"\" deleted: superseded\n") ||
			!strings.Contains(got.err, "error: not found: there is no configmap absent\n") {
			t.Errorf("of what the files describe, it said %+v", got)
		}
		shared.leaves(t, reason.Pod, ns+"/a", reason.Reason{Code: reason.UserRequest,
			Text: "superseded", By: "carol"})
		shared.leaves(t, reason.Pod, ns+"/"+pod.Name, deleted(kind.Kind+" "+top.Name))
	})
	t.Run("a Job whose pods stay", func(t *testing.T) {
		t.Parallel()
		ns, node := shared.namespace(t), shared.node(t).Name
		pod := shared.activeJob(t, ns, node)
		wantSaid(t, shared.deletes(t, ns, append(carol, "jobs.batch", "work",
			"--cascade=orphan")...), said{out: "job.batch \"work\" deleted: superseded\n"})
		if _, err := shared.client.BatchV1().Jobs(ns).Get(t.Context(), "work",
			metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("it did not wait until the Job was gone: %v", err)
		}
		shared.alive(t, ns, pod.Name)
	})
}
