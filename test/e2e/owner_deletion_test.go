package e2e

import (
	"context"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const argoCD = "system:serviceaccount:argocd:argocd-application-controller"

// activeJob has a Job whose pod runs, and whose status says so.
func (c *cluster) activeJob(t *testing.T, ns, node string,
	change ...func(*batchv1.Job)) corev1.Pod {
	t.Helper()
	pod := c.job(t, ns, node, change...)
	c.eventually(t, "the Job says that a pod is active", func(ctx context.Context) (bool, error) {
		j, err := c.client.BatchV1().Jobs(ns).Get(ctx, "work", metav1.GetOptions{})
		return err == nil && j.Status.Active > 0, err
	})
	return pod
}

func (c *cluster) annotateJob(t *testing.T, ns, key, value string) {
	t.Helper()
	_, err := c.client.BatchV1().Jobs(ns).Patch(t.Context(), "work", types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"`+key+`":"`+value+`"}}}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func deletesJob(t *testing.T, by *kubernetes.Clientset, ns string,
	how metav1.DeletionPropagation) {
	t.Helper()
	if err := by.BatchV1().Jobs(ns).Delete(t.Context(), "work",
		metav1.DeleteOptions{PropagationPolicy: &how}); err != nil {
		t.Fatal(err)
	}
}

func ownerDeleted(says, by string) reason.Reason {
	return reason.New(reason.Pod, reason.OwnerDeleted, says, by)
}

