package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/epitaph-k8s/epitaph/agent"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/netconsolefs"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// What may be wrong with an installation, one after another on one cluster.
func TestPluginDoctorOfTheIll(t *testing.T) {
	t.Parallel()
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(c *config.Config) {
			quick(c)
			c.Webhook.FailurePolicy = "Fail"
		}}})
	c.eventually(t, "the webhook is asked", func(context.Context) (bool,
		error) {
		return c.plugin(t, "doctor").code == 0, nil
	})
	t.Run("agents", func(t *testing.T) { doctorReadsTheAgents(t, c) })
	t.Run("the webhook is away and fails closed", func(t *testing.T) { doctorKnowsWhatFails(t, c) })
	t.Run("rights over owners", func(t *testing.T) { doctorMissesRights(t, c) })
	t.Run("no position", func(t *testing.T) { doctorMissesThePosition(t, c) })
	t.Run("definitions", func(t *testing.T) { doctorMissesDefinitions(t, c) })
}

func doctorReadsTheAgents(t *testing.T, c *cluster) {
	// One agent is real, and has a kernel to set up; the others' words are written for them.
	n := c.node(t)
	c.listenAt(t, ourNamespace, "10.9.1.1")
	real := c.agentOn(t, c.agentOf(t, n.Name), n.Name, ourNamespace,
		netconsolefs.New(netconsolefs.Versions["6.14"]),
		func(o *agent.Options) { o.BootID = n.BootID })
	if r := pass(t, real); len(r.Faults) > 0 {
		t.Fatalf("faults %v", r.Faults)
	}
	var names [5]string
	for i, report := range []string{
		`{"bootID": "BOOT", "speaksTo": [], "troubles": [{"code": "NoListener", "text": "no listener: start one"}, {"code": "Odd` + "\\u001b[2J" + `", "text": "` + "\\u001b[2J" + `"}]}`,
		"no JSON\x1b[2J", strings.Repeat("x", 200<<10),
		`{"bootID": "another", "speaksTo": ["10.9.1.1:6666"]}`,
		`{"bootID": "BOOT", "speaksTo": ["10.9.1.1:6666"], "lastBoot": {"bootID": "b", "ended": "panic", "panic": "sysrq triggered crash"}}`,
	} {
		node := c.node(t)
		names[i] = node.Name
		c.patchNode(t, node.Name,
			map[string]any{"metadata": map[string]any{"annotations": map[string]string{
				reason.AgentKey: strings.ReplaceAll(report, "BOOT", node.BootID),
			}}})
	}
	silent := c.node(t).Name
	unreadable := slices.Sorted(slices.Values(names[1:3]))

	got := c.plugin(t, "doctor")
	for _, want := range []string{
		"look    agents                 there is no DaemonSet of agents in epitaph-system",
		"ok      agents' reports        6 of ",
		"no agent runs there, or it cannot write: ",
		"look    agents' reports        2 nodes have a report that cannot be read: " +
			strings.Join(unreadable, ", ") + "\n",
		"look    agents' reports        1 node has a report of another boot than the present one: the agent has not reported since the restart: " + names[3] + "\n",
		"look    agents' reports        1 node has a kernel that speaks to no listener: a panic is not heard: " + names[0] + "\n",
		"look    fault NoListener       1 node has it: " + names[0] +
			". The first says: no listener: start one\n",
		"look    fault unknown          1 node has it: " + names[0] + `. The first says: \x1b[2J` +
			"\n",
		"look    last boots             1 node has one that ended in a panic: " + names[4] +
			`. The first: sysrq triggered crash.`,
	} {
		if got.code != 0 || !strings.Contains(got.out, want) {
			t.Errorf("it lacks %q: %d\n%s", want, got.code, got.out)
		}
	}
	if strings.Contains(got.out, n.Name+",") || !strings.Contains(got.out, silent) ||
		strings.Contains(got.out, "\x1b") {
		t.Errorf("it names the well, or not the silent, or lets a terminal obey:\n%q", got.out)
	}
}

// What the doctor says of deletions while the webhook is away is what then happens to them.
func doctorKnowsWhatFails(t *testing.T, c *cluster) {
	if got := c.plugin(t, "doctor"); !strings.Contains(got.out,
		"8 webhooks; while Epitaph is away, these fail: deletions of pods, deletions of nodes, evictions (failurePolicy: Fail)\n") {
		t.Errorf("it does not say what fails:\n%s", got.out)
	}
	namespace := c.namespace(t)
	c.pod(t, namespace, c.node(t).Name, "kept")
	c.Epitaph.Stop()
	got := c.plugin(t, "doctor")
	for _, want := range []string{
		"BROKEN  webhook answers        no: the API server let a pod pass that it should have shown to the webhook, which it does not reach or not trust. " +
			"Until it does, these fail: deletions of pods, deletions of nodes, evictions (failurePolicy: Fail). The API server says: ",
		`failed calling webhook "evictions.epitaph-k8s.io"`, "connection refused",
	} {
		if got.code != 1 || !strings.Contains(got.out, want) {
			t.Errorf("it lacks %q: %d\n%s", want, got.code, got.out)
		}
	}
	err := c.client.CoreV1().Pods(namespace).Delete(t.Context(), "kept", metav1.DeleteOptions{})
	if err == nil || !strings.Contains(err.Error(),
		`failed calling webhook "pods.epitaph-k8s.io"`) {
		t.Errorf("the deletion of a pod ends with %v, want that it fails as the doctor says", err)
	}
}

