package demo

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/realnode"
)

const (
	namespace = "batch"
	poll      = 50 * time.Millisecond
)

// set makes what the scenes have in common: a namespace, two priorities, and alice, who may work in
// it.
func (st *stage) set(ctx context.Context) error {
	c := st.client
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := c.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make namespace %s: %w", namespace, err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "alice"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "alice"}},
	}
	if _, err := c.RbacV1().RoleBindings(namespace).Create(ctx, binding,
		metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("let alice work in %s: %w", namespace, err)
	}
	for name, value := range map[string]int32{"nightly": 10, "urgent": 1000} {
		class := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name},
			Value: value}
		if _, err := c.SchedulingV1().PriorityClasses().Create(ctx, class,
			metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("make priority class %s: %w", name, err)
		}
	}
	return st.until(ctx, "the namespace has its service account",
		func(ctx context.Context) (bool, error) {
			_, err := c.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
			return err == nil, nil
		})
}

// until polls for a condition, and says which one did not come about.
func (st *stage) until(ctx context.Context, what string,
	is func(context.Context) (bool, error)) error {
	if err := wait.PollUntilContextCancel(ctx, poll, true, is); err != nil {
		return fmt.Errorf("wait until %s: %w", what, err)
	}
	return nil
}

// podOn is a pod that only runs on one node.
func podOn(node, name string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: podSpec(node)}
	for _, f := range change {
		f(p)
	}
	return p
}

func podSpec(node string) corev1.PodSpec {
	return corev1.PodSpec{
		NodeSelector:                  map[string]string{corev1.LabelHostname: node},
		TerminationGracePeriodSeconds: ptr.To(int64(1)),
		Containers: []corev1.Container{
			// A real kubelet has this image, and for one that is played any will do.
			{Name: "main", Image: realnode.WorkerImage, ImagePullPolicy: corev1.PullNever}},
	}
}

func prioritized(class, cpu string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.PriorityClassName = class
		p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse(cpu)}
	}
}

// runs creates pods and waits until they run.
func (st *stage) runs(ctx context.Context, pods ...*corev1.Pod) error {
	for _, p := range pods {
		if _, err := st.client.CoreV1().Pods(namespace).Create(ctx, p,
			metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create pod %s: %w", p.Name, err)
		}
	}
	for _, p := range pods {
		if err := st.until(ctx, "pod "+p.Name+" runs", st.running(p.Name)); err != nil {
			return err
		}
	}
	return nil
}

func (st *stage) running(name string) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		p, err := st.client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		return err == nil && p.Status.Phase == corev1.PodRunning, nil
	}
}

// died waits until something has left, checks the words that it left with, and adds it to the
// table.
func (st *stage) died(ctx context.Context, s reason.Subject, name string, code reason.Code,
	text string, cause time.Time) error {
	d, err := st.witness.Sees(ctx, s, name)
	if err != nil {
		return err
	}
	took := d.At.Sub(cause)
	st.rows = append(st.rows, row{Death: d, took: took})
	if d.Reason.Code != code || string(d.Reason.Text) != text {
		return fmt.Errorf("%s %s left with %s: %q, not with %s: %q", s, name, d.Reason.Code,
			d.Reason.Text, code, text)
	}
	st.say("%s %s left after %.1f s: %s", s, name, took.Seconds(), d.Reason.Text)
	return nil
}

func (st *stage) podDied(ctx context.Context, name string, code reason.Code, text string,
	cause time.Time) error {
	return st.died(ctx, reason.Pod, namespace+"/"+name, code, text, cause)
}

// asAlice runs a line of shell with kubectl as alice, and returns what it printed.
func (st *stage) asAlice(ctx context.Context, line string) (string, error) {
	cmd := exec.CommandContext(ctx, "sh", "-c",
		strings.ReplaceAll(line, "kubectl ", "kubectl --as alice "))
	cmd.Env = append(os.Environ(), "KUBECONFIG="+st.sandbox.Kubeconfig,
		"PATH="+filepath.Dir(st.sandbox.Programs["kubectl"])+string(os.PathListSeparator)+
			os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// aJob is a Job that does not count disruptions as failures.
func aJob(name, node string) *batchv1.Job {
	spec := podSpec(node)
	spec.NodeSelector = nil
	spec.RestartPolicy = corev1.RestartPolicyNever
	spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{
			Weight: 100,
			Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{
				{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn,
					Values: []string{node}},
			}},
		}},
	}}
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: batchv1.JobSpec{
			BackoffLimit: ptr.To(int32(0)),
			PodFailurePolicy: &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{
				Action: batchv1.PodFailurePolicyActionIgnore,
				OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{
					{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue},
				},
			}}},
			Template: corev1.PodTemplateSpec{Spec: spec},
		},
	}
}
