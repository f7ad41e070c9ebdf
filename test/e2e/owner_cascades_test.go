package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/binaries"
)

// workloads are a Deployment, a Job, a StatefulSet and a CronJob with a Job of its own, as they
// stand in a file; %s stands for the node of their pods. What a deployment tool would add to their
// metadata is MARKS.
const workloads = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, MARKS}
spec:
  replicas: 2
  selector: {matchLabels: {of: web}}
  template:
    metadata: {labels: {of: web}}
    spec: {nodeSelector: {kubernetes.io/hostname: %[1]s}, terminationGracePeriodSeconds: 1, containers: [{name: main, image: "registry.example/work:1"}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, MARKS}
spec:
  selector: {matchLabels: {of: db}}
  template:
    metadata: {labels: {of: db}}
    spec: {nodeSelector: {kubernetes.io/hostname: %[1]s}, terminationGracePeriodSeconds: 1, containers: [{name: main, image: "registry.example/work:1"}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: etl, MARKS}
spec:
  template:
    metadata: {labels: {of: etl}}
    spec: {restartPolicy: Never, nodeSelector: {kubernetes.io/hostname: %[1]s}, terminationGracePeriodSeconds: 1, containers: [{name: main, image: "registry.example/work:1"}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, MARKS}
spec:
  schedule: "0 0 1 1 *"
  jobTemplate:
    spec:
      template:
        metadata: {labels: {of: nightly}}
        spec: {restartPolicy: Never, nodeSelector: {kubernetes.io/hostname: %[1]s}, terminationGracePeriodSeconds: 1, containers: [{name: main, image: "registry.example/work:1"}]}
`

// ownersOf names the workloads by the label of their pods.
var ownersOf = map[string]string{"web": "Deployment web", "db": "StatefulSet db", "etl": "Job etl",
	"nightly": "CronJob nightly"}

// A cascade is a way in which workloads are deleted.
type cascade struct {
	// marks are those of a deployment tool, application what they say.
	marks, application string
	// by is who deletes, and does so.
	by     string
	delete func(t *testing.T, ns, file string)
	// install makes the workloads; nil creates what is in the file.
	install func(t *testing.T, ns, file string)
}

// prunes has a program delete each workload, as deployment tools do.
func prunes(by string, how metav1.DeletionPropagation) func(*testing.T, string, string) {
	return func(t *testing.T, ns, _ string) {
		t.Helper()
		as, o := shared.as(t, by), metav1.DeleteOptions{PropagationPolicy: &how}
		for _, one := range []func(*kubernetes.Clientset) error{
			func(c *kubernetes.Clientset) error {
				return c.AppsV1().Deployments(ns).Delete(t.Context(), "web", o)
			},
			func(c *kubernetes.Clientset) error {
				return c.AppsV1().StatefulSets(ns).Delete(t.Context(), "db", o)
			},
			func(c *kubernetes.Clientset) error {
				return c.BatchV1().Jobs(ns).Delete(t.Context(), "etl", o)
			},
			func(c *kubernetes.Clientset) error {
				return c.BatchV1().CronJobs(ns).Delete(t.Context(), "nightly", o)
			},
		} {
			if err := one(as); err != nil {
				t.Error(err)
			}
		}
	}
}

func kubectls(args ...string) func(*testing.T, string, string) {
	return func(t *testing.T, ns, file string) {
		t.Helper()
		words := append([]string{}, args...)
		for n := range words {
			words[n] = strings.ReplaceAll(words[n], "FILE", file)
		}
		if out, err := shared.kubectl(t, ns, words...); err != nil {
			t.Fatalf("kubectl %q: %s (%v)", words, out, err)
		}
	}
}

// helm runs it as alice, with a chart that has the file.
func helm(args ...string) func(*testing.T, string, string) {
	return func(t *testing.T, ns, file string) {
		t.Helper()
		programs, err := binaries.Ensure(t.Context(), os.Stdout, binaries.ChartTools)
		if err != nil {
			t.Fatal(err)
		}
		words := append([]string{"--kubeconfig", shared.Kubeconfig, "--kube-as-user", "alice",
			"--kube-as-group", "system:masters", "--namespace", ns}, args...)
		for n := range words {
			words[n] = strings.ReplaceAll(words[n], "CHART", filepath.Dir(filepath.Dir(file)))
		}
		cmd := exec.CommandContext(t.Context(), programs["helm"], words...)
		cmd.Env = os.Environ()
		for _, home := range []string{"HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"} {
			cmd.Env = append(cmd.Env, home+"="+t.TempDir())
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("helm %q: %s (%v)", words, out, err)
		}
	}
}

// However somebody deletes what pods belong to, by the tools that people use, their name and what
// had deployed it are on each pod and in its record. What a program does is not recorded.
func TestCascadesNameWhoDeleted(t *testing.T) {
	t.Parallel()
	const (
		kustomizer = "system:serviceaccount:flux-system:kustomize-controller"
		releaser   = "system:serviceaccount:flux-system:helm-controller"
	)
	for name, c := range map[string]cascade{
		"kubectl delete -f": {by: "alice", delete: kubectls("delete", "--wait=false", "-f", "FILE")},
		"kubectl delete in the foreground": {by: "alice", delete: kubectls("delete", "--wait=false",
			"--cascade=foreground", "-f", "FILE")},
		"helm uninstall": {by: "alice", application: "Helm release shop",
			install: helm("install", "shop", "CHART"), delete: helm("uninstall", "shop")},
		"Argo CD prunes what it annotates": {by: argoCD, application: "Argo CD application shop",
			marks:  `annotations: {argocd.argoproj.io/tracking-id: "shop:apps/Deployment:prod/web"}`,
			delete: prunes(argoCD, metav1.DeletePropagationForeground)},
		"Argo CD prunes what it labels": {by: argoCD, application: "Argo CD application shop",
			marks:  `labels: {app.kubernetes.io/instance: shop}`,
			delete: prunes(argoCD, metav1.DeletePropagationBackground)},
		"Flux prunes a Kustomization": {by: kustomizer,
			application: "Flux Kustomization flux-system/apps",
			marks: `labels: {kustomize.toolkit.fluxcd.io/name: apps, ` +
				`kustomize.toolkit.fluxcd.io/namespace: flux-system}`,
			delete: prunes(kustomizer, metav1.DeletePropagationBackground)},
		"Flux uninstalls a HelmRelease": {by: releaser,
			application: "Flux HelmRelease flux-system/shop",
			marks: `labels: {helm.toolkit.fluxcd.io/name: shop, ` +
				`helm.toolkit.fluxcd.io/namespace: flux-system}, ` +
				`annotations: {meta.helm.sh/release-name: shop}`,
			delete: prunes(releaser, metav1.DeletePropagationBackground)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns, file := shared.namespace(t), filepath.Join(t.TempDir(), "templates", "all.yaml")
			pods := c.installed(t, ns, file)
			c.delete(t, ns, file)
			person := c.by == "alice"
			for _, p := range pods {
				says := c.by + " deleted " + ownersOf[p.Labels["of"]]
				if c.application != "" {
					says += " of " + c.application
				}
				want := ownerDeleted(says, c.by)
				shared.leaves(t, reason.Pod, ns+"/"+p.Name, want)
				if !person {
					continue
				}
				shared.wantRecord(t, ns, p.Name, want)
				o := shared.recorded(t, ns, p.Name)
				if o.Spec.Class != reason.Routine.String() ||
					o.Spec.DeletedBy != kubeSystem+"generic-garbage-collector" {
					t.Errorf("pod %s is on record as %s, deleted by %q", p.Name, o.Spec.Class,
						o.Spec.DeletedBy)
				}
			}
			if !person {
				shared.onlyThisIsRecorded(t, ns)
			}
		})
	}
	t.Run("a program deletes the namespace", func(t *testing.T) {
		t.Parallel()
		ns := shared.namespace(t)
		pods := cascade{}.installed(t, ns, filepath.Join(t.TempDir(), "templates", "all.yaml"))
		if err := shared.as(t, runner).CoreV1().Namespaces().Delete(t.Context(), ns,
			metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, p := range pods {
			shared.leaves(t, reason.Pod, ns+"/"+p.Name, reason.New(reason.Pod,
				reason.NamespaceDeleted, runner+" deleted Namespace "+ns, runner))
		}
	})
	t.Run("a person deletes an orphan", func(t *testing.T) {
		t.Parallel()
		ns, node := shared.namespace(t), shared.node(t).Name
		pod := shared.replicated(t, ns, node)
		kubectls("delete", "deployment/web", "--cascade=orphan")(t, ns, "")
		p, err := shared.client.CoreV1().Pods(ns).Get(t.Context(), pod, metav1.GetOptions{})
		if err != nil || p.DeletionTimestamp != nil {
			t.Fatalf("the orphan goes: %+v (%v)", p.ObjectMeta, err)
		}
		set := metav1.GetControllerOf(p).Name
		kubectls("delete", "--wait=false", "replicaset/"+set)(t, ns, "")
		shared.leaves(t, reason.Pod, ns+"/"+pod,
			ownerDeleted("alice deleted ReplicaSet "+set, "alice"))
	})
}

// installed makes the workloads, of the file as it stands in a chart, and returns their pods once
// their owners know that they run.
func (c cascade) installed(t *testing.T, ns, file string) []corev1.Pod {
	t.Helper()
	node, chart := shared.node(t).Name, filepath.Dir(filepath.Dir(file))
	marks := strings.ReplaceAll(workloads, ", MARKS", strings.TrimSuffix(", "+c.marks, ", "))
	for path, content := range map[string]string{
		file:                               fmt.Sprintf(marks, node),
		filepath.Join(chart, "Chart.yaml"): "apiVersion: v2\nname: shop\nversion: 1.0.0\n",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	install := c.install
	if install == nil {
		install = kubectls("create", "-f", "FILE")
	}
	install(t, ns, file)
	kubectls("create", "job", "--from=cronjob/nightly", "nightly-1")(t, ns, "")
	pods := shared.running(t, ns, 5, "")
	shared.eventually(t, "the owners know of their pods", func(ctx context.Context) (bool, error) {
		d, err := shared.client.AppsV1().Deployments(ns).Get(ctx, "web", metav1.GetOptions{})
		if err != nil || d.Status.Replicas != 2 {
			return false, err
		}
		s, err := shared.client.AppsV1().StatefulSets(ns).Get(ctx, "db", metav1.GetOptions{})
		if err != nil || s.Status.Replicas != 1 {
			return false, err
		}
		for _, name := range []string{"etl", "nightly-1"} {
			j, err := shared.client.BatchV1().Jobs(ns).Get(ctx, name, metav1.GetOptions{})
			if err != nil || j.Status.Active != 1 {
				return false, err
			}
		}
		return true, nil
	})
	return pods
}

// onlyThisIsRecorded removes another pod of the namespace, and wants its record to be the only one.
func (c *cluster) onlyThisIsRecorded(t *testing.T, ns string) {
	t.Helper()
	c.pod(t, ns, c.node(t).Name, "this")
	c.remove(t, c.as(t, runner), ns, "this")
	c.recorded(t, ns, "this")
	if all := c.obituaries(t, ns); len(all) != 1 {
		t.Errorf("%d pods are on record, want one", len(all))
	}
}
