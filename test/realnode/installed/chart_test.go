//go:build linux

package installed

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/agent/fault"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/realnode"
)

// values are those that a cluster of one real node needs. The agent is not to load modules into
// this machine's kernel.
var values = []string{
	"--namespace", namespace, "--wait", "--timeout=8m",
	"--set",
	"replicas=1,certificates.mode=helm,image.pullPolicy=Never,config.agent.loadModule=false",
	"--set", `nodeSelector.kubernetes\.io/hostname=` + nodeName, "--set",
	`agent.nodeSelector.kubernetes\.io/hostname=` + nodeName,
}

// TestChartInContainers is one installation's life. Each step needs those before it.
func TestChartInContainers(t *testing.T) {
	for _, step := range []struct {
		name string
		do   func(*testing.T, *cluster)
	}{
		{"install", install},
		{"deletes", deletes},
		{"helm test", examine},
		{"upgrade to have the agent", addAgent},
		{"uninstall", uninstall},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.do(t, shared) }) {
			t.Fatalf("step %q has failed: those after it need it", step.name)
		}
	}
}

func install(t *testing.T, c *cluster) {
	began := time.Now()
	c.helm(t, append([]string{"install", release, c.chart, "--create-namespace"}, values...)...)
	ran("helm_install", began)
	if pods := c.pods(t, "manager"); len(pods) != 1 || pods[0].Status.Phase != corev1.PodRunning {
		t.Fatalf("the manager's pods are %+v", pods)
	}
}

// deletes are what Epitaph is for.
func deletes(t *testing.T, c *cluster) {
	const name, alice = "work", "alice"
	pods := c.as(t, alice).CoreV1().Pods(metav1.NamespaceDefault)
	_, err := pods.Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			NodeSelector: map[string]string{corev1.LabelHostname: nodeName},
			Containers: []corev1.Container{{Name: "main", Image: realnode.WorkerImage,
				ImagePullPolicy: corev1.PullNever}},
		}}, metav1.CreateOptions{})
	must(t, err)
	eventually(t, "the pod runs", func(ctx context.Context) (bool, error) {
		p, err := pods.Get(ctx, name, metav1.GetOptions{})
		return err == nil && p.Status.Phase == corev1.PodRunning, nil
	})
	// The API server learns of a new webhook from a watch.
	eventually(t, "a delete without a reason is denied", func(ctx context.Context) (bool, error) {
		err := pods.Delete(ctx, name, metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
		return apierrors.IsForbidden(err), nil
	})
	why, err := json.Marshal(
		map[string]any{"metadata": map[string]any{
			"annotations": map[string]string{
				reason.DefaultKeys().Pod.Reason: "the experiment is over"}}})
	must(t, err)
	_, err = pods.Patch(t.Context(), name, types.MergePatchType, why, metav1.PatchOptions{})
	must(t, err)
	must(t, pods.Delete(t.Context(), name, metav1.DeleteOptions{}))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d, err := c.witness.Sees(ctx, reason.Pod, metav1.NamespaceDefault+"/"+name)
	must(t, err)
	if want := (reason.Reason{Code: reason.UserRequest,
		Text: "the experiment is over", By: alice}); d.Reason != want {
		t.Errorf("it left with\n  %+v, want\n  %+v", d.Reason, want)
	}
}

// examine runs the plugin of the image in a container.
func examine(t *testing.T, c *cluster) {
	said := c.helm(t, "test", release, "--namespace", namespace, "--logs", "--timeout=5m")
	if want :=
		"ok      webhook answers        yes: the API server reaches it and trusts it"; !strings.Contains(said, want) {
		t.Errorf("helm test printed\n%s\nwithout %q", said, want)
	}
}

// addAgent has the agent on a kernel whose configfs it cannot use: it starts, says so, and holds up
// no rollout.
func addAgent(t *testing.T, c *cluster) {
	began := time.Now()
	c.helm(t, append([]string{"upgrade", release, c.chart, "--set", "agent.enabled=true"},
		values...)...)
	ran("helm_upgrade", began)
	agents := c.pods(t, "agent")
	if len(agents) != 1 || agents[0].Status.Phase != corev1.PodRunning ||
		agents[0].Status.ContainerStatuses[0].RestartCount != 0 {
		t.Fatalf("the agent's pods are %+v", agents)
	}
	want := string(fault.NoConfigfs)
	if _, err := os.Stat("/sys/kernel/config"); !errors.Is(err, fs.ErrNotExist) {
		// the node hides this machine's, and the agent may mount none
		want = string(fault.NoPermission)
	}
	var report string
	eventually(t, "the agent reports "+want, func(ctx context.Context) (bool, error) {
		node, err := c.client.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
		if err == nil {
			report = node.Annotations[reason.AgentKey]
		}
		return strings.Contains(report, want), nil
	})
}

// uninstall ends containers: preStop, SIGTERM, and the kubelet's final delete.
func uninstall(t *testing.T, c *cluster) {
	began := time.Now()
	c.helm(t, "uninstall", release, "--namespace", namespace, "--wait", "--timeout=8m")
	ran("helm_uninstall", began)
	eventually(t, "Epitaph's pods are gone", func(context.Context) (bool,
		error) {
		return len(c.pods(t, "")) == 0, nil
	})
	hooks, err := c.client.AdmissionregistrationV1().MutatingWebhookConfigurations().List(
		t.Context(), metav1.ListOptions{})
	must(t, err)
	if len(hooks.Items) != 0 {
		t.Errorf("webhook configurations are left: %+v", hooks.Items)
	}
}
