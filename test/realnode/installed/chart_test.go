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

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/agent/fault"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/realnode"
)

// values are those that a cluster of one real node needs. The agent is not to load modules into
// this machine's kernel.
var values = []string{
	"--namespace", namespace, "--wait", "--timeout=8m",
	"--set",
	"replicas=1,image.pullPolicy=Never,config.agent.loadModule=false,crds.upgrade=true",
	"--set", `nodeSelector.kubernetes\.io/hostname=` + nodeName, "--set",
	`agent.nodeSelector.kubernetes\.io/hostname=` + nodeName,
}

// TestChartInContainers is one installation's life. Each step needs those before it.
func TestChartInContainers(t *testing.T) {
	for _, step := range []struct {
		name string
		do   func(*testing.T, *cluster)
	}{
		{"README's path", followReadme},
		{"deletes", deletes},
		{"helm test", examine},
		{"definitions that cannot be upgraded hold up the upgrade", outdate},
		{"upgrade to have the agent", addAgent},
		{"uninstall", uninstall},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.do(t, shared) }) {
			t.Fatalf("step %q has failed: those after it need it", step.name)
		}
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

// A version of the records that no version of ours has ever had: as long as some are stored under
// it, the API server lets nobody take it out of the definition.
const foreignVersion = `[{"op": "add", "path": "/spec/versions/-", "value": {"name": "v0",
	"served": false, "storage": false, "schema": {"openAPIV3Schema": {"type": "object"}}}}]`

const definitionOfPods = "podobituaries.epitaph-k8s.io"

// upgrade adds the agent.
func (c *cluster) upgrade(t *testing.T) (string, error) {
	t.Helper()
	return realnode.Helm(t.Context(), c.Sandbox, c.dir, append([]string{"upgrade", release, c.chart,
		"--set", "agent.enabled=true"}, values...)...)
}

// outdate changes a definition so that this version's cannot be applied: the upgrade ends with what
// the API server says, and nothing of the release has changed.
func outdate(t *testing.T, c *cluster) {
	c.patchDefinition(t, types.JSONPatchType, foreignVersion)
	c.patchDefinition(t, types.MergePatchType,
		`{"status": {"storedVersions": ["v0", "v1alpha1"]}}`, "status")
	_, err := c.upgrade(t)
	for _, want := range []string{"pre-upgrade hooks failed", "apply the definition " + definitionOfPods,
		"storedVersions"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the upgrade ended with %v, want %q in it", err, want)
		}
	}
	sets, err := c.client.AppsV1().DaemonSets(namespace).List(t.Context(), metav1.ListOptions{})
	must(t, err)
	if len(sets.Items) != 0 {
		t.Errorf("the release has an agent after an upgrade that failed: %+v", sets.Items)
	}
	c.patchDefinition(t, types.MergePatchType, `{"status": {"storedVersions": ["v1alpha1"]}}`,
		"status")
}

func (c *cluster) patchDefinition(t *testing.T, kind types.PatchType, patch string,
	subresources ...string) {
	t.Helper()
	definition := metav1.PartialObjectMetadata{}
	definition.SetGroupVersionKind(apiextensionsv1.SchemeGroupVersion.WithKind(
		"CustomResourceDefinition"))
	definition.Name = definitionOfPods
	if len(subresources) > 0 {
		must(t, c.objects.SubResource(subresources[0]).Patch(t.Context(), &definition,
			client.RawPatch(kind, []byte(patch))))
		return
	}
	must(t, c.objects.Patch(t.Context(), &definition, client.RawPatch(kind, []byte(patch))))
}

// addAgent upgrades the release, its definitions first, to have the agent on a kernel whose configfs
// it cannot use: it starts, says so, and holds up no rollout.
func addAgent(t *testing.T, c *cluster) {
	began := time.Now()
	if _, err := c.upgrade(t); err != nil {
		c.describe(t)
		t.Fatal(err)
	}
	ran("helm_upgrade", began)
	c.hasItsOwnDefinitions(t)
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

// hasItsOwnDefinitions looks for what the upgrade has done before anything else, and for what it has
// taken away again.
func (c *cluster) hasItsOwnDefinitions(t *testing.T) {
	t.Helper()
	var definition apiextensionsv1.CustomResourceDefinition
	must(t, c.objects.Get(t.Context(), client.ObjectKey{Name: definitionOfPods}, &definition))
	if versions := definition.Spec.Versions; len(versions) != 1 || versions[0].Name != "v1alpha1" {
		t.Errorf("after the upgrade a PodObituary has the versions %+v, want ours alone", versions)
	}
	for _, object := range []client.Object{
		&batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "epitaph-definitions"}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "epitaph-definitions"}},
	} {
		object.SetNamespace(namespace)
		if err := c.objects.Get(t.Context(), client.ObjectKeyFromObject(object),
			object); !apierrors.IsNotFound(err) {
			t.Errorf("after the upgrade %T %s is left: %v", object, object.GetName(), err)
		}
	}
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
