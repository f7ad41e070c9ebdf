package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// An agentProcess is `epitaph agent` on a node: with the token that the kubelet would ask for, for
// a pod of the chart's DaemonSet. There is no configfs where it looks, so it speaks to nobody, and
// says so.
type agentProcess struct {
	*cluster
	node string
	// address is where it shows its metrics, and answers the probes of the chart's DaemonSet.
	address string
	// args are those of every call.
	args    []string
	program string
}

func (c *cluster) agentProcess(t *testing.T, change ...func(*config.Config)) *agentProcess {
	t.Helper()
	dir, node := t.TempDir(), c.node(t).Name
	address, err := sandbox.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	a := &agentProcess{cluster: c, node: node, program: filepath.Join(dir, "epitaph"),
		address: address}
	if err := binaries.Product(t.Context(), os.Stdout, "epitaph", a.program); err != nil {
		t.Fatal(err)
	}
	k := config.Default()
	k.Namespace = ourNamespace
	k.Agent.Configfs, k.Agent.LoadModule, k.Agent.MetricsAddress = filepath.Join(dir, "none"),
		false, a.address
	k.Agent.LastBoot.Enabled, k.Agent.Shutdown.Enabled = false, false
	for _, f := range change {
		f(&k)
	}
	settings, err := yaml.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	file, kubeconfig := filepath.Join(dir, "config.yaml"), filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(file, settings, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.WriteKubeconfig(kubeconfig, c.podToken(t, node)); err != nil {
		t.Fatal(err)
	}
	a.args = []string{"agent", "--config", file, "--kubeconfig", kubeconfig, "--node", node}
	return a
}

// podToken is the token of a pod of the agent's on a node, or, without a name, of one that is on
// none.
func (c *cluster) podToken(t *testing.T, node string) string {
	t.Helper()
	pod := podSpec(ourNamespace, node, unique("agent"), func(p *corev1.Pod) {
		p.Spec.NodeName, p.Spec.NodeSelector, p.Spec.ServiceAccountName = node, nil,
			string(theAgent)
		if node == "" {
			p.Spec.SchedulerName = "nobody"
		}
	})
	made, err := c.client.CoreV1().Pods(ourNamespace).Create(t.Context(), pod,
		metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return c.agentToken(t, &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1",
		Name: made.Name, UID: made.UID})
}

// follows runs the agent, which stays, until the test ends, and returns what it logs.
func (a *agentProcess) follows(t *testing.T) (log func() string) {
	t.Helper()
	p, err := a.Launch(unique("epitaph-agent"), a.program, a.args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return func() string {
		content, err := os.ReadFile(p.LogPath)
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(content), `\`, "")
	}
}

// rehearses runs the agent once, without writing anything, and returns what it says.
func (a *agentProcess) rehearses(t *testing.T) string {
	t.Helper()
	said, err := exec.CommandContext(t.Context(), a.program,
		append(a.args, "--dry-run")...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(said)
}

// forgets takes off what the agent has written, so that it has something to write again.
func (a *agentProcess) forgets(t *testing.T) {
	t.Helper()
	patch := []byte(`{"metadata":{"annotations":{"` + reason.AgentKey + `":null}}}`)
	if _, err := a.client.CoreV1().Nodes().Patch(t.Context(), a.node, types.MergePatchType, patch,
		metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (a *agentProcess) answers(t *testing.T, path string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		"http://"+a.address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("the agent answers %s with %s", path, response.Status)
	}
}
