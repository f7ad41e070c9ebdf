package sandbox_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// eventually is how long a cluster has for what it does in at most 7 s on an idle machine.
const eventually = 60 * time.Second

func TestSandboxIsACluster(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: etcd and kube-apiserver are missing, which " +
			"make test-controlplane builds")
	}
	t.Parallel()
	s, err := sandbox.Start(t.Context(), sandbox.Options{
		Dir: t.TempDir(), Out: t.Output(), Again: true,
		Epitaph: sandbox.EpitaphOptions{LeaveOut: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	client := kubernetes.NewForConfigOrDie(s.RESTConfig())
	before := names(t, client)
	nodes := s.Nodes()
	if len(nodes) != 6 || nodes[5].Name != "node-6" {
		t.Fatalf("nodes = %v, want node-1 to node-6", nodes)
	}
	pods := aDeployment(t, client, 6)
	node := nodeByName(t, nodes, pods[0].Spec.NodeName)

	t.Run("a pod goes by its kubelet's hand", func(t *testing.T) { podGoes(t, s, client, pods[0]) })
	t.Run("a program ends as told", func(t *testing.T) { programEnds(t, client) })
	t.Run("a kubelet dies and comes back", func(t *testing.T) {
		kubeletDiesAndReturns(t, s, client, node)
	})
	t.Run("kubelets restart", func(t *testing.T) { kubeletsRestart(t, s, client, node, nodes) })
	t.Run("an instance goes and comes back", func(t *testing.T) {
		instanceGoesAndReturns(t, s, client, node)
	})
	t.Run("it is cleared and begun again", func(t *testing.T) {
		isClearedAndBegunAgain(t, s, client, before)
	})
	t.Run("nothing outlives Stop", func(t *testing.T) { nothingOutlivesStop(t, s) })
}

func podGoes(t *testing.T, s *sandbox.Sandbox, client kubernetes.Interface, pod corev1.Pod) {
	deletePod(t, client, pod)
	isDeletedLastBy(t, s, pod.Name, "system:node:"+pod.Spec.NodeName)
}

func programEnds(t *testing.T, client kubernetes.Interface) {
	_, err := client.BatchV1().Jobs("default").Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "batch"},
		Spec: batchv1.JobSpec{BackoffLimit: ptr.To(int32(0)), Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{
				"sandbox.epitaph/exit-code": "7"}},
			Spec: corev1.PodSpec{
				RestartPolicy: corev1.RestartPolicyNever,
				Containers:    []corev1.Container{{Name: "batch", Image: "batch"}},
			},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the program to fail as told", func(ctx context.Context) error {
		list, err := client.CoreV1().Pods("default").List(ctx,
			metav1.ListOptions{LabelSelector: "job-name=batch"})
		if err != nil {
			return err
		}
		if len(list.Items) != 1 || list.Items[0].Status.Phase != corev1.PodFailed {
			return fmt.Errorf("%d pods, not one that failed", len(list.Items))
		}
		if code := list.Items[0].Status.ContainerStatuses[0].State.Terminated.ExitCode; code != 7 {
			return fmt.Errorf("exit code %d, want 7", code)
		}
		return nil
	})
}

func kubeletDiesAndReturns(t *testing.T, s *sandbox.Sandbox, client kubernetes.Interface,
	node sandbox.Node) {
	if err := handshake(node.Address); err != nil {
		t.Errorf("user space of a living node: %v", err)
	}
	if err := s.StopKubelet(t.Context(), node.Name); err != nil {
		t.Fatal(err)
	}
	if handshake(node.Address) == nil {
		t.Error("user space still answers after StopKubelet")
	}
	waitFor(t, "the silent node to be Unknown",
		func(ctx context.Context) error {
			return isReady(ctx, client, node.Name, corev1.ConditionUnknown)
		})
	if err := s.StartKubelet(t.Context(), node.Name); err != nil {
		t.Fatal(err)
	}
	if after := nodeByName(t, s.Nodes(), node.Name); after.BootID == node.BootID {
		t.Error("the boot ID is the same after a boot")
	}
	if err := handshake(node.Address); err != nil {
		t.Errorf("user space after StartKubelet: %v", err)
	}
	waitFor(t,
		"the node to be Ready again",
		func(ctx context.Context) error {
			return isReady(ctx, client, node.Name, corev1.ConditionTrue)
		})
}