// Whoever deletes what pods belong to is named on the pods, with what they said, however the
// deletion reaches the pods.
func TestWhoDeletedTheOwner(t *testing.T) {
	t.Parallel()
	const gc = kubeSystem + "generic-garbage-collector"
	for name, how := range map[string]metav1.DeletionPropagation{
		"in the background": metav1.DeletePropagationBackground,
		"in the foreground": metav1.DeletePropagationForeground,
	} {
		t.Run("a person deletes a Job "+name, func(t *testing.T) {
			t.Parallel()
			ns, node := shared.namespace(t), shared.node(t).Name
			pod := shared.activeJob(t, ns, node)
			shared.annotateJob(t, ns, keys.Pod.Reason, "superseded")
			deletesJob(t, shared.as(t, "carol"), ns, how)
			want := ownerDeleted("carol deleted Job work: superseded", "carol")
			shared.leaves(t, reason.Pod, ns+"/"+pod.Name, want)
			shared.wantRecord(t, ns, pod.Name, want)
			if o := shared.recorded(t, ns, pod.Name); o.Spec.DeletedBy != gc {
				t.Errorf("the record says that %q deleted the pod, want %q", o.Spec.DeletedBy, gc)
			}
		})
	}
	t.Run("a person deletes a Deployment", func(t *testing.T) {
		t.Parallel()
		ns, node := shared.namespace(t), shared.node(t).Name
		pod := shared.replicated(t, ns, node)
		shared.eventually(t, "the Deployment says that it has a pod",
			func(ctx context.Context) (bool, error) {
				d, err := shared.client.AppsV1().Deployments(ns).Get(ctx, "web",
					metav1.GetOptions{})
				return err == nil && d.Status.Replicas > 0, err
			})
		if err := shared.as(t, "carol").AppsV1().Deployments(ns).Delete(t.Context(), "web",
			metav1.DeleteOptions{PropagationPolicy: ptr.To(
				metav1.DeletePropagationBackground)}); err != nil {
			t.Fatal(err)
		}
		shared.leaves(t, reason.Pod, ns+"/"+pod, ownerDeleted("carol deleted Deployment web",
			"carol"))
		if n := len(shared.ownerRecords(t, ns)); n != 1 {
			t.Errorf("%d records of owners were written, want one", n)
		}
	})
	t.Run("a program deletes what Argo CD manages", func(t *testing.T) {
		t.Parallel()
		ns, node := shared.namespace(t), shared.node(t).Name
		pod := shared.activeJob(t, ns, node)
		shared.annotateJob(t, ns, "argocd.argoproj.io/tracking-id", "shop:batch/Job:"+ns+"/work")
		deletesJob(t, shared.as(t, argoCD), ns, metav1.DeletePropagationBackground)
		shared.leaves(t, reason.Pod, ns+"/"+pod.Name, ownerDeleted(
			argoCD+" deleted Job work of Argo CD application shop", argoCD))
	})
	t.Run("a person deletes what owns the Job", func(t *testing.T) {
		t.Parallel()
		ns, node := shared.namespace(t), shared.node(t).Name
		kind := shared.defineKinds(t, "workload.codeflare.dev", "appwrappers")[0]
		top := shared.owner(t, ns, kind, nil)
		pod := shared.activeJob(t, ns, node, func(j *batchv1.Job) {
			j.OwnerReferences = []metav1.OwnerReference{*top}
		})
		carol, err := dynamic.NewForConfig(shared.As("carol", "system:masters"))
		if err != nil {
			t.Fatal(err)
		}
		if err := carol.Resource(kind.GroupVersion().WithResource(
			kind.resource)).Namespace(ns).Delete(t.Context(), top.Name,
			metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		shared.leaves(t, reason.Pod, ns+"/"+pod.Name,
			ownerDeleted("carol deleted "+kind.Kind+" "+top.Name, "carol"))
	})
	t.Run("a person deletes the namespace", func(t *testing.T) {
		t.Parallel()
		ns, node := shared.namespace(t), shared.node(t).Name
		shared.pod(t, ns, node, "a")
		if err := shared.as(t, "carol").CoreV1().Namespaces().Delete(t.Context(), ns,
			metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		shared.leaves(t, reason.Pod, ns+"/a", reason.New(reason.Pod, reason.NamespaceDeleted,
			"carol deleted Namespace "+ns, "carol"))
	})
	t.Run("the pods stay", func(t *testing.T) {
		t.Parallel()
		ns, node := shared.namespace(t), shared.node(t).Name
		shared.activeJob(t, ns, node)
		deletesJob(t, shared.as(t, "carol"), ns, metav1.DeletePropagationOrphan)
		if all := shared.ownerRecords(t, ns); len(all) > 0 {
			t.Errorf("the end of the Job is on record: %+v", all)
		}
	})
	t.Run("another of the name is deleted later", func(t *testing.T) {
		t.Parallel()
		ns, node := shared.namespace(t), shared.node(t).Name
		for _, by := range []string{"carol", "dave"} {
			pod := shared.activeJob(t, ns, node)
			deletesJob(t, shared.as(t, by), ns, metav1.DeletePropagationForeground)
			shared.leaves(t, reason.Pod, ns+"/"+pod.Name, ownerDeleted(by+" deleted Job work", by))
			shared.eventually(t, "the Job is gone", func(ctx context.Context) (bool, error) {
				_, err := shared.client.BatchV1().Jobs(ns).Get(ctx, "work", metav1.GetOptions{})
				return apierrors.IsNotFound(err), nil
			})
		}
	})
	t.Run("the owner lives on", func(t *testing.T) {
		t.Parallel()
		ns, node := shared.namespace(t), shared.node(t).Name
		shared.activeJob(t, ns, node)
		j, err := shared.client.BatchV1().Jobs(ns).Get(t.Context(), "work", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		shared.record(t, &v1alpha1.OwnerObituary{ObjectMeta: metav1.ObjectMeta{Name: ns},
			Spec: v1alpha1.OwnerObituarySpec{APIVersion: "batch/v1", Kind: "Job", Namespace: ns,
				Name: "work", UID: j.UID, Created: j.CreationTimestamp, Removed: metav1.Now(),
				Deleted: "Job work", DeletedBy: "carol"}})
		shared.eventually(t, "the record is taken back", func(context.Context) (bool, error) {
			return len(shared.ownerRecords(t, ns)) == 0, nil
		})
	})
}

// ownerRecords are those of a namespace.
func (c *cluster) ownerRecords(t *testing.T, ns string) (some []v1alpha1.OwnerObituary) {
	t.Helper()
	all := &v1alpha1.OwnerObituaryList{}
	if err := c.records(t).List(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	for _, o := range all.Items {
		if o.Spec.Namespace == ns {
			some = append(some, o)
		}
	}
	return some
}

// theDeleterOfTheOwnerIsNotNamed has a Job deleted while Epitaph may not record that.
func theDeleterOfTheOwnerIsNotNamed(t *testing.T, c *cluster) {
	ns, node := c.namespace(t), c.node(t).Name
	pod := c.activeJob(t, ns, node)
	deletesJob(t, c.as(t, "carol"), ns, metav1.DeletePropagationBackground)
	c.leaves(t, reason.Pod, ns+"/"+pod.Name, ownerDeleted("Job work",
		kubeSystem+"generic-garbage-collector"))
}

// Who deleted the owner stands on record before the deletion is allowed: it survives the replica
// that was asked. A policy may require a reason of whoever deletes an owner.
func TestWhoDeletedTheOwnerOutlivesTheReplica(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{
		Configure: func(k *config.Config) {
			alone(k)
			k.Webhook.Rules = append([]config.Rule{{Name: "owners-say-why",
				Actors: []config.RuleActor{config.Person}, Resources: []string{"owners"},
				Action: config.Require}}, k.Webhook.Rules...)
		}}})
	ns, node := c.namespace(t), c.node(t).Name
	// What has a finalizer lingers, and its pods go when it does.
	pod := c.activeJob(t, ns, node, func(j *batchv1.Job) {
		j.Finalizers = []string{"example.com/held"}
	})
	out, err := c.kubectl(t, ns, "delete", "job", "work", "--wait=false")
	if err == nil || !strings.Contains(out,
		`Job work must not be deleted without a reason (rule "owners-say-why")`) {
		t.Fatalf("kubectl said %q (%v)", out, err)
	}
	_, commands, _ := strings.Cut(out, "then delete it:")
	for line := range strings.Lines(strings.TrimSpace(commands)) {
		words := strings.Fields(strings.ReplaceAll(line, "'WHY IT HAS TO GO'", "superseded"))
		args := words[1:]
		if args[0] == "delete" {
			args = append(args, "--wait=false")
		}
		if out, err := c.kubectl(t, ns, args...); err != nil {
			t.Fatalf("kubectl %q: %s (%v)", args, out, err)
		}
	}
	c.Epitaph.Kill()
	c.restart(t)
	if _, err := c.client.BatchV1().Jobs(ns).Patch(t.Context(), "work", types.MergePatchType,
		[]byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	c.leaves(t, reason.Pod, ns+"/"+pod.Name,
		ownerDeleted("alice deleted Job work: superseded", "alice"))
}
