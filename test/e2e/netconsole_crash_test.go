package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/netconsole"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// undisturbed leaves the pods of dead nodes to the listener, and lets it start without waiting for
// a lease.
func undisturbed(k *config.Config) {
	listening(k)
	k.GC.Enabled = false
	k.LeaderElection.Enabled = false
}

// A crashPoint is a write of a removal that is refused until Epitaph has been killed.
type crashPoint struct {
	step     string // that the write belongs to
	op       admissionregistrationv1.OperationType
	resource string
	// barred is the expression that picks the write, of namespace and node.
	barred func(ns, node string) string
	// podsLeft is how many of the three pods are there then, if that is certain.
	podsLeft int
}

var crashPoints = map[string]crashPoint{
	// A reason that is refused holds up nothing; a deletion that is refused does.
	"before the first pod's deletion": {
		step: "pods", op: admissionregistrationv1.Delete, resource: "pods", podsLeft: 3,
		barred: func(ns, _ string) string { return fmt.Sprintf("request.namespace == %q", ns) },
	},
	"midway through the pods": {
		step: "pods", op: admissionregistrationv1.Delete, resource: "pods", podsLeft: 1,
		barred: func(ns, _ string) string {
			return fmt.Sprintf("request.namespace == %q && request.name == 'p-1'", ns)
		},
	},
	"before the Node's deletion": {
		step: "node", op: admissionregistrationv1.Delete, resource: "nodes",
		barred: func(_, node string) string { return fmt.Sprintf("request.name == %q", node) },
	},
}

// Epitaph dies of SIGKILL between two steps of a removal. It finishes when it starts again; and if
// it does not, another replica that heard nothing does. Nothing is done twice.
func TestRemovalSurvivesACrashAtEachStep(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: undisturbed}})
	for name, point := range crashPoints {
		t.Run(name+", it starts again", func(t *testing.T) { crashesAt(t, c, point, c.restart) })
	}
	// The other replica is there from the beginning: it has seen the intent, and found the same
	// write refused.
	other, err := c.AddEpitaph(t.Context(), sandbox.EpitaphOptions{Configure: undisturbed})
	if err != nil {
		t.Fatal(err)
	}
	for name, point := range crashPoints {
		t.Run(name+", another replica takes over", func(t *testing.T) {
			crashesAt(t, c, point, func(t *testing.T) {
				if !other.Running() {
					t.Fatal("the other replica does not run")
				}
			})
			c.restart(t)
		})
	}
	t.Run("with a pod that nothing can be written on, another replica takes over",
		func(t *testing.T) { crashesWithAFullPod(t, c) })
}

// crashesWithAFullPod kills Epitaph when a pod is failed whose annotations are full: what it died
// of stands in its condition.
func crashesWithAFullPod(t *testing.T, c *cluster) {
	ns, node := c.namespace(t), c.answering(t)
	born := c.pod(t, ns, node.Name, "full", full).CreationTimestamp.Time
	c.pod(t, ns, node.Name, "p-1")
	lift := c.bar(t, crashPoints["before the first pod's deletion"], ns, node.Name)
	c.dies(t, node.Name)
	c.says(t, node.Address, aSignedPanic("full and gone"))
	wantPod, wantNode := panicked("full and gone")
	c.holdsItsReason(t, ns, "full", wantPod)
	c.Epitaph.Kill()
	lift()
	c.leaves(t, reason.Pod, ns+"/p-1", wantPod)
	wantFailedWith(t, c.goes(t, ns, "full"), true)
	c.leaves(t, reason.Node, node.Name, wantNode)
	c.wantRecord(t, ns, "full", wantPod)
	c.finds(t, c.memory(t), node.Name, born, wantNode.Code)
}

// crashesAt kills Epitaph when it has come to the point, and checks that all is finished after what
// follows.
func crashesAt(t *testing.T, c *cluster, point crashPoint, follows func(*testing.T)) {
	ns, node := c.namespace(t), c.answering(t)
	pods := c.fill(t, ns, node.Name, 3)
	lift := c.bar(t, point, ns, node.Name)
	c.dies(t, node.Name)
	before := c.metricOf(t, netconsole.MetricRetries, "step", point.step)
	c.says(t, node.Address, aSignedPanic("and then we died, too"))
	c.eventually(t, "the write is refused", func(context.Context) (bool, error) {
		return c.metricOf(t, netconsole.MetricRetries, "step", point.step) > before, nil
	})
	c.eventually(t, "all that is not refused is done", func(context.Context) (bool, error) {
		return len(c.podsIn(t, ns)) == point.podsLeft, nil
	})
	wantPod, wantNode := panicked("and then we died, too")
	if got, err := keys.Node.Read(c.aliveNode(t, node.Name).Annotations); err != nil ||
		got != wantNode {
		t.Errorf("the Node carries %+v (%v) when Epitaph dies, want the intent %+v", got, err,
			wantNode)
	}
	c.Epitaph.Kill()
	lift()
	follows(t)
	for _, pod := range pods {
		wantFailedWith(t, c.leaves(t, reason.Pod, pod, wantPod).Pod, true)
	}
	c.leaves(t, reason.Node, node.Name, wantNode)
	if n := c.obituariesOf(t, node.Name); n != 1 {
		t.Errorf("the node has %d obituaries, want 1", n)
	}
	for _, path := range append(podPaths(pods), "/api/v1/nodes/"+node.Name) {
		if n := c.succeeded(t, "delete", path); n != 1 {
			t.Errorf("%s was deleted %d times, want once", path, n)
		}
	}
}