// Without a right over owners their pods say less, and nothing else tells.
func doctorMissesRights(t *testing.T, c *cluster) {
	const remedy = ". Install the chart anew, or grant that: docs/install.md, What it may do\n"
	for _, tc := range []struct {
		whose account
		right withdrawal
		says  string
	}{
		{theManager, withdrawal{resource: "ownerobituaries", verb: "create"},
			"BROKEN  rights over owners     the manager may not get ownerobituaries.epitaph-k8s.io, list ownerobituaries.epitaph-k8s.io, " +
				"watch ownerobituaries.epitaph-k8s.io, create ownerobituaries.epitaph-k8s.io, update ownerobituaries.epitaph-k8s.io, " +
				"delete ownerobituaries.epitaph-k8s.io: pods whose owner is deleted or scaled do not say by whom" + remedy},
		{theManager, withdrawal{resource: "jobs", verb: "get"},
			"look    rights over owners     the manager may not get jobs.batch, get cronjobs.batch: who deletes such an owner is not recorded" + remedy},
		{theOwnersRole, withdrawal{resource: "rayjobs", verb: "get"},
			"look    rights over owners     the manager may not get rayjobs.ray.io, get rayclusters.ray.io, get rayservices.ray.io: " +
				"who deletes such an owner is not recorded" + remedy},
	} {
		putBack := c.withdraw(t, tc.whose, tc.right)
		c.doctorSays(t, tc.says)
		putBack()
	}
	c.doctorSays(t, "ok      rights over owners     ")
}

func doctorMissesThePosition(t *testing.T, c *cluster) {
	if err := c.client.CoreV1().ConfigMaps(ourNamespace).Delete(t.Context(),
		"epitaph-audit", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, want := c.plugin(t, "doctor"),
		"look    recorder               there is no ConfigMap epitaph-system/epitaph-audit: nothing has been recorded yet"; !strings.Contains(got.out, want) {
		t.Errorf("it lacks %q:\n%s", want, got.out)
	}
}

// A definition that is older than the plugin loses fields; one that is not there loses everything.
func doctorMissesDefinitions(t *testing.T, c *cluster) {
	client, err := dynamic.NewForConfig(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	definitions := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io",
		Version:  "v1",
		Resource: "customresourcedefinitions"})
	old, err := definitions.Get(t.Context(), "podobituaries.epitaph-k8s.io", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	versions, _, _ := unstructured.NestedSlice(old.Object, "spec", "versions")
	unstructured.RemoveNestedField(versions[0].(map[string]any),
		"schema", "openAPIV3Schema", "properties", "spec", "properties", "amended")
	if err := unstructured.SetNestedSlice(old.Object, versions, "spec", "versions"); err != nil {
		t.Fatal(err)
	}
	if _, err := definitions.Update(t.Context(), old, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	apply :=
		"kubectl apply --server-side -f charts/epitaph/crds (Helm installs them once, and never upgrades them)\n"
	c.doctorSays(t,
		"look    fields of the CRDs     PodObituary is older than this plugin: what Epitaph of the same version writes into spec.amended is lost: "+apply)

	for _, name := range []string{"podobituaries.epitaph-k8s.io", "nodeobituaries.epitaph-k8s.io",
		"ownerobituaries.epitaph-k8s.io"} {
		if err := definitions.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	c.doctorSays(t,
		"BROKEN  CRD PodObituary        is not installed: nothing can be recorded or told: "+apply+
			"BROKEN  CRD NodeObituary       is not installed: nothing can be recorded or told: "+
			apply+
			"BROKEN  CRD OwnerObituary      is not installed: pods whose owner is deleted or scaled do not say by whom: "+
			apply)
	if got := c.plugin(t, "list"); got.code != 1 ||
		!strings.Contains(got.err,
			"Epitaph's custom resources are not installed in this cluster, or not in this version: kubectl epitaph doctor") {
		t.Errorf("without the definitions, list said %+v", got)
	}
}

// doctorSays waits until the API server has taken notice.
func (c *cluster) doctorSays(t *testing.T, want string) {
	t.Helper()
	var got said
	c.eventually(t, fmt.Sprintf("the doctor says %q", want), func(context.Context) (bool, error) {
		got = c.plugin(t, "doctor")
		return strings.Contains(got.out, want), nil
	})
	if broken := strings.HasPrefix(want, "BROKEN"); broken && got.code != 1 {
		t.Errorf("it ended with %d:\n%s", got.code, got.out)
	}
}