// kubeletsRestart restarts one kubelet faster than Leases are renewed: that must not keep another
// one from renewing its own, and one that is stopped renews no more.
func kubeletsRestart(t *testing.T, s *sandbox.Sandbox, client kubernetes.Interface,
	node sandbox.Node, all []sandbox.Node) {
	other := all[0]
	if other == node {
		other = all[1]
	}
	for range 50 {
		for _, do := range []func(context.Context, string) error{s.StopKubelet, s.ResumeKubelet} {
			if err := do(t.Context(), node.Name); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 3 {
		for _, n := range []sandbox.Node{node, other} {
			last := renewedAt(t, client, n.Name)
			waitFor(t, "node "+n.Name+" to renew its Lease", func(context.Context) error {
				if renewedAt(t, client, n.Name).Equal(last) {
					return fmt.Errorf("it was last renewed at %s", last)
				}
				return nil
			})
		}
	}
	if err := s.StopKubelet(t.Context(), node.Name); err != nil {
		t.Fatal(err)
	}
	last := renewedAt(t, client, node.Name)
	waitFor(t, "the silent node to be Unknown",
		func(ctx context.Context) error {
			return isReady(ctx, client, node.Name, corev1.ConditionUnknown)
		})
	if now := renewedAt(t, client, node.Name); !now.Equal(last) {
		t.Errorf("the Lease of a kubelet that is stopped was renewed at %s, after %s", now, last)
	}
	if err := s.ResumeKubelet(t.Context(), node.Name); err != nil {
		t.Fatal(err)
	}
	waitFor(t,
		"the node to be Ready again",
		func(ctx context.Context) error {
			return isReady(ctx, client, node.Name, corev1.ConditionTrue)
		})
}

func renewedAt(t *testing.T, client kubernetes.Interface, node string) time.Time {
	t.Helper()
	lease, err := client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(t.Context(), node,
		metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if lease.Spec.RenewTime == nil {
		return time.Time{}
	}
	return lease.Spec.RenewTime.Time
}

func instanceGoesAndReturns(t *testing.T, s *sandbox.Sandbox, client kubernetes.Interface,
	node sandbox.Node) {
	if err := s.TakeInstanceAway(node.Name); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the cloud to delete the Node",
		func(ctx context.Context) error { return isGone(ctx, client, node.Name) })
	isDeletedLastBy(t, s, node.Name,
		"system:serviceaccount:kube-system:node-controller")
	again, err := s.AddNode(t.Context(), sandbox.NodeSpec{Name: node.Name, CPU: "2",
		ProviderID: "gce://sandbox/sandbox-a/" + node.Name})
	if err != nil {
		t.Fatal(err)
	}
	if again.Address != node.Address || again.BootID == node.BootID {
		t.Errorf("re-created node = %+v, want the address of %+v and another boot ID", again, node)
	}
	if err := s.TakeInstanceAway(node.Name); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the cloud to delete a Node of another provider that it plays",
		func(ctx context.Context) error { return isGone(ctx, client, node.Name) })
	// Which node it is, the scheduler decides: those after us want all of them.
	if _, err := s.AddNode(t.Context(), sandbox.NodeSpec{Name: node.Name, CPU: "2"}); err != nil {
		t.Fatal(err)
	}
}

func nothingOutlivesStop(t *testing.T, s *sandbox.Sandbox) {
	processes, nodes := s.Processes(), s.Nodes()
	if len(processes) != 7 {
		t.Errorf("%d programs, want the cluster's six and Epitaph", len(processes))
	}
	// Another sandbox may take an address over at once: it has other certificates.
	before := map[string][]byte{}
	for _, n := range nodes {
		before[n.Address], _ = certificate(n.Address)
	}
	s.Stop()
	for _, p := range processes {
		if err := syscall.Kill(p.PID(), 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("%s is still there: %v", p.Name, err)
		}
	}
	for _, n := range nodes {
		if after, err := certificate(n.Address); err == nil &&
			bytes.Equal(after, before[n.Address]) {
			t.Errorf("user space of %s still answers", n.Name)
		}
	}
}

// aDeployment returns its running pods.
func aDeployment(t *testing.T, client kubernetes.Interface, replicas int32) []corev1.Pod {
	t.Helper()
	labels := map[string]string{"app": "web"}
	_, err := client.AppsV1().Deployments("default").Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{
					{Name: "web", Image: "web"}}},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var running []corev1.Pod
	waitFor(t, "all pods to run", func(ctx context.Context) error {
		list, err := client.CoreV1().Pods("default").List(ctx,
			metav1.ListOptions{FieldSelector: "status.phase=Running"})
		if err != nil {
			return err
		}
		running = list.Items
		if len(running) != int(replicas) {
			return fmt.Errorf("%d of %d run", len(running), replicas)
		}
		return nil
	})
	return running
}

func deletePod(t *testing.T, client kubernetes.Interface, pod corev1.Pod) {
	t.Helper()
	if err := client.CoreV1().Pods(pod.Namespace).Delete(t.Context(), pod.Name,
		metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(30))}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the pod to be gone", func(ctx context.Context) error {
		_, err := client.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is there: %w", err)
	})
}

// isDeletedLastBy waits until the API server's audit log says so: that is written once a request is
// answered, which may be after whoever watches has seen the object go.
func isDeletedLastBy(t *testing.T, s *sandbox.Sandbox, name, want string) {
	t.Helper()
	waitFor(t, "the audit log to have the last DELETE of "+name, func(context.Context) error {
		got, err := whoDeletedLast(s, name)
		if err == nil && got != want {
			err = fmt.Errorf("the last DELETE came from %q, want %q", got, want)
		}
		return err
	})
}

