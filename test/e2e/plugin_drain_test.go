package e2e

import (
	"context"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

// drainers may drain nodes, and no more.
var drainers = []rbacv1.PolicyRule{
	{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"get", "patch"}},
	{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list"}},
	{APIGroups: []string{""}, Resources: []string{"pods/eviction"}, Verbs: []string{"create"}},
	{APIGroups: []string{"apps"}, Resources: []string{"daemonsets"}, Verbs: []string{"get"}},
}

// The reason of a drain is on each pod that it evicts, and on nothing that stays.
func TestPluginDrains(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	shared.pod(t, ns, node, "a")
	shared.pod(t, ns, node, "b", guarded)
	open := shared.budget(t, ns)
	user := unique("dora")
	shared.grantIn(t, "", user, drainers...)
	shared.hasRight(t, user, "", "apps", "daemonsets", "get")
	drain := func(args ...string) said {
		t.Helper()
		return shared.plugin(t, append([]string{"drain", "--reason", "its kernel is updated",
			"--as", user}, args...)...)
	}

	got := drain(node)
	if got.code != 1 || got.out != "" || !strings.Contains(got.err,
		"find the pods of node "+node+", which is cordoned: cannot delete") {
		t.Errorf("of pods that nothing makes again, it said %+v", got)
	}
	got = drain("node/"+node, "--force", "--dry-run=client")
	if got.code != 0 || !strings.Contains(got.out, "evicting pod "+ns+"/a (dry run)\n") ||
		!strings.Contains(got.out, "node \""+node+"\" drained (dry run): its kernel is updated\n") {
		t.Errorf("of a dry run, it said %+v", got)
	}
	if got := drain(node, "--force", "--timeout", "3s"); got.code != 1 ||
		!strings.Contains(got.err, "drain node "+node+", which is cordoned: ") ||
		!strings.Contains(got.err, ns) {
		t.Errorf("of a drain that a budget refuses, it said %+v", got)
	}
	if p := shared.alive(t, ns, "b"); keys.Pod.Has(p.Annotations) {
		t.Errorf("the refused eviction left %q", p.Annotations)
	}
	helpless := unique("hugo")
	shared.grantIn(t, "", helpless, drainers[0], drainers[1], drainers[3])
	shared.hasRight(t, helpless, "", "apps", "daemonsets", "get")
	got = shared.plugin(t, "drain", node, "--force", "--reason", "x", "--as", helpless)
	if got.code != 1 || !strings.Contains(got.err, "\nYou lack the right to create pods/eviction "+
		"in namespace "+ns+". An administrator grants it by\n  kubectl create role ") {
		t.Errorf("without the right to evict, it said %+v", got)
	}
	open()
	if got := drain(node, "--force", "--timeout", "120s"); got.code != 0 || !strings.HasSuffix(
		got.out, "node \""+node+"\" drained: its kernel is updated\n") {
		t.Errorf("it said %+v", got)
	}
	want := reason.New(reason.Pod, reason.NodeDrained,
		"node "+node+" by "+user+": its kernel is updated", user)
	for _, name := range []string{"a", "b"} {
		shared.leaves(t, reason.Pod, ns+"/"+name, want)
	}
	n, err := shared.client.CoreV1().Nodes().Get(t.Context(), node, metav1.GetOptions{})
	if err != nil || !n.Spec.Unschedulable || keys.Node.Has(n.Annotations) {
		t.Errorf("the node that stays has %q, cordoned %t (%v)", n.Annotations,
			n.Spec.Unschedulable, err)
	}
}

// Without evictions, each pod is given its reason before it is deleted. One whose deletion is
// refused keeps nothing of it.
func TestPluginDrainsByDeleting(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	shared.pod(t, ns, node, "a", guarded)
	shared.budget(t, ns)
	const prober = "system:serviceaccount:x:prober"
	shared.refuse(t, ns, admissionregistrationv1.Delete, "pods",
		"!(request.userInfo.username in ['dan', '"+prober+"'])")
	shared.eventually(t, "the policy is in force", func(ctx context.Context) (bool, error) {
		err := shared.as(t, prober).CoreV1().Pods(ns).Delete(ctx, "a",
			metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil && strings.Contains(err.Error(), "failed expression"), nil
	})
	drain := func(user string) said {
		return shared.plugin(t, "drain", "--reason", "its kernel is updated", "--as", user,
			"--as-group", "system:masters", "--force", "--disable-eviction", "--timeout",
			"2m", "-l", "kubernetes.io/hostname="+node)
	}
	if got := drain("dan"); got.code != 1 || !strings.Contains(got.err, "failed expression") {
		t.Errorf("of a refused deletion, it said %+v", got)
	}
	if p := shared.alive(t, ns, "a"); keys.Pod.Has(p.Annotations) ||
		p.Annotations[keys.Pod.By] != "" || p.Annotations[keys.Pod.Code] != "" {
		t.Errorf("the refused deletion left %q", p.Annotations)
	}
	got := drain("carol")
	if got.code != 0 || !strings.HasSuffix(got.out,
		"node \""+node+"\" drained: its kernel is updated\n") {
		t.Errorf("it said %+v", got)
	}
	shared.leaves(t, reason.Pod, ns+"/a", reason.Reason{Code: reason.UserRequest,
		Text: "its kernel is updated", By: "carol"})
}
