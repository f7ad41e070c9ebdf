package main

import (
	"context"
	"strconv"
	"strings"
	"sync"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// exitAnnotation ends a pod of the sandbox with an exit code (test/sandbox/stages/pod-exit.yaml).
const exitAnnotation = "sandbox.epitaph/exit-code"

// programs ends pods as the scripts in them would: kwok runs no program, and the tests of Jobs and
// CronJobs are about how programs end. It knows the scripts of those tests
// (k8s.io/kubernetes/test/e2e/framework/job/fixtures.go); all other pods run until they are
// deleted.
type programs struct {
	client kubernetes.Interface

	mu sync.Mutex
	// marked are the files that scripts leave for the next run: a Job and an index each.
	marked map[string]bool
	// ended are the pods that were told to end.
	ended map[types.UID]bool
}

// run ends pods until ctx ends, and returns when nothing is left of it.
func (p *programs) run(ctx context.Context) {
	factory := informers.NewSharedInformerFactory(p.client, 0)
	pods := factory.Core().V1().Pods().Informer()
	see := func(object any) {
		if pod, ok := object.(*corev1.Pod); ok {
			p.see(ctx, pod)
		}
	}
	// A new informer takes any handler.
	_, _ = pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    see,
		UpdateFunc: func(_, object any) { see(object) },
	})
	factory.Start(ctx.Done())
	<-ctx.Done()
	factory.Shutdown()
}

func (p *programs) see(ctx context.Context, pod *corev1.Pod) {
	if pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil ||
		pod.Spec.RestartPolicy == corev1.RestartPolicyAlways {
		return
	}
	code, ends := p.exitCode(pod)
	// A container that fails is started again by its kubelet, and kwok has no such thing.
	if !ends || code != 0 && pod.Spec.RestartPolicy != corev1.RestartPolicyNever {
		return
	}
	patch := `{"metadata":{"annotations":{"` + exitAnnotation + `":"` + strconv.Itoa(code) + `"}}}`
	// A pod that is gone meanwhile needs no end; its test says whatever else goes wrong.
	_, _ = p.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType,
		[]byte(patch), metav1.PatchOptions{})
}

// exitCode is how the script of the pod's first container ends, and whether it does. It is asked
// once about each pod.
func (p *programs) exitCode(pod *corev1.Pod) (code int, ends bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended[pod.UID] {
		return 0, false
	}
	p.ended[pod.UID] = true
	c := pod.Spec.Containers[0]
	script := strings.Join(append(c.Command, c.Args...), " ")
	index := pod.Annotations[batchv1.JobCompletionIndexAnnotation]
	n, _ := strconv.Atoi(index)
	switch {
	case script == "/bin/true" || strings.HasSuffix(script, "-c exit 0"):
		return 0, true
	case script == "/bin/false" || strings.HasSuffix(script, "-c exit 1"):
		return 1, true
	case strings.Contains(script, "$RANDOM"):
		return int(pod.UID[0] & 1), true
	case strings.Contains(script, "${JOB_COMPLETION_INDEX} % 2"):
		return n % 2, true
	case strings.Contains(script, "-r /data/foo"):
		return p.secondTime(pod.Labels[batchv1.JobNameLabel]+"/"+pod.Namespace+"/"+index, script)
	}
	return 0, false
}

// secondTime is how a script ends that leaves a file the first time, and succeeds when it finds it.
func (p *programs) secondTime(file, script string) (code int, ends bool) {
	if p.marked[file] {
		return 0, true
	}
	p.marked[file] = true
	switch {
	case strings.Contains(script, "sleep"):
		return 0, false
	case strings.Contains(script, "exit 42"):
		return 42, true
	}
	return 1, true
}
