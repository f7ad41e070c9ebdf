//go:build linux

package chart

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	serverName  = "epitaph-webhook." + namespace + ".svc"
	webhookPort = "9443"
	// The Secrets with the serving certificate: cert-manager's and Helm's.
	issuedSecret, madeSecret = "epitaph-webhook-tls", "epitaph-webhook-helm"
)

// install is the command of the documentation: no value is set.
func install(t *testing.T, c *cluster) {
	began := time.Now()
	said := c.helm(t, "install", release, c.chart, "--namespace", namespace,
		"--create-namespace", "--wait", "--timeout=3m")
	fmt.Printf("  helm install --wait took %.1f s\n", time.Since(began).Seconds())
	if want := "Epitaph 0.1.0 is in the namespace epitaph-system."; !strings.Contains(said, want) {
		t.Errorf("helm install printed\n%s\nwithout %q", said, want)
	}
	if want := "The webhook cannot tell the API server from other callers."; !strings.Contains(said,
		want) {
		t.Errorf("helm install printed\n%s\nwithout %q", said, want)
	}
	if replicas := c.replicas(t); len(replicas) != 2 {
		t.Errorf("%d replicas, want 2", len(replicas))
	}
}

// trusted wants every replica to serve what was issued, and the API server to accept it.
func trusted(t *testing.T, c *cluster) {
	issued := c.issued(t, issuedSecret)
	must(t, c.verifies(t, issued))
	for _, p := range c.replicas(t) {
		if !serves(t, p.Status.PodIP).Equal(issued) {
			t.Errorf("%s serves another certificate than was issued", p.Name)
		}
	}
}

