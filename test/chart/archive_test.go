//go:build linux

package chart

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// archived switches the archive on, with a file on a volume and a receiver that has an authority of
// its own and wants a token: what leaves then is stored, and told to the receiver, by a pod that has
// no more than the chart mounts and allows.
func archived(t *testing.T, c *cluster) {
	r := startReceiver(t)
	c.prepareArchive(t, r)
	before := c.replicas(t)
	c.helm(t, "upgrade", release, c.chart, "--namespace", namespace, "--set",
		"config.archive.enabled=true,config.archive.store=SQLite,config.archive.receivers[0].name=siem,"+
			"config.archive.receivers[0].format=CloudEvents", "--wait", "--timeout=5m")
	c.allReplaced(t, before, 2)
	c.denies(t, "archived") // and then it leaves, with a reason
	eventually(t, "the receiver is told of the pod", func(context.Context) (bool, error) {
		return r.told("io.epitaph-k8s.pod.recorded", "namespaces/default/pods/archived"), nil
	})

	before = c.replicas(t)
	c.helm(t, "upgrade", release, c.chart, "--namespace", namespace, "--reset-values", "--wait",
		"--timeout=5m")
	c.allReplaced(t, before, 2)
	claims := c.client.CoreV1().PersistentVolumeClaims(namespace)
	if _, err := claims.Get(t.Context(), "epitaph-archive", metav1.GetOptions{}); err != nil {
		t.Errorf("the archive's claim has not stayed: %v", err)
	}
	must(t, claims.Delete(t.Context(), "epitaph-archive", metav1.DeleteOptions{}))
	must(t, c.client.CoreV1().PersistentVolumes().Delete(t.Context(), "archive", metav1.DeleteOptions{}))
	must(t, c.client.CoreV1().Secrets(namespace).Delete(t.Context(), "epitaph-receiver-siem",
		metav1.DeleteOptions{}))
	eventually(t, "the archive is gone", func(ctx context.Context) (bool, error) {
		_, err := c.client.AppsV1().Deployments(namespace).Get(ctx, "epitaph-archive", metav1.GetOptions{})
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
}

// prepareArchive makes what is there before the archive: a volume, and the receiver's Secret.
func (c *cluster) prepareArchive(t *testing.T, r *receiver) {
	t.Helper()
	_, err := c.client.CoreV1().PersistentVolumes().Create(t.Context(), &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "archive"},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("100Gi")},
			AccessModes:                   []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			ClaimRef:                      &corev1.ObjectReference{Namespace: namespace, Name: "epitaph-archive"},
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{
				Path: filepath.Join(c.dir, "archive")}},
		}}, metav1.CreateOptions{})
	must(t, err)
	_, err = c.client.CoreV1().Secrets(namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "epitaph-receiver-siem"},
		StringData: map[string]string{"url": r.URL, "token": receiverToken,
			"ca.crt": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw}))},
	}, metav1.CreateOptions{})
	must(t, err)
}

const receiverToken = "a-token-of-the-receiver"

// A receiver keeps of which subjects it was told what.
type receiver struct {
	*httptest.Server

	mu     sync.Mutex
	events map[string]bool
}

func startReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{events: map[string]bool{}}
	r.Server = httptest.NewTLSServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	var event struct{ Type, Subject string }
	if request.Header.Get("Authorization") != "Bearer "+receiverToken {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if err := json.NewDecoder(request.Body).Decode(&event); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events[event.Type+" "+event.Subject] = true
}

func (r *receiver) told(event, subject string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[event+" "+subject]
}
