//go:build linux

package chart

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/chart/kubelet"
	"github.com/epitaph-k8s/epitaph/test/kernel/link"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
	"github.com/epitaph-k8s/epitaph/test/witness"
)

const (
	poll = 50 * time.Millisecond
	// patience bounds every wait for something that must come about. It is no measure of speed.
	patience = 2 * time.Minute
	// release and namespace are what the documentation installs.
	release   = "epitaph"
	namespace = "epitaph-system"
	// appVersion is the chart's, nextVersion that of a program which comes after it.
	appVersion, nextVersion = "0.1.0", "0.2.0"
	// workNode is kwok's: what is deleted is there. The replicas are on nodes of their own.
	workNode = "work"
)

// A cluster has cert-manager, a node for pods that do not run, and two nodes whose pods are
// processes.
type cluster struct {
	*sandbox.Sandbox
	client   *kubernetes.Clientset
	objects  client.Client
	witness  *witness.Witness
	kubelets []*kubelet.Kubelet
	chart    string
	dir      string
	// discovery is where Helm and kubectl keep what they have learned of the cluster's kinds.
	discovery string
}

func startCluster(t *testing.T, dir string) *cluster {
	t.Helper()
	must(t, link.Up("lo"))
	must(t, link.Own(1, netip.MustParsePrefix("10.77.0.1/16")))
	checkout, err := binaries.Checkout()
	must(t, err)
	s, err := sandbox.Start(t.Context(), sandbox.Options{
		Out: os.Stdout, Nodes: []sandbox.NodeSpec{{Name: workNode}}, LeaveOutChart: true,
		LimitCriticalPods: true, Epitaph: sandbox.EpitaphOptions{LeaveOut: true},
	})
	must(t, err)
	c := &cluster{Sandbox: s, chart: filepath.Join(checkout, "charts", "epitaph"), dir: dir,
		discovery: filepath.Join(dir, "discovery")}
	t.Cleanup(func() {
		if t.Failed() {
			c.showLogs(t)
		}
		s.Stop()
	})
	c.client, err = kubernetes.NewForConfig(s.RESTConfig())
	must(t, err)
	c.objects, err = client.New(s.RESTConfig(), client.Options{})
	must(t, err)
	c.witness, err = witness.New(t.Context(), c.client)
	must(t, err)
	must(t, s.StartCertManager(t.Context()))
	must(t, s.InstallMonitoringDefinitions(t.Context()))
	c.installGatewayDefinitions(t)
	cordon := []byte(`{"spec":{"unschedulable":true}}`)
	_, err = c.client.CoreV1().Nodes().Patch(t.Context(), workNode, types.MergePatchType, cordon,
		metav1.PatchOptions{})
	must(t, err)
	for n := range 2 {
		c.addKubelet(t, n+1)
	}
	return c
}

// addKubelet makes a node whose pods are processes.
func (c *cluster) addKubelet(t *testing.T, number int) {
	t.Helper()
	name := fmt.Sprintf("node-%d", number)
	must(t, os.WriteFile(filepath.Join(c.Instances, name), []byte("running\n"), 0o644))
	own, err := kubernetes.NewForConfig(c.As("system:node:"+name, "system:nodes"))
	must(t, err)
	// It outlives the test's context: the sandbox ends its processes.
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	k, err := kubelet.Start(ctx, kubelet.Options{
		Node: name, Network: netip.MustParsePrefix(fmt.Sprintf("10.77.%d.0/24", number)),
		Client: own, Dir: filepath.Join(c.dir, name),
		Program: c.program,
		Launch:  c.Launch, WriteKubeconfig: c.WriteKubeconfig,
		Logf: func(format string, args ...any) {
			fmt.Printf("  kubelet of "+name+": "+format+"\n", args...)
		},
	})
	must(t, err)
	t.Cleanup(func() {
		cancel()
		k.Wait()
	})
	c.kubelets = append(c.kubelets, k)
}

// showLogs shows what the replicas and cert-manager have logged last.
func (c *cluster) showLogs(t *testing.T) {
	t.Helper()
	const lastBytes = 1500
	logs, _ := filepath.Glob(filepath.Join(c.Logs, "epitaph-manager-*.log"))
	for _, path := range append(logs, filepath.Join(c.Logs, "cert-manager.log")) {
		if log, err := os.ReadFile(path); err == nil {
			t.Logf("the end of %s:\n%s", path, log[max(0, len(log)-lastBytes):])
		}
	}
}

// as is a client of somebody who may do everything.
func (c *cluster) as(t *testing.T, user string) *kubernetes.Clientset {
	t.Helper()
	own, err := kubernetes.NewForConfig(c.As(user, "system:masters"))
	must(t, err)
	return own
}

// replicas are the manager's pods that run.
func (c *cluster) replicas(t *testing.T) []corev1.Pod {
	t.Helper()
	pods, err := c.client.CoreV1().Pods(namespace).List(t.Context(),
		metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=manager"})
	must(t, err)
	return pods.Items
}

func eventually(t *testing.T, what string, is func(context.Context) (bool, error)) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), poll, patience, true, is); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
