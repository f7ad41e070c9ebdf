package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// warnings collects what the API server warns a client of.
type warnings struct {
	mu  sync.Mutex
	all []string
}

func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, text)
}

func (w *warnings) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.all, "\n")
}

// warned is a client of somebody, and the warnings that they get.
func (c *cluster) warned(t *testing.T, user string) (*kubernetes.Clientset, *warnings) {
	t.Helper()
	w := &warnings{}
	config := c.As(user, "system:masters")
	config.WarningHandler = w
	return c.clientFor(t, config), w
}

// An object that is written all the time can be deleted, and has its reason: admission runs inside
// the storage's loop, and an answer that comes later than the next write would keep the delete from
// ever committing.
func TestDeleteOfAPodThatIsWrittenAllTheTime(t *testing.T) {
	t.Parallel()
	shared.deletesAHotPod(t)
}

func (c *cluster) deletesAHotPod(t *testing.T) {
	t.Helper()
	ns, node := c.namespace(t), c.node(t).Name
	c.pod(t, ns, node, "a")
	ctx, cancel := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			patch := fmt.Appendf(nil, `{"metadata":{"labels":{"n":"%d"}}}`, n)
			_, _ = c.client.CoreV1().Pods(ns).Patch(ctx, "a", types.MergePatchType, patch,
				metav1.PatchOptions{})
			time.Sleep(5 * time.Millisecond)
		}
	})
	err := c.as(t, runner).CoreV1().Pods(ns).Delete(t.Context(), "a", metav1.DeleteOptions{})
	cancel()
	writer.Wait()
	if err != nil {
		t.Fatal(err)
	}
	c.leaves(t, reason.Pod, ns+"/a", unexplained)
}

func TestConcurrentDeletesOfOnePod(t *testing.T) {
	t.Parallel()
	shared.deletesAPodFiveTimes(t)
}

func (c *cluster) deletesAPodFiveTimes(t *testing.T) {
	t.Helper()
	ns, node, pods := c.namespace(t), c.node(t).Name, c.as(t, runner).CoreV1().Pods
	c.pod(t, ns, node, "a")
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			if err := pods(ns).Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil &&
				!apierrors.IsNotFound(err) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	c.leaves(t, reason.Pod, ns+"/a", unexplained)
}

// atOnce asks for the end of a pod that does not linger: its reason is written before the answer.
var atOnce = metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))}

func TestNoRoomForAReason(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	deleter, warned := shared.warned(t, runner)
	for name, options := range map[string]metav1.DeleteOptions{"lingers": {}, "at-once": atOnce} {
		shared.pod(t, ns, node, name, full)
		if err := deleter.CoreV1().Pods(ns).Delete(t.Context(), name, options); err != nil {
			t.Fatalf("the delete of %s ended with %v, want it allowed", name, err)
		}
		shared.eventually(t, name+" is gone", func(context.Context) (bool, error) {
			_, gone := shared.witness.Saw(reason.Pod, ns+"/"+name)
			return gone, nil
		})
		shared.wantRecord(t, ns, name, unexplained)
	}
	if !strings.Contains(warned.String(), "epitaph: the reason could not be written") {
		t.Errorf("warned %q, want that the reason could not be written", warned)
	}
}

// Somebody else's policy refuses our write: that must not keep a pod from being deleted.
func TestOurWriteIsRefused(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	deleter, warned := shared.warned(t, runner)
	shared.pod(t, ns, node, "a")
	shared.refuse(t, ns, admissionregistrationv1.Update,
		"pods/status", "!request.userInfo.username.contains('epitaph')")
	shared.eventually(t, "the policy is in force", func(ctx context.Context) (bool, error) {
		patch := []byte(`{"metadata":{"labels":{"tried":"yes"}}}`)
		_, err := shared.as(t, "system:serviceaccount:x:epitaph-like").CoreV1().Pods(ns).
			Patch(ctx, "a", types.MergePatchType, patch,
				metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}, "status")
		return apierrors.IsInvalid(err) || apierrors.IsForbidden(err), nil
	})
	if err := deleter.CoreV1().Pods(ns).Delete(t.Context(), "a", atOnce); err != nil {
		t.Fatalf("the delete ended with %v, want it allowed", err)
	}
	if !strings.Contains(warned.String(), "epitaph: the reason could not be written") {
		t.Errorf("warned %q, want that the reason could not be written", warned)
	}
}

