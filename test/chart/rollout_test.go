//go:build linux

package chart

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// A changed value replaces the pods of the programs that have read it when they started, and of no
// other: a setting of the collector must not be a rollout of an agent on every node.
func rollouts(t *testing.T, c *cluster) {
	all := []string{"--set=agent.enabled=true,config.archive.enabled=true",
		"--set=cloud.enabled=true,cloud.ask={aws}"}
	before := podTemplates(t, c.template(t, all...))
	for value, want := range map[string][]string{
		"config.gc.workers=8":       {"epitaph-manager"},
		"config.webhook.timeout=7s": {"epitaph-manager"},
		"config.webhook.mode=Audit": nil,
		"config.webhook.rules[0].name=a,config.webhook.rules[0].action=Fill": nil,
		"config.webhook.neverDeniedNamespaces={kube-system,ops}":             nil,
		"config.agent.maxListeners=3":                                        {"epitaph-agent"},
		"config.metrics.secure=false":                                        {"epitaph-archive", "epitaph-manager"},
		"config.archive.holdFactor=5":                                        {"epitaph-archive", "epitaph-manager"},
		"config.client.qps=7":                                                {"epitaph-agent", "epitaph-archive", "epitaph-manager"},
		"podAnnotations.a=b":                                                 {"epitaph-manager"},
		"agent.extraArgs[0]=--v=1":                                           {"epitaph-agent"},
		"agent.remove=true":                                                  {"epitaph-agent"},
		"config.archive.receivers[0].name=a,config.archive.receivers[0].format=OTLP": {"epitaph-archive"},
		"archive.extraEnv[0].name=A": {"epitaph-archive"},
		"cloud.ask={gcp}":            {"epitaph-cloud"},
		"replicas=3":                 nil,
	} {
		var replaced []string
		for name, pod := range podTemplates(t, c.template(t,
			slices.Concat(all, []string{"--set=" + value})...)) {
			if !cmp.Equal(pod, before[name]) {
				replaced = append(replaced, name)
			}
		}
		slices.Sort(replaced)
		if !slices.Equal(replaced, want) {
			t.Errorf("%s replaces the pods of %v, want those of %v", value, replaced, want)
		}
	}
}

// podTemplates are the pods of each workload.
func podTemplates(t *testing.T,
	objects []*unstructured.Unstructured) map[string]corev1.PodTemplateSpec {
	t.Helper()
	all := map[string]corev1.PodTemplateSpec{}
	for _, name := range []string{"epitaph-manager", "epitaph-archive", "epitaph-cloud"} {
		var d appsv1.Deployment
		if into(t, objects, "Deployment", name, &d) {
			all[name] = d.Spec.Template
		}
	}
	var d appsv1.DaemonSet
	if into(t, objects, "DaemonSet", "epitaph-agent", &d) {
		all["epitaph-agent"] = d.Spec.Template
	}
	return all
}

// What an owner adds to a workload is there, beside what the chart needs itself.
func ownPods(t *testing.T, c *cluster) {
	objects := c.template(t, "--values", filepath.Join(c.chart, "ci", "own-pods-values.yaml"))
	pods := podTemplates(t, objects)
	// How many arguments and volumes each has.
	own := map[string][2]int{"epitaph-manager": {4, 3}, "epitaph-agent": {4, 3},
		"epitaph-archive": {4, 3}, "epitaph-cloud": {6, 1}}
	if len(pods) != len(own) {
		t.Fatalf("there are %d workloads, want %d", len(pods), len(own))
	}
	for name, pod := range pods {
		program := pod.Spec.Containers[0]
		if got := program.Args[len(program.Args)-1]; got != "--v=1" || len(program.Args) != own[name][0] {
			t.Errorf("%s is started with %q, want --v=1 at the end", name, program.Args)
		}
		if got := program.Env[len(program.Env)-1].Name; got != "HTTPS_PROXY" {
			t.Errorf("%s has the environment %v", name, program.Env)
		}
		mount := program.VolumeMounts[len(program.VolumeMounts)-1]
		volume := pod.Spec.Volumes[len(pod.Spec.Volumes)-1]
		if mount.Name != "extra" || volume.Name != "extra" || len(pod.Spec.Volumes) < own[name][1] {
			t.Errorf("%s mounts %v of %v", name, program.VolumeMounts, pod.Spec.Volumes)
		}
		var account corev1.ServiceAccount
		if !into(t, objects, "ServiceAccount", pod.Spec.ServiceAccountName, &account) ||
			"epitaph-"+account.Annotations["example.com/role"] != name {
			t.Errorf("the account of %s is annotated with %v", name, account.Annotations)
		}
		spread := pod.Spec.TopologySpreadConstraints
		if name != "epitaph-agent" && (len(spread) != 1 || spread[0].TopologyKey != "rack" ||
			!cmp.Equal(spread[0].LabelSelector.MatchLabels["app.kubernetes.io/component"],
				pod.Labels["app.kubernetes.io/component"])) {
			t.Errorf("%s is spread by %v", name, spread)
		}
	}
	strategies(t, objects)
}

// strategies wants those of own-pods-values.yaml, and the number of revisions there.
func strategies(t *testing.T, objects []*unstructured.Unstructured) {
	t.Helper()
	for _, name := range []string{"epitaph-manager", "epitaph-archive", "epitaph-cloud"} {
		var d appsv1.Deployment
		if !into(t, objects, "Deployment", name, &d) ||
			d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType ||
			*d.Spec.RevisionHistoryLimit != 3 {
			t.Errorf("%s is replaced by %v, and keeps %v", name, d.Spec.Strategy,
				d.Spec.RevisionHistoryLimit)
		}
	}
	var d appsv1.DaemonSet
	if !into(t, objects, "DaemonSet", "epitaph-agent", &d) ||
		d.Spec.UpdateStrategy.Type != appsv1.OnDeleteDaemonSetStrategyType ||
		*d.Spec.RevisionHistoryLimit != 3 {
		t.Errorf("the agent is replaced by %v, and keeps %v", d.Spec.UpdateStrategy,
			d.Spec.RevisionHistoryLimit)
	}
}