// issued is the certificate that is kept in the Secret.
func (c *cluster) issued(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(c.secret(t, name).Data[corev1.TLSCertKey])
	if block == nil {
		t.Fatalf("the Secret %s holds no certificate", name)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	must(t, err)
	return certificate
}

func (c *cluster) secret(t *testing.T, name string) *corev1.Secret {
	t.Helper()
	secret, err := c.client.CoreV1().Secrets(namespace).Get(t.Context(), name, metav1.GetOptions{})
	must(t, err)
	return secret
}

// serves returns the certificate that is shown at the address.
func serves(t *testing.T, address string) *x509.Certificate {
	t.Helper()
	dialer := &tls.Dialer{Config: &tls.Config{
		ServerName: serverName, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: true, // it is looked at, not trusted
	}}
	conn, err := dialer.DialContext(t.Context(), "tcp", net.JoinHostPort(address, webhookPort))
	must(t, err)
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
}

// allServe waits until every replica serves the certificate.
func (c *cluster) allServe(t *testing.T, want *x509.Certificate) {
	t.Helper()
	eventually(t, "both replicas serve it", func(ctx context.Context) (bool, error) {
		ready := c.endpoints(ctx)
		for _, address := range ready {
			if !serves(t, address).Equal(want) {
				return false, nil
			}
		}
		return len(ready) == 2, nil
	})
}

// deletes are what Epitaph is for.
func deletes(t *testing.T, c *cluster) {
	eventually(t, "the Service has both replicas",
		func(ctx context.Context) (bool, error) { return len(c.endpoints(ctx)) == 2, nil })
	want := []string{c.kubelets[0].Address().String(), c.kubelets[1].Address().String()}
	if got := c.endpoints(t.Context()); !slices.Equal(got, want) {
		t.Errorf("the Service's endpoints are %v, want %v", got, want)
	}
	t.Run("a person's is denied", func(t *testing.T) { c.denies(t, "orders") })
	t.Run("a controller's is filled", func(t *testing.T) { c.fills(t, "web") })
}

// endpoints are the addresses behind the webhook's Service that are ready.
func (c *cluster) endpoints(ctx context.Context) (addresses []string) {
	slicesOf, err := c.client.DiscoveryV1().EndpointSlices(namespace).List(ctx,
		metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=epitaph-webhook"})
	if err != nil {
		return nil
	}
	for _, s := range slicesOf.Items {
		for _, e := range s.Endpoints {
			if ptr.Deref(e.Conditions.Ready, false) {
				addresses = append(addresses, e.Addresses...)
			}
		}
	}
	slices.Sort(addresses)
	return addresses
}

func (c *cluster) denies(t *testing.T, name string) {
	t.Helper()
	pod := victim(name)
	pod.Spec.NodeName = workNode
	_, err := c.client.CoreV1().Pods(pod.Namespace).Create(t.Context(), pod, metav1.CreateOptions{})
	must(t, err)
	alice := c.as(t, "alice").CoreV1().Pods(pod.Namespace)
	err = alice.Delete(t.Context(), name, metav1.DeleteOptions{})
	want := `admission webhook "pods.epitaph-k8s.io" denied the request: pod ` + name +
		` must not leave without a reason (rule "people-say-why"): the reason is empty. Say why, then delete it:
  kubectl annotate pod ` + name + ` -n default --overwrite pod.titus.netflix.com/pod-termination-reason='WHY IT HAS TO GO'
  kubectl delete pod ` + name + ` -n default`
	if !apierrors.IsForbidden(err) || err.Error() != want {
		t.Fatalf("the delete ended with\n%v\nwant\n%s", err, want)
	}
	why := []byte(
		`{"metadata":{"annotations":{"pod.titus.netflix.com/pod-termination-reason":"the experiment is over"}}}`)
	_, err = alice.Patch(t.Context(), name, types.MergePatchType, why, metav1.PatchOptions{})
	must(t, err)
	must(t, alice.Delete(t.Context(), name, metav1.DeleteOptions{}))
	c.leaves(t, name, reason.Reason{Code: reason.UserRequest,
		Text: "the experiment is over", By: "alice"})
}

func (c *cluster) fills(t *testing.T, name string) {
	t.Helper()
	labels := map[string]string{"app": name}
	spec := victim("").Spec
	spec.SchedulerName, spec.NodeName = "", workNode
	deployments := c.client.AppsV1().Deployments(metav1.NamespaceDefault)
	_, err := deployments.Create(t.Context(),
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: spec},
		}}, metav1.CreateOptions{})
	must(t, err)
	var pod corev1.Pod
	eventually(t, "the pod runs", func(ctx context.Context) (bool, error) {
		pods, err := c.client.CoreV1().Pods(metav1.NamespaceDefault).List(ctx,
			metav1.ListOptions{LabelSelector: "app=" + name})
		if err != nil || len(pods.Items) != 1 {
			return false, nil
		}
		pod = pods.Items[0]
		return pod.Status.Phase == corev1.PodRunning, nil
	})
	_, err = c.as(t, "system:serviceaccount:ci:runner").AppsV1().Deployments(
		metav1.NamespaceDefault).Patch(t.Context(), name, types.MergePatchType,
		[]byte(`{"spec":{"replicas":0}}`), metav1.PatchOptions{})
	must(t, err)
	c.leaves(t, pod.Name, reason.Reason{
		Code: reason.ScaledDown, By: "system:serviceaccount:kube-system:replicaset-controller",
		Text: reason.Text("This pod was removed because its owner needs fewer pods (ReplicaSet " +
			pod.OwnerReferences[0].Name + ")"),
	})
	must(t, deployments.Delete(t.Context(), name, metav1.DeleteOptions{}))
}

// leaves waits until a pod has left, and compares the reason that its last state carries.
func (c *cluster) leaves(t *testing.T, name string, want reason.Reason) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d, err := c.witness.Sees(ctx, reason.Pod, metav1.NamespaceDefault+"/"+name)
	must(t, err)
	if d.Reason != want {
		t.Errorf("pod %s left with\n  %+v, want\n  %+v", name, d.Reason, want)
	}
}