// refuse makes a policy that refuses an operation in one namespace unless the expression holds.
func (c *cluster) refuse(t *testing.T, ns string, op admissionregistrationv1.OperationType,
	resource, unless string) {
	t.Helper()
	c.policy(t, &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: ns}},
		op,
		admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"},
			Resources: []string{resource}}, unless)
}

// policy refuses what the rule matches in the namespaces, unless the expression is true, until the
// test ends.
func (c *cluster) policy(t *testing.T, namespaces *metav1.LabelSelector,
	op admissionregistrationv1.OperationType,
	rule admissionregistrationv1.Rule, unless string,
) (name string) {
	t.Helper()
	name = unique("refuse")
	policies := c.client.AdmissionregistrationV1()
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionregistrationv1.MatchResources{
				NamespaceSelector: namespaces,
				ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{
					{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
						Operations: []admissionregistrationv1.OperationType{op}, Rule: rule,
					}}},
			},
			Validations: []admissionregistrationv1.Validation{{Expression: unless}},
		}}
	if _, err := policies.ValidatingAdmissionPolicies().Create(t.Context(), policy,
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: name,
			ValidationActions: []admissionregistrationv1.ValidationAction{
				admissionregistrationv1.Deny},
		}}
	if _, err := policies.ValidatingAdmissionPolicyBindings().Create(t.Context(), binding,
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_ = policies.ValidatingAdmissionPolicyBindings().Delete(ctx, name, metav1.DeleteOptions{})
		_ = policies.ValidatingAdmissionPolicies().Delete(ctx, name, metav1.DeleteOptions{})
	})
	return name
}

// The second step of a force delete is refused: what stays is a pod that any update would delete,
// and nobody may learn what it died of from a PATCH that answers 200 and loses the text. It stays
// as it is until somebody deletes it.
func TestPodThatAnyWriteWouldDeleteIsLeftAlone(t *testing.T) {
	t.Parallel()
	ns, node, pods := shared.namespace(t), shared.node(t).Name, shared.as(t, runner).CoreV1().Pods
	shared.pod(t, ns, node, "a")
	shared.refuse(t, ns, admissionregistrationv1.Delete, "pods",
		"request.userInfo.username != 'system:serviceaccount:x:prober' && (oldObject.metadata.?deletionGracePeriodSeconds.orValue(-1) != 0 || request.userInfo.username == 'last-deleter')")
	force := metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))}
	shared.eventually(t, "the policy is in force", func(ctx context.Context) (bool, error) {
		trial := metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}
		err := shared.as(t, "system:serviceaccount:x:prober").CoreV1().Pods(ns).Delete(ctx,
			"a", trial)
		return err != nil && strings.Contains(err.Error(), "failed expression"), nil
	})
	if err := pods(ns).Delete(t.Context(), "a", force); err == nil {
		t.Fatal("the second step of the delete was not refused")
	}
	// Its kubelet may be quicker: its report of the pod's status is such a write.
	p, err := pods(ns).Get(t.Context(), "a", metav1.GetOptions{})
	if client.IgnoreNotFound(err) != nil || err == nil &&
		ptr.Deref(p.DeletionGracePeriodSeconds, -1) != 0 {
		t.Fatalf("the pod is not in its last step: %v, %v", p, err)
	}
	if err := shared.as(t, "last-deleter").CoreV1().Pods(ns).Delete(t.Context(),
		"a", force); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	shared.leaves(t, reason.Pod, ns+"/a", unexplained)
}

