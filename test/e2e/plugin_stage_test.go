package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/binaries"
)

// A said is what a program said, and its exit code.
type said struct {
	out, err string
	code     int
}

var builtPlugin = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "epitaph-plugin-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "kubectl-epitaph")
	return path, binaries.Product(context.Background(), os.Stdout, "kubectl-epitaph", path)
})

// pluginCommand is `kubectl epitaph …` as the administrator: kubectl itself finds the plugin on its
// PATH.
func (c *cluster) pluginCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := builtPlugin()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), c.Programs["kubectl"],
		append([]string{"epitaph"}, args...)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig,
		"PATH="+filepath.Dir(path)+":"+os.Getenv("PATH"), "TZ=UTC")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	return cmd
}

func (c *cluster) plugin(t *testing.T, args ...string) said {
	t.Helper()
	cmd := c.pluginCommand(t, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("run %v: %v", args, err)
	}
	return said{out.String(), errOut.String(), cmd.ProcessState.ExitCode()}
}

// records is a client for the custom resources.
func (c *cluster) records(t *testing.T) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	made, err := client.New(c.RESTConfig(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func (c *cluster) record(t *testing.T, objects ...client.Object) {
	t.Helper()
	records := c.records(t)
	for _, o := range objects {
		if err := records.Create(t.Context(), o); err != nil {
			t.Fatalf("create %T %s: %v", o, o.GetName(), err)
		}
	}
}

var (
	leftAt  = metav1.NewTime(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC))
	startAt = metav1.NewTime(time.Date(2026, 5, 1, 11, 0, 0, 0, time.UTC))
)

// obituary is that of a pod whose only container was cut off by a panic.
func obituary(namespace, pod string,
	change ...func(*v1alpha1.PodObituarySpec)) *v1alpha1.PodObituary {
	o := &v1alpha1.PodObituary{ObjectMeta: metav1.ObjectMeta{Namespace: namespace,
		Name: unique(pod)}}
	o.Spec = v1alpha1.PodObituarySpec{
		PodName: pod, PodUID: types.UID(o.Name), NodeName: "gone-1", Phase: "Running",
		Created: startAt, Removed: leftAt,
		Code: string(reason.KernelPanic), Class: reason.Disruption.String(),
		By: "epitaph/netconsole", DeletedBy: "epitaph/netconsole",
		Reason: string(reason.New(reason.Pod, reason.KernelPanic,
			"sysrq triggered crash", "").Text),
		Containers: []v1alpha1.ContainerEnd{{Name: "main", State: v1alpha1.Running,
			Started: &startAt}},
	}
	for _, f := range change {
		f(&o.Spec)
	}
	return o
}

func wantSaid(t *testing.T, got, want said) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(said{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// suspendedJob makes a Job that starts nothing, and returns its UID.
func suspendedJob(t *testing.T, namespace, name string) types.UID {
	t.Helper()
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name}}
	job.Spec.Suspend = ptr.To(true)
	job.Spec.Template.Spec = corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever,
		Containers: []corev1.Container{{Name: "main", Image: "registry.example/work:1"}}}
	made, err := shared.client.BatchV1().Jobs(namespace).Create(t.Context(), job,
		metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("create job %s: %v", name, err)
	}
	return made.UID
}

// grant gives a user rights in one namespace, and waits until the API server knows.
func (c *cluster) grant(t *testing.T, namespace, user, group string, resources, verbs []string) {
	t.Helper()
	c.grantIn(t, namespace, user, rbacv1.PolicyRule{APIGroups: []string{group},
		Resources: resources, Verbs: verbs})
	c.hasRight(t, user, namespace, group, resources[0], verbs[0])
}

// hasRight waits until the API server knows a right.
func (c *cluster) hasRight(t *testing.T, user, namespace, group, resource, verb string) {
	t.Helper()
	review := &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{User: user,
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: namespace, Group: group, Resource: resource, Verb: verb,
			}}}
	c.eventually(t, user+" has the right", func(ctx context.Context) (bool, error) {
		answer, err := c.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, review,
			metav1.CreateOptions{})
		return err == nil && answer.Status.Allowed, err
	})
}
