package e2e

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
	"github.com/epitaph-k8s/epitaph/webhook"
)

// claim writes a panic onto a pod, in the name of the listener that hears of them, and with the
// mark, if any.
func (c *cluster) claim(t *testing.T, as, ns, name, mark string) {
	t.Helper()
	claimed := keys.Pod.Annotations(reason.New(reason.Pod, reason.KernelPanic,
		"VFS: unable to mount root fs", "epitaph/netconsole"))
	if mark != "" {
		claimed[reason.WrittenKey] = mark
	}
	patch := encode(t, map[string]any{"metadata": map[string]any{"annotations": claimed}})
	if _, err := c.as(t, as).CoreV1().Pods(ns).Patch(t.Context(), name, types.MergePatchType, patch,
		metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

const (
	tenant    = "mallory"
	believed  = "Terminated by epitaph/netconsole"
	namesBoth = "Its reason names epitaph/netconsole; " + tenant + " deleted it."
)

// Who may write to a pod may claim anything of its end. The record sets beside it who really asked.
func TestWhoDeletedStandsBesideWhatWasClaimed(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	now := metav1.Now().UTC().Format("2006-01-02T15:04:00Z")
	forged := now + " 0123456789abcdef alice"
	remove := func(t *testing.T, name string) { shared.remove(t, shared.as(t, tenant), ns, name) }
	evict := func(t *testing.T, name string) {
		err := shared.as(t, tenant).CoreV1().Pods(ns).EvictV1(t.Context(),
			&policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		mark string
		goes func(*testing.T, string)
	}{
		"deleted":                     {"", remove},
		"deleted-with-a-forged-mark":  {forged, remove},
		"deleted-as-ending-in-a-name": {now + " asked x " + tenant, remove},
		"evicted":                     {"", evict},
		"evicted-with-a-forged-mark":  {forged, evict},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shared.pod(t, ns, node, name)
			shared.claim(t, tenant, ns, name, tc.mark)
			tc.goes(t, name)
			o := shared.recorded(t, ns, name)
			if o.Spec.By != "epitaph/netconsole" || o.Spec.Code != string(reason.KernelPanic) ||
				o.Spec.DeletedBy != tenant {
				t.Errorf("the record says %s by %q, deleted by %q, want the claim and %s",
					o.Spec.Code, o.Spec.By, o.Spec.DeletedBy, tenant)
			}
			if got := shared.plugin(t, "why", name, "-n", ns); !strings.Contains(got.out,
				namesBoth) || strings.Contains(got.out, believed) {
				t.Errorf("why said %+v, want %q", got, namesBoth)
			}
			got := shared.plugin(t, "list", "--pod", name, "-n", ns, "-o", "wide")
			if !strings.Contains(got.out, "DELETED BY") || !strings.Contains(got.out, tenant) {
				t.Errorf("list -o wide said %+v", got)
			}
			if got = shared.plugin(t, "list", "--pod", name, "-n", ns,
				"-o", "json"); !strings.Contains(got.out, `"deletedBy": "`+tenant+`"`) {
				t.Errorf("list -o json said %+v", got)
			}
		})
	}
}

// A reason that was written by who deletes, and one that was inferred, agree with who deleted.
func TestWhoDeletedAgreesWithWhoIsNamed(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	shared.pod(t, ns, node, "said")
	if got := shared.plugin(t, "delete", "pod/said", "-n", ns,
		"--reason", "frees the licence", "--as", "alice", "--as-group",
		"system:masters"); got.code != 0 {
		t.Fatalf("delete said %+v", got)
	}
	shared.pod(t, ns, node, "inferred")
	shared.remove(t, shared.as(t, cleaner), ns, "inferred")
	for name, who := range map[string]string{"said": "alice", "inferred": cleaner} {
		o := shared.recorded(t, ns, name)
		if o.Spec.By != who || o.Spec.DeletedBy != who {
			t.Errorf("%s: by %q, deleted by %q, want %s twice", name, o.Spec.By, o.Spec.DeletedBy,
				who)
		}
		if got := shared.plugin(t, "why", name, "-n", ns); !strings.Contains(got.out,
			"Terminated by "+who+".") {
			t.Errorf("why said %+v", got)
		}
	}
}

func TestWhoDeletedANodeStandsBesideWhatWasClaimed(t *testing.T) {
	t.Parallel()
	name := shared.node(t).Name
	claimed := keys.Node.Annotations(reason.New(reason.Node, reason.KernelPanic,
		"VFS: unable to mount root fs", "epitaph/netconsole"))
	shared.patchNode(t, name, map[string]any{"metadata": map[string]any{"annotations": claimed}})
	if err := shared.as(t, tenant).CoreV1().Nodes().Delete(t.Context(), name,
		metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	shared.eventually(t, "why tells who deleted the node", func(context.Context) (bool, error) {
		got := shared.plugin(t, "why", "node", name)
		return strings.Contains(got.out, namesBoth) && !strings.Contains(got.out, believed), nil
	})
}

// While the webhook is not asked, nobody knows who deletes, and nothing is guessed.
func TestWhoDeletedIsNotKnownWithoutTheWebhook(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: quick}})
	ns, node := c.namespace(t), c.node(t).Name
	err := c.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Delete(t.Context(),
		webhook.ConfigurationName, metav1.DeleteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "the record does not say who deleted", func(context.Context) (bool, error) {
		name := unique("claimed")
		c.pod(t, ns, node, name)
		c.claim(t, tenant, ns, name, "")
		c.remove(t, c.as(t, tenant), ns, name)
		if c.recorded(t, ns, name).Spec.DeletedBy != "" {
			return false, nil // the API server has not heard yet that the webhook is gone
		}
		got := c.plugin(t, "why", name, "-n", ns)
		if !strings.Contains(got.out,
			"Its reason names epitaph/netconsole; who deleted it is not known.") || strings.Contains(got.out, believed) {
			t.Errorf("why said %+v", got)
		}
		return true, nil
	})
}

// The tenant writes to the pod while it terminates: what it carried first, counts.
func TestMarkThatIsEditedLaterChangesNothing(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	shared.pod(t, ns, node,
		"held", func(p *corev1.Pod) { p.Finalizers = []string{"example.com/hold"} })
	shared.claim(t, tenant, ns, "held", "")
	shared.remove(t, shared.as(t, tenant), ns, "held")
	shared.claim(t, tenant, ns, "held", metav1.Now().UTC().Format("2006-01-02T15:04:00Z")+
		" asked alice")
	free := encode(t, map[string]any{"metadata": map[string]any{"finalizers": nil}})
	if _, err := shared.client.CoreV1().Pods(ns).Patch(t.Context(), "held", types.MergePatchType,
		free, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if by := shared.recorded(t, ns, "held").Spec.DeletedBy; by != tenant {
		t.Errorf("deleted by %q, want %s", by, tenant)
	}
}