func TestKubectlDelete(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	kubectl := func(args ...string) (string, error) { return shared.kubectl(t, ns, args...) }
	shared.pod(t, ns, node, "a")
	shared.pod(t, ns, node,
		"b", func(p *corev1.Pod) { p.Finalizers = []string{"example.com/hold"} })
	for name, args := range map[string][]string{
		"one": {"delete", "pod", "a"}, "all": {"delete", "pods", "--all"},
		"by force":  {"delete", "pod", "a", "--force"},
		"for trial": {"delete", "pod", "a", "--dry-run=server"},
	} {
		if out, err := kubectl(args...); err == nil ||
			!strings.Contains(out, `must not leave without a reason (rule "people-say-why")`) {
			t.Errorf("%s: ended with %v: %s", name, err, out)
		}
	}
	shared.alive(t, ns, "a")
	shared.annotate(t, ns, "a", "the disk is needed elsewhere")
	shared.annotate(t, ns, "b", "the disk is needed elsewhere")
	if out, err := kubectl("delete", "pods", "--all", "--wait=false"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	said := reason.Reason{Code: reason.UserRequest,
		Text: "the disk is needed elsewhere", By: "alice"}
	shared.leaves(t, reason.Pod, ns+"/a", said)
	if out, err := kubectl("patch", "pod", "b", "--type=merge", "-p",
		`{"metadata":{"finalizers":null}}`); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	shared.leaves(t, reason.Pod, ns+"/b", said)
}

func TestDeletesGoOnWithoutEpitaph(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: alone}})
	ns, node := c.namespace(t), c.node(t).Name
	c.pod(t, ns, node, "a")
	// It takes its time to end, so that Epitaph is back before it has.
	c.pod(t, ns, node, "b", slowly)
	c.Epitaph.Kill()
	for _, name := range []string{"a", "b"} {
		if err := c.as(t, runner).CoreV1().Pods(ns).Delete(t.Context(), name,
			metav1.DeleteOptions{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.restart(t)
	if d := c.leaves(t, reason.Pod, ns+"/b", reason.Reason{}); d.Reason.Code != reason.Unexplained {
		t.Errorf("the pod that was still there left with %+v, want it filled in", d.Reason)
	}
}

func TestFailClosed(t *testing.T) {
	t.Parallel()
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(k *config.Config) {
			alone(k)
			k.Webhook.FailurePolicy = config.FailClosed
		}}})
	node := c.node(t).Name
	ns := c.namespace(t)
	for _, namespace := range []string{ns, metav1.NamespaceSystem, "epitaph-system"} {
		c.eventually(t, namespace+" has its service account",
			func(ctx context.Context) (bool, error) {
				_, err := c.client.CoreV1().ServiceAccounts(namespace).Get(ctx,
					"default", metav1.GetOptions{})
				return err == nil, nil
			})
		c.pod(t, namespace, node, "a")
		c.pod(t, namespace, node, "b")
	}
	c.Epitaph.Kill()
	pods := c.as(t, runner).CoreV1().Pods
	if err := evict(t, c.as(t, runner), ns, "b"); !apierrors.IsInternalError(err) {
		t.Errorf("without Epitaph the eviction ended with %v, want it failed", err)
	}
	if err := pods(ns).Delete(t.Context(), "a",
		metav1.DeleteOptions{}); !apierrors.IsInternalError(err) {
		t.Errorf("without Epitaph the delete ended with %v, want it failed", err)
	}
	for _, namespace := range []string{metav1.NamespaceSystem, "epitaph-system"} {
		if err := evict(t, c.as(t, runner), namespace, "b"); err != nil {
			t.Errorf("evictions in %s are locked out: %v", namespace, err)
		}
		if err := pods(namespace).Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
			t.Errorf("%s is locked out: %v", namespace, err)
		}
	}
	c.restart(t)
	if err := pods(ns).Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.leaves(t, reason.Pod, ns+"/a", unexplained)
}
