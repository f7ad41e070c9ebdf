package e2e

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/podcache"
)

const podNode = "spec.nodeName"

// A follower has a cache of pods, and what it told of the pods of one namespace.
type follower struct {
	cache.Cache
	mu     sync.Mutex
	events []podEvent
}

type podEvent struct {
	What        string
	Before, Pod *corev1.Pod
}

// follow starts a cache and follows a namespace.
func follow(t *testing.T, namespace string, options cache.Options) *follower {
	t.Helper()
	c, err := cache.New(shared.RESTConfig(), options)
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{Cache: c}
	if err := c.IndexField(t.Context(), &corev1.Pod{}, podNode,
		func(o client.Object) []string {
			return []string{
				o.(*corev1.Pod).Spec.NodeName}
		}); err != nil {
		t.Fatal(err)
	}
	informer, err := c.GetInformer(t.Context(), &corev1.Pod{}, cache.BlockUntilSynced(false))
	if err != nil {
		t.Fatal(err)
	}
	note := func(what string, before, after any) {
		pod, old := after.(*corev1.Pod), (*corev1.Pod)(nil)
		if before != nil {
			old = whittled(before.(*corev1.Pod))
		}
		if pod.Namespace == namespace {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.events = append(f.events, podEvent{what, old, whittled(pod)})
		}
	}
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { note("added", nil, o) },
		UpdateFunc: func(before, after any) { note("updated", before, after) },
		DeleteFunc: func(o any) { note("deleted", nil, o) },
	}); err != nil {
		t.Fatal(err)
	}
	go func() { _ = c.Start(t.Context()) }()
	if !c.WaitForCacheSync(t.Context()) {
		t.Fatal("the cache did not sync")
	}
	return f
}

// of are the events of one pod so far.
func (f *follower) of(name string) []podEvent {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.events),
		func(e podEvent) bool { return e.Pod.Name != name })
}

// whittled is a pod with nothing but what Epitaph reads.
func whittled(p *corev1.Pod) *corev1.Pod {
	out := &corev1.Pod{TypeMeta: p.TypeMeta}
	out.Name, out.Namespace, out.UID, out.ResourceVersion, out.Generation = p.Name, p.Namespace,
		p.UID, p.ResourceVersion, p.Generation
	out.CreationTimestamp, out.DeletionTimestamp,
		out.DeletionGracePeriodSeconds = p.CreationTimestamp, p.DeletionTimestamp,
		p.DeletionGracePeriodSeconds
	out.OwnerReferences, out.Finalizers = p.OwnerReferences, p.Finalizers
	if text, ok := p.Annotations[keys.Pod.Reason]; ok {
		out.Annotations = map[string]string{keys.Pod.Reason: text}
	}
	out.Spec.NodeName, out.Spec.Priority, out.Spec.PreemptionPolicy = p.Spec.NodeName,
		p.Spec.Priority, p.Spec.PreemptionPolicy
	out.Spec.SchedulingGates, out.Spec.TerminationGracePeriodSeconds = p.Spec.SchedulingGates,
		p.Spec.TerminationGracePeriodSeconds
	out.Status.Phase, out.Status.Reason, out.Status.Message = p.Status.Phase, p.Status.Reason,
		p.Status.Message
	return out
}

// onlyTheReason is read of pods.
type onlyTheReason struct{}

func (onlyTheReason) Label(string) bool          { return false }
func (onlyTheReason) Annotation(key string) bool { return key == keys.Pod.Reason }
func (onlyTheReason) Condition(
	c *corev1.PodCondition) bool {
	return c.Type == corev1.DisruptionTarget
}

func (onlyTheReason) Devices(all []corev1.ResourceStatus) []corev1.ResourceStatus { return all }

// What a cache with small pods gives is what a cache with whole pods gives of the same API server.
func TestSmallPodsAreThePods(t *testing.T) {
	t.Parallel()
	namespace, node := shared.namespace(t), shared.node(t)
	small := follow(t, namespace, cache.Options{NewInformer: podcache.NewInformer(onlyTheReason{})})
	whole := follow(t, namespace, cache.Options{})
	running := shared.pod(t, namespace, node.Name,
		"running", func(p *corev1.Pod) { p.Finalizers = []string{"example.com/held"} })
	// An owner that exists: the garbage collector takes what has none.
	owner, err := shared.client.CoreV1().Nodes().Get(t.Context(), node.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	shared.create(t, podSpec(namespace, "nowhere", "waiting", func(p *corev1.Pod) {
		p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/gate"}}
		p.OwnerReferences = []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "Node", Name: owner.Name, UID: owner.UID,
				Controller: ptr.To(true)}}
	}))
	shared.annotate(t, namespace, "running", "enough is enough")
	if err := shared.client.CoreV1().Pods(namespace).Delete(t.Context(),
		"running", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}

	queries := map[string][]client.ListOption{
		"of the namespace": {client.InNamespace(namespace)},
		"of the node":      {client.MatchingFields{podNode: node.Name}},
		"of the node, in there": {client.InNamespace(namespace),
			client.MatchingFields{podNode: node.Name}},
		"waiting, in there": {client.InNamespace(namespace),
			client.MatchingFields{podNode: ""}},
		"of the node, not copied": {client.MatchingFields{podNode: node.Name},
			client.UnsafeDisableDeepCopy},
		"one": {client.InNamespace(namespace),
			client.MatchingFields{podNode: ""}, client.Limit(1)},
	}
	for what, query := range queries {
		shared.eventually(t, "the same pods "+what, func(ctx context.Context) (bool, error) {
			a, b := podsOf(t, small, query), podsOf(t, whole, query)
			return len(b) > 0 && gocmp.Equal(a, b), nil
		})
	}
	var got, want corev1.Pod
	for _, read := range []error{
		small.Get(t.Context(), client.ObjectKeyFromObject(running), &got),
		whole.Get(t.Context(), client.ObjectKeyFromObject(running), &want),
	} {
		if read != nil {
			t.Fatal(read)
		}
	}
	if diff := gocmp.Diff(whittled(&want), &got); diff != "" {
		t.Error(diff)
	}
	letGo := []byte(`{"metadata":{"finalizers":null}}`)
	if _, err := shared.client.CoreV1().Pods(namespace).Patch(t.Context(),
		"running", types.MergePatchType, letGo, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, f := range []*follower{small, whole} {
		shared.eventually(t, "the end is seen", func(context.Context) (bool, error) {
			events := f.of("running")
			return len(events) > 0 && events[len(events)-1].What == "deleted", nil
		})
	}
	if diff := gocmp.Diff(whole.of("running"), small.of("running")); diff != "" {
		t.Error(diff)
	}
}

// podsOf lists pods, whittled and in order.
func podsOf(t *testing.T, f *follower, query []client.ListOption) []*corev1.Pod {
	t.Helper()
	list := &corev1.PodList{}
	if err := f.List(t.Context(), list, query...); err != nil {
		t.Fatal(err)
	}
	all := make([]*corev1.Pod, 0, len(list.Items))
	for n := range list.Items {
		all = append(all, whittled(&list.Items[n]))
	}
	slices.SortFunc(all, func(a, b *corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	return all
}
