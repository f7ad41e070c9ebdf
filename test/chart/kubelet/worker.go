package kubelet

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// A worker runs one pod.
type worker struct {
	kubelet *Kubelet
	address netip.Addr
	dir     string
	volumes volumes
	gone    chan struct{}
	pod     atomic.Pointer[corev1.Pod] // as it was seen last

	process  *sandbox.Process // the kubelet's mutex guards it
	restarts int32
	told     state
}

// A state is what the pod's status is made of.
type state struct {
	running, ready bool
	restarts       int32
	// over is set when the container has ended for good, with this exit code.
	over bool
	exit int32
}

// newWorker must be called under the kubelet's lock.
func newWorker(k *Kubelet, pod *corev1.Pod) *worker {
	w := &worker{kubelet: k, address: k.addressFor(pod),
		dir: filepath.Join(k.o.Dir, string(pod.UID)), gone: make(chan struct{})}
	w.pod.Store(pod)
	w.volumes = mounted(w.root(), pod)
	return w
}

// root is the folder that stands for the container's root.
func (w *worker) root() string { return filepath.Join(w.dir, "root") }

func (w *worker) run(ctx context.Context) {
	tick := time.NewTicker(syncPeriod)
	defer tick.Stop()
	failed := false
	for {
		pod := w.pod.Load()
		if pod.DeletionTimestamp != nil {
			w.end(ctx, pod)
			return
		}
		err := w.sync(ctx, pod)
		// At first the node authorizer may not know yet that the pod is ours.
		if err != nil && failed && ctx.Err() == nil {
			w.kubelet.o.Logf("run pod %s: %v", pod.Name, err)
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return
		case <-w.gone:
			if w.process != nil {
				w.process.Kill()
			}
			return
		case <-tick.C:
		}
	}
}

func (w *worker) sync(ctx context.Context, pod *corev1.Pod) error {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	if w.process == nil || !w.kubelet.frozen.Load() {
		if err := w.volumes.project(ctx, w.kubelet.o.Client, pod.Namespace,
			w.localise); err != nil {
			return err
		}
	}
	if w.over(pod) {
		return w.tell(ctx, pod, w.last(pod))
	}
	if w.process == nil || !w.process.Running() {
		if err := w.start(ctx, pod); err != nil {
			return err
		}
	}
	return w.tell(ctx, pod, state{running: true, ready: w.probe(ctx, pod), restarts: w.restarts})
}

// over tells whether the container has ended and is not started again.
func (w *worker) over(pod *corev1.Pod) bool {
	return pod.Spec.RestartPolicy == corev1.RestartPolicyNever && w.process != nil &&
		!w.process.Running()
}

// last is the state in which a pod leaves; one that was told to go has ended well.
func (w *worker) last(pod *corev1.Pod) state {
	s := state{restarts: w.restarts, over: true}
	if w.over(pod) && pod.DeletionTimestamp == nil {
		s.exit = int32(w.process.ExitCode())
	}
	return s
}

// start starts the container, again if it has ended.
func (w *worker) start(ctx context.Context, pod *corev1.Pod) error {
	k, c := w.kubelet, pod.Spec.Containers[0]
	program, err := k.o.Program(c.Image, c.Command)
	if err != nil {
		return err
	}
	kubeconfig := filepath.Join(w.dir, "kubeconfig")
	if err := w.identify(ctx, pod, kubeconfig); err != nil {
		return err
	}
	var args []string
	for _, arg := range c.Args {
		args = append(args, w.localise(arg))
	}
	p, err := k.o.Launch(pod.Name+"-"+string(pod.UID[:8]), program,
		append(args, "--kubeconfig="+kubeconfig)...)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if w.process != nil {
		w.restarts++
	}
	w.process = p
	return nil
}

// identify gives the container the token that a kubelet would: its service account's, bound to the
// pod.
func (w *worker) identify(ctx context.Context, pod *corev1.Pod, kubeconfig string) error {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: ptr.To(int64(3607)),
		BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1",
			Name: pod.Name, UID: pod.UID},
	}}
	accounts := w.kubelet.o.Client.CoreV1().ServiceAccounts(pod.Namespace)
	token, err := accounts.CreateToken(ctx, pod.Spec.ServiceAccountName, request,
		metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("ask for a token of %s: %w", pod.Spec.ServiceAccountName, err)
	}
	return w.kubelet.o.WriteKubeconfig(kubeconfig, token.Status.Token)
}

// probe asks the container whether it is ready; one without a probe is.
func (w *worker) probe(ctx context.Context, pod *corev1.Pod) bool {
	c := pod.Spec.Containers[0]
	if c.ReadinessProbe == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx,
		time.Duration(c.ReadinessProbe.TimeoutSeconds)*time.Second)
	defer cancel()
	get := c.ReadinessProbe.HTTPGet
	port := get.Port.IntValue()
	for _, p := range c.Ports {
		if p.Name == get.Port.StrVal {
			port = int(p.ContainerPort)
		}
	}
	url := "http://" + net.JoinHostPort(w.address.String(), strconv.Itoa(port)) + get.Path
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// end is the end of a pod that was asked to go: preStop and SIGTERM within the grace period, then
// the last DELETE.
func (w *worker) end(ctx context.Context, pod *corev1.Pod) {
	grace := time.Duration(ptr.Deref(pod.DeletionGracePeriodSeconds, 0)) * time.Second
	began := time.Now()
	if l := pod.Spec.Containers[0].Lifecycle; l != nil && l.PreStop != nil &&
		l.PreStop.Sleep != nil {
		select {
		case <-ctx.Done():
			return
		case <-w.gone:
		case <-time.After(min(grace, time.Duration(l.PreStop.Sleep.Seconds)*time.Second)):
		}
	}
	if w.process != nil {
		w.process.StopWithin(max(0, grace-time.Since(began)))
	}
	if err := w.finish(ctx, pod); err != nil && ctx.Err() == nil {
		w.kubelet.o.Logf("end pod %s: %v", pod.Name, err)
	}
}
