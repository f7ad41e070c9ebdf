package e2e

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/agent"
	"github.com/epitaph-k8s/epitaph/agent/configfs"
	"github.com/epitaph-k8s/epitaph/agent/fault"
	"github.com/epitaph-k8s/epitaph/agent/route"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
	"github.com/epitaph-k8s/epitaph/test/netconsolefs"
)

// pass makes everything right once, and again while the API server of a busy machine did not
// answer in time: the agent passes again by itself, too.
func pass(t *testing.T, a *agent.Agent) agent.Result {
	t.Helper()
	for range 10 {
		r := a.Pass(t.Context())
		if !slices.ContainsFunc(r.Faults, func(f *fault.Fault) bool {
			return errors.Is(f, context.DeadlineExceeded)
		}) {
			return r
		}
		t.Log("once more: ", r.Faults)
	}
	t.Fatal("the API server never answers in time")
	return agent.Result{}
}

// agentOn is an agent with a kernel of this version, which every listener is reachable from.
func (c *cluster) agentOn(t *testing.T, as *rest.Config, node, namespace string,
	kernel configfs.Files, change ...func(*agent.Options)) *agent.Agent {
	t.Helper()
	api, err := client.New(as, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	settings := config.Default().Agent
	settings.ProcSys = t.TempDir()
	for name, value := range map[string]string{"panic": "10", "printk": "7\t4\t1\t7"} {
		file := filepath.Join(settings.ProcSys, "kernel", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755),
			os.WriteFile(file, []byte(value), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	o := agent.Options{
		Config: settings, Node: node, BootID: "boot-of-" + node, Kernel: "6.12.1",
		Source: agent.Service{Reader: api, Namespace: namespace, Name: "epitaph-netconsole"},
		Cluster: &agent.Cluster{Live: api, Terminator: termination.New(api, keys,
			clock.RealClock{})},
		Files: func() (configfs.Files, error) { return kernel, nil },
		Way: func(netip.Addr) (route.Way, error) {
			return route.Way{Device: "eth0", Source: netip.MustParseAddr("10.0.0.2"),
				NextHop: "02:00:00:00:00:01"}, nil
		},
		Own:   func() ([]netip.Addr, error) { return nil, nil },
		Hold:  func(context.Context, int) (io.Closer, error) { return io.NopCloser(nil), nil },
		Proc:  settings.ProcSys,
		Clock: clock.RealClock{}, Registerer: prometheus.NewRegistry(), Log: logr.Discard(),
	}
	for _, f := range change {
		f(&o)
	}
	a, err := agent.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// listenAt makes the Service's endpoints what they are given as: addresses, each on a node named
// after it.
func (c *cluster) listenAt(t *testing.T, namespace string, addresses ...string) {
	t.Helper()
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: "epitaph-netconsole-1", Namespace: namespace,
			Labels: map[string]string{discoveryv1.LabelServiceName: "epitaph-netconsole"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{
			{Name: ptr.To("netconsole"), Protocol: ptr.To(corev1.ProtocolUDP),
				Port: ptr.To(int32(6666))}},
	}
	for _, a := range addresses {
		slice.Endpoints = append(slice.Endpoints,
			discoveryv1.Endpoint{Addresses: []string{a},
				NodeName: ptr.To("node-" + strings.ReplaceAll(a, ".", "-"))})
	}
	all := c.client.DiscoveryV1().EndpointSlices(namespace)
	if _, err := all.Update(t.Context(), slice, metav1.UpdateOptions{}); err == nil {
		return
	}
	if _, err := all.Create(t.Context(), slice, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) report(t *testing.T, node string) (r termination.Report, token string) {
	t.Helper()
	n, err := c.client.CoreV1().Nodes().Get(t.Context(), node, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r, _, err = termination.ReportOf(n)
	if err != nil {
		t.Fatal(err)
	}
	return r, n.Annotations[reason.TokenKey]
}

// told fails the test when the kernel is given a secret that the API server does not know yet.
type told struct {
	*netconsolefs.Kernel
	known  func() string
	bootID string
	t      *testing.T
}

func (k told) Write(file, value string) error {
	if strings.HasSuffix(file, "/"+config.TokenUserdata+"/value") {
		if k.known() != config.TokenAnnotation(k.bootID, value) {
			k.t.Error("the kernel is given a secret whose hash is not on the Node")
		}
	}
	return k.Kernel.Write(file, value)
}

func TestAgentTellsTheNode(t *testing.T) {
	t.Parallel()
	namespace, node := shared.namespace(t), shared.node(t)
	shared.listenAt(t, namespace, "10.9.0.1")
	kernel := netconsolefs.New(netconsolefs.Versions["6.14"])
	files := told{kernel, func() string { _, token := shared.report(t, node.Name); return token },
		"boot-of-" + node.Name, t}
	a := shared.agentOn(t, shared.RESTConfig(), node.Name, namespace, files)
	if r := pass(t, a); len(r.Faults) > 0 {
		t.Fatalf("faults %v", r.Faults)
	}
	report, token := shared.report(t, node.Name)
	want := termination.Report{BootID: "boot-of-" + node.Name,
		Kernel: "6.12.1", SpeaksTo: []string{"10.9.0.1:6666"}}
	if diff := cmp.Diff(want, report); diff != "" {
		t.Errorf("the report (-want +got):\n%s", diff)
	}
	secret, _, _ := kernel.Value(kernel.Names()[0], config.TokenUserdata)
	if len(secret) != 32 || token != config.TokenAnnotation("boot-of-"+node.Name, secret) {
		t.Errorf("the kernel sends %q, and the Node says %q", secret, token)
	}

	// The listener moves, and an agent that has just started follows: with the secret that the
	// kernel has.
	shared.listenAt(t, namespace, "10.9.0.2")
	a = shared.agentOn(t, shared.RESTConfig(), node.Name, namespace, files)
	if r := pass(t, a); len(r.Faults) > 0 {
		t.Fatalf("faults %v", r.Faults)
	}
	if got := kernel.Speaking(); !slices.Equal(got,
		[]string{"10.9.0.2:6666 by 02:00:00:00:00:01"}) {
		t.Errorf("the kernel speaks to %v", got)
	}
	if again, _, _ := kernel.Value(kernel.Names()[0], config.TokenUserdata); again != secret {
		t.Errorf("the secret was %q and is %q", secret, again)
	}
	if report, _ := shared.report(t, node.Name); !slices.Equal(report.SpeaksTo,
		[]string{"10.9.0.2:6666"}) {
		t.Errorf("the Node says that the kernel speaks to %v", report.SpeaksTo)
	}

	// An older kernel after a boot can send no secret: the listener must not miss one.
	old := netconsolefs.New(netconsolefs.Versions["6.1"])
	if r := pass(t, shared.agentOn(t, shared.RESTConfig(), node.Name, namespace,
		old)); len(r.Faults) > 0 {
		t.Fatalf("faults %v", r.Faults)
	}
	if _, token := shared.report(t, node.Name); token != "" {
		t.Errorf("the Node still has the token %q", token)
	}

	if err := a.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	n, err := shared.client.CoreV1().Nodes().Get(t.Context(), node.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, there := n.Annotations[reason.AgentKey]; there || len(kernel.Names()) > 0 {
		t.Errorf("left are %v and the annotations %v", kernel.Names(), n.Annotations)
	}
}

// A node that is not there yet is a fault that passes, and does not keep the kernel from speaking.
func TestAgentBeforeItsNode(t *testing.T) {
	t.Parallel()
	namespace := shared.namespace(t)
	shared.listenAt(t, namespace, "10.9.0.1")
	kernel := netconsolefs.New(netconsolefs.Versions["6.14"])
	name := unique("late")
	r := pass(t, shared.agentOn(t, shared.RESTConfig(), name, namespace, kernel))
	want := `tell the API of node ` + name + `: nodes "` + name +
		`" not found: the agent needs to get nodes and to patch nodes/status; its node's name is given with --node`
	if len(r.Faults) != 1 || r.Faults[0].Code != fault.NodeUnwritten ||
		r.Faults[0].Error() != want {
		t.Errorf("faults %v, want %s", r.Faults, want)
	}
	if len(kernel.Speaking()) != 1 {
		t.Fatal("the kernel speaks to nobody")
	}
	if _, _, ok := kernel.Value(kernel.Names()[0], config.TokenUserdata); ok {
		t.Error("the kernel sends a secret that nobody knows")
	}
}