// whoDeletedLast asks the API server's audit log.
func whoDeletedLast(s *sandbox.Sandbox, name string) (string, error) {
	log, err := os.Open(s.AuditLog())
	if err != nil {
		return "", err
	}
	defer log.Close()
	var user string
	for lines := bufio.NewScanner(log); lines.Scan(); {
		var event struct {
			Verb             string
			User             struct{ Username string }
			ImpersonatedUser *struct{ Username string }
			ObjectRef        struct{ Name string }
		}
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return "", err // it is being written
		}
		if event.Verb != "delete" || event.ObjectRef.Name != name {
			continue
		}
		user = event.User.Username
		if event.ImpersonatedUser != nil {
			user = event.ImpersonatedUser.Username
		}
	}
	return user, nil
}

func isReady(ctx context.Context, client kubernetes.Interface, name string,
	want corev1.ConditionStatus) error {
	node, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == want {
			return nil
		}
	}
	return fmt.Errorf("Ready is not %s", want)
}

func isGone(ctx context.Context, client kubernetes.Interface, name string) error {
	_, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("it is there: %w", err)
}

// handshake is what a proof of death asks of a node.
func handshake(address string) error {
	_, err := certificate(address)
	return err
}

// certificate returns the certificate of whoever answers at the kubelet's port.
func certificate(address string) ([]byte, error) {
	dialer := &net.Dialer{Timeout: time.Second}
	conn, err := tls.DialWithDialer(dialer, "tcp", net.JoinHostPort(address, "10250"),
		&tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return nil, err
	}
	return conn.ConnectionState().PeerCertificates[0].Raw, conn.Close()
}

func nodeByName(t *testing.T, nodes []sandbox.Node, name string) sandbox.Node {
	t.Helper()
	for _, n := range nodes {
		if n.Name == name {
			return n
		}
	}
	t.Fatalf("there is no node %q in %v", name, nodes)
	return sandbox.Node{}
}

func waitFor(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), eventually)
	defer cancel()
	began := time.Now()
	for {
		last := check(ctx)
		if last == nil {
			t.Logf("waited %s for %s", time.Since(began).Round(10*time.Millisecond), what)
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited %s for %s: %v", eventually, what, last)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// isClearedAndBegunAgain leaves nothing of what one user of the cluster did to the next, and no
// controller goes on with it. before is what there was at the start.
func isClearedAndBegunAgain(t *testing.T, s *sandbox.Sandbox, client kubernetes.Interface,
	before []string) {
	leaveTraces(t, s, client)
	if err := s.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(s.Nodes()); n != 0 {
		t.Errorf("%d nodes are left", n)
	}
	if err := s.Begin(t.Context(), sandbox.EpitaphOptions{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, names(t, client)); diff != "" {
		t.Errorf("-before +after:\n%s", diff)
	}
	if s.Epitaph == nil || !s.Epitaph.Running() {
		t.Error("Epitaph does not run, which was asked for this time")
	}
	log, err := s.Audited()
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if text, err := io.ReadAll(log); err != nil || bytes.Contains(text, []byte("another-user")) {
		t.Errorf("the audit log is of before: %v", err)
	}
	pod := aDeployment(t, client, 6)[0]
	err = client.CoreV1().Pods(pod.Namespace).Delete(t.Context(), pod.Name, metav1.DeleteOptions{})
	if err == nil || !strings.Contains(err.Error(), "must not leave without a reason") {
		t.Errorf("the API server does not ask Epitaph: %v", err)
	}
}

// names are those of the objects that leaveTraces makes, or changes.
func names(t *testing.T, client kubernetes.Interface) (all []string) {
	t.Helper()
	for _, list := range []func() (runtime.Object, error){
		func() (runtime.Object, error) {
			return client.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
		},
		func() (runtime.Object, error) {
			return client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
		},
		func() (runtime.Object, error) {
			return client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
		},
		func() (runtime.Object, error) {
			return client.AppsV1().ReplicaSets("").List(t.Context(), metav1.ListOptions{})
		},
		func() (runtime.Object, error) {
			return client.RbacV1().ClusterRoles().List(t.Context(), metav1.ListOptions{})
		},
	} {
		objects, err := list()
		if err != nil {
			t.Fatal(err)
		}
		if err := meta.EachListItem(objects, func(o runtime.Object) error {
			object, err := meta.Accessor(o)
			all = append(all, fmt.Sprintf("%T %s/%s %v", o, object.GetNamespace(),
				object.GetName(), object.GetLabels()["trace"]))
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(all)
	return all
}

// leaveTraces does what is hard to clear away: controllers that make more, a finalizer, a changed
// object of the system, an instance without its node.
func leaveTraces(t *testing.T, s *sandbox.Sandbox, client kubernetes.Interface) {
	t.Helper()
	ctx := t.Context()
	if _, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: "another-user"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().Pods("default").Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "held", Finalizers: []string{"sandbox.epitaph/held"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "main"}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	traced := []byte(`{"metadata":{"labels":{"trace":"left"}}}`)
	if _, err := client.RbacV1().ClusterRoles().Patch(ctx, "view", types.MergePatchType, traced,
		metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := client.RbacV1().ClusterRoles().Delete(ctx, "edit",
		metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.TakeInstanceAway("node-2"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddNode(ctx, sandbox.NodeSpec{Name: "another"}); err != nil {
		t.Fatal(err)
	}
}
