package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

// listed are the pods of an API server that never change.
type listed []corev1.Pod

func (l listed) List(metav1.ListOptions) (runtime.Object, error) {
	return &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}, Items: l}, nil
}

func (listed) Watch(metav1.ListOptions) (watch.Interface, error) { return watch.NewFake(), nil }

// IsWatchListSemanticsUnSupported makes a reflector list first.
func (listed) IsWatchListSemanticsUnSupported() bool { return true }

// cachedPods are pods as the manager's cache gives them.
func cachedPods(t *testing.T, c config.Config, pods ...corev1.Pod) []*corev1.Pod {
	t.Helper()
	informer := cacheOptions(c).NewInformer(listed(pods), &corev1.Pod{}, 0, toolscache.Indexers{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go informer.RunWithContext(ctx)
	err := wait.PollUntilContextTimeout(ctx, time.Millisecond, time.Minute, true,
		func(context.Context) (bool, error) { return informer.HasSynced(), nil })
	if err != nil {
		t.Fatalf("the informer did not sync: %v", err)
	}
	all := []*corev1.Pod{}
	for _, o := range informer.GetStore().List() {
		all = append(all, o.(*corev1.Pod))
	}
	return all
}

// cachedNode is a node as the manager's cache gives it.
func cachedNode(t *testing.T, c config.Config, node *corev1.Node) *corev1.Node {
	t.Helper()
	for kind, of := range cacheOptions(c).ByObject {
		if _, ok := kind.(*corev1.Node); ok {
			trimmed, err := of.Transform(node.DeepCopy())
			if err != nil {
				t.Fatal(err)
			}
			return trimmed.(*corev1.Node)
		}
	}
	t.Fatal("nodes are cached whole")
	return nil
}

// caches are what the manager's caches have of some objects; live is what the API server has.
type caches struct {
	nodes []*corev1.Node
	pods  []*corev1.Pod
}

func (c caches) Get(_ context.Context, key client.ObjectKey, obj client.Object,
	_ ...client.GetOption) error {
	switch o := obj.(type) {
	case *corev1.Node:
		for _, n := range c.nodes {
			if n.Name == key.Name {
				n.DeepCopyInto(o)
				return nil
			}
		}
	case *corev1.Pod:
		for _, p := range c.pods {
			if client.ObjectKeyFromObject(p) == key {
				p.DeepCopyInto(o)
				return nil
			}
		}
	}
	return apierrors.NewNotFound(corev1.Resource("objects"), key.Name)
}

func (c caches) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	if l, ok := list.(*corev1.PodList); ok {
		for _, p := range c.pods {
			if p.Spec.NodeName == "" {
				l.Items = append(l.Items, *p)
			}
		}
	}
	return nil
}

// An inferenceCase is what the cases of package reason have in common.
type inferenceCase struct {
	Name    string     `json:"name"`
	Now     *time.Time `json:"now"`
	Remover struct {
		User   string   `json:"user"`
		Groups []string `json:"groups"`
		Evicts bool     `json:"evicts"`
		Unseen bool     `json:"unseen"`
	} `json:"remover"`
	Pod        *corev1.Pod       `json:"pod"`
	Node       *corev1.Node      `json:"node"`
	NodeGone   bool              `json:"nodeGone"`
	Signals    []reason.Signal   `json:"signals"`
	Identities []reason.Identity `json:"identities"`
	Preemptors []corev1.Pod      `json:"preemptors"`
}

// What the caches keep of an object must say what the whole object says: a rule that looks at
// something else never fires in production. Who asks for the object to go is known to the webhook
// alone, which has the whole pod from the API server; the collector and [webhook.PreemptorNames]
// have the cached one.
func TestCachesKeepWhatTheRulesRead(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../reason/testdata/cases/*.yaml")
	if err != nil || len(files) < 200 {
		t.Fatalf("%d cases: %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for part := range strings.SplitSeq(string(data), "\n---\n") {
			var c inferenceCase
			if err := yaml.Unmarshal([]byte(part), &c); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml")+"/"+c.Name, func(t *testing.T) {
				t.Parallel()
				c.check(t)
			})
		}
	}
}

func (c inferenceCase) check(t *testing.T) {
	settings := config.Default()
	settings.Inference.Signals, settings.Inference.Identities = c.Signals, c.Identities
	whole := reason.Facts{
		Now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), Pod: c.Pod, Node: c.Node,
		NodeGone: c.NodeGone,
		Remover:  reason.RemoverOf(c.Remover.User, c.Remover.Groups),
	}
	if whole.Remover.Evicts = c.Remover.Evicts; c.Remover.Unseen {
		whole.Remover.Actor = 0
	}
	if c.Now != nil {
		whole.Now = *c.Now
	}
	cached := whole
	if c.Node != nil {
		cached.Node = cachedNode(t, settings, c.Node)
	}
	if c.Pod != nil {
		cached.Pod = cachedPods(t, settings, *c.Pod)[0]
	}
	for n := range c.Preemptors {
		whole.Preemptors = append(whole.Preemptors, &c.Preemptors[n])
		cached.Preemptors = append(cached.Preemptors, cachedPods(t, settings, c.Preemptors[n])...)
	}
	want, _ := settings.Inferrer().Infer(whole)
	got, _ := settings.Inferrer().Infer(cached)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("whole against cached:\n%s", diff)
	}
}

// roundTrip makes sure that what is read as JSON is written as JSON: an AdmissionReview holds
// objects raw.
func roundTrip(t *testing.T, from, to any) {
	t.Helper()
	data, err := json.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, to); err != nil {
		t.Fatal(err)
	}
}