func podPaths(pods []string) (paths []string) {
	for _, pod := range pods {
		ns, name, _ := strings.Cut(pod, "/")
		paths = append(paths, "/api/v1/namespaces/"+ns+"/pods/"+name)
	}
	return paths
}

// succeeded counts the requests of Epitaph that were granted, in the API server's audit log.
func (c *cluster) succeeded(t *testing.T, verb, path string) int {
	t.Helper()
	return len(c.audited(t, func(e auditEvent) bool {
		uri, _, _ := strings.Cut(e.RequestURI, "?")
		return e.byEpitaph() && e.Verb == verb && uri == path && e.ResponseStatus.Code < 300
	}))
}

// bar has the API server refuse a write of Epitaph until the function that it returns is called.
func (c *cluster) bar(t *testing.T, point crashPoint, ns, node string) (lift func()) {
	t.Helper()
	name, policies := unique("bar"), c.client.AdmissionregistrationV1()
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionregistrationv1.MatchResources{
				ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{
					RuleWithOperations: admissionregistrationv1.RuleWithOperations{
						Operations: []admissionregistrationv1.OperationType{point.op},
						Rule: admissionregistrationv1.Rule{APIGroups: []string{""},
							APIVersions: []string{"v1"}, Resources: []string{point.resource}},
					},
				}}},
			Validations: []admissionregistrationv1.Validation{{
				Expression: "!(request.userInfo.username.endsWith(':epitaph-manager') && " +
					point.barred(ns, node) + ")",
			}},
		},
	}
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: name,
			ValidationActions: []admissionregistrationv1.ValidationAction{
				admissionregistrationv1.Deny},
		},
	}
	if _, err := policies.ValidatingAdmissionPolicies().Create(t.Context(), policy,
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := policies.ValidatingAdmissionPolicyBindings().Create(t.Context(), binding,
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "the write is barred", func(ctx context.Context) (bool,
		error) {
		return c.isBarred(ctx, t, point, ns, node), nil
	})
	return func() {
		if err := policies.ValidatingAdmissionPolicyBindings().Delete(t.Context(), name,
			metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// isBarred tries the write without effect.
func (c *cluster) isBarred(ctx context.Context, t *testing.T, point crashPoint, ns,
	node string) bool {
	t.Helper()
	core, try := c.clientFor(t,
		c.As("system:serviceaccount:epitaph-system:epitaph-manager")).CoreV1(),
		[]string{metav1.DryRunAll}
	var err error
	switch {
	case point.op == admissionregistrationv1.Update:
		patch := []byte(`{"metadata":{"annotations":{"epitaph-k8s.io/reason-written":"tried"}}}`)
		_, err = core.Pods(ns).Patch(ctx, "p-0", types.MergePatchType, patch,
			metav1.PatchOptions{DryRun: try}, "status")
	case point.resource == "nodes":
		err = core.Nodes().Delete(ctx, node, metav1.DeleteOptions{DryRun: try})
	default:
		err = core.Pods(ns).Delete(ctx, "p-1", metav1.DeleteOptions{DryRun: try})
	}
	return err != nil && strings.Contains(err.Error(), "failed expression")
}

// The API server crashes, and the panic comes while nobody answers in its place.
func TestPanicIsActedUponAfterAnAPIServerCrash(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: undisturbed}})
	ns, node := c.namespace(t), c.answering(t)
	// The witness's watch breaks as well, so what it saw last says nothing: finalizers hold the
	// pods.
	c.fill(t, ns, node.Name, 3,
		func(p *corev1.Pod) { p.Finalizers = []string{"example.com/archive"} })
	c.dies(t, node.Name)
	restarted := make(chan error, 1)
	go func() { restarted <- c.RestartAPIServer(t.Context()) }()
	c.eventually(t, "the API server is away", func(ctx context.Context) (bool, error) {
		_, err := c.client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err != nil, nil
	})
	c.says(t, node.Address, []byte("4,399,8999000,-;the line before\n"),
		aSignedPanic("said into a void"), []byte("4,401,9000100,-;the line after\n"))
	if err := <-restarted; err != nil {
		t.Fatal(err)
	}
	wantPod, _ := panicked("said into a void")
	c.eventually(t, "the Node is gone", func(ctx context.Context) (bool, error) {
		_, err := c.client.CoreV1().Nodes().Get(ctx, node.Name, metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})
	left := c.podsIn(t, ns)
	if len(left) != 3 {
		t.Errorf("%d pods are left, want all 3: finalizers hold them", len(left))
	}
	for n := range left {
		wantFailedWith(t, &left[n], true)
		if got, err := keys.Pod.Read(left[n].Annotations); err != nil || got != wantPod ||
			left[n].DeletionTimestamp == nil {
			t.Errorf("pod %s carries %+v (%v), deleted at %v; want %+v and deleted", left[n].Name,
				got, err, left[n].DeletionTimestamp, wantPod)
		}
	}
	c.wantKernelLog(t, node.Name, "Kernel panic - not syncing: said into a void")
}
