package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/bench"
)

const (
	// namespaces is how many namespaces the records are spread over.
	namespaces = 20
	// podsOfAJob is how many of them are of one Job.
	podsOfAJob = 50
	// chunk is how many records one request reads.
	chunk = 500
)

// newestAt is when the newest record left; each other one left a second before the next.
var newestAt = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func namespaceOf(n int) string { return fmt.Sprintf("team-%02d", n%namespaces) }

// podOf is the name of a pod; by name, they have another order than by time.
func podOf(n int) string { return fmt.Sprintf("train-%05d-%d", n*7919%100_003, n) }

// causes are what the records say, in turn.
var causes = []struct {
	code   reason.Code
	detail string
}{
	{reason.KernelPanic, "sysrq triggered crash"}, {reason.HardwareFailure, "disk sda"},
	{reason.NodeDrained, "upgrade"}, {reason.Preempted, "urgent/job-1"},
}

// recordOf is one with what a record of a Job's pod usually has.
func recordOf(n int) *v1alpha1.PodObituary {
	cause := causes[n%len(causes)]
	why := reason.New(reason.Pod, cause.code, cause.detail, "bench")
	left := metav1.NewTime(newestAt.Add(-time.Duration(n) * time.Second))
	started := metav1.NewTime(left.Add(-time.Hour))
	uid := types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012x", n))
	return &v1alpha1.PodObituary{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "PodObituary"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespaceOf(n),
			Name:   fmt.Sprintf("%s-%012x", podOf(n), n),
			Labels: map[string]string{"team": namespaceOf(n)}},
		Spec: v1alpha1.PodObituarySpec{
			PodName: podOf(n), PodUID: uid, NodeName: fmt.Sprintf("worker-%04d", n%5000),
			Owners: []v1alpha1.Owner{{APIVersion: "batch/v1", Kind: "Job",
				Name: fmt.Sprintf("train-%d", n/podsOfAJob),
				UID:  types.UID(fmt.Sprintf("00000000-0000-4000-b000-%012x", n/podsOfAJob))}},
			Code: string(why.Code), Class: why.Code.Class().String(), Reason: string(why.Text),
			By: "bench", DeletedBy: "system:serviceaccount:kube-system:node-controller",
			Phase: "Failed", Created: started, Removed: left,
			Containers: []v1alpha1.ContainerEnd{{Name: "main", State: v1alpha1.Running,
				Image: "registry.example/work:1", Started: &started}},
			Requests: map[string]v1alpha1.Amount{"cpu": "8", "memory": "64Gi",
				"nvidia.com/gpu": "8"},
		},
	}
}

func nodeOf(n int) string { return fmt.Sprintf("worker-%04d-x", n*7919%100_003) }

// nodeRecordOf is one of a node that panicked.
func nodeRecordOf(n int) *v1alpha1.NodeObituary {
	why := reason.New(reason.Node, reason.KernelPanic, "sysrq triggered crash", "bench")
	return &v1alpha1.NodeObituary{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "NodeObituary"},
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s.%012x", nodeOf(n), n)},
		Spec: v1alpha1.NodeObituarySpec{
			NodeName: nodeOf(n), NodeUID: types.UID(fmt.Sprintf("00000000-0000-4000-9000-%012x", n)),
			Code: string(why.Code), Class: why.Code.Class().String(), Reason: string(why.Text),
			By: "bench", Removed: metav1.NewTime(newestAt.Add(-time.Duration(n) * time.Minute)),
			KernelLog: slices.Repeat([]string{
				"BUG: kernel NULL pointer dereference, address: 0000000000000008"}, 20),
		},
	}
}

// fill stores the records as the API server would, but all at once: written one by one, 100,000
// take most of the ten minutes that a benchmark may take.
func fill(ctx context.Context, c *bench.Cluster, records, nodes int) error {
	for n := range namespaces {
		if _, err := c.Client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{
			ObjectMeta: metav1.ObjectMeta{Name: namespaceOf(n)}}, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create namespace %s: %w", namespaceOf(n), err)
		}
	}
	err := store(ctx, c, "podobituaries", records, func(n int) client.Object { return recordOf(n) })
	if err != nil {
		return err
	}
	return store(ctx, c, "nodeobituaries", nodes,
		func(n int) client.Object { return nodeRecordOf(n) })
}

// store creates the first record of a kind, and stores the others with what the API server has
// added to it.
func store(ctx context.Context, c *bench.Cluster, kind string, records int,
	of func(int) client.Object) error {
	if records == 0 {
		return nil
	}
	first := of(0)
	path := "/apis/" + v1alpha1.GroupVersion.String()
	if ns := first.GetNamespace(); ns != "" {
		path += "/namespaces/" + ns
	}
	body, err := json.Marshal(first)
	if err != nil {
		return fmt.Errorf("encode a record: %w", err)
	}
	created, err := c.Client.RESTClient().Post().AbsPath(path+"/"+kind).
		SetHeader("Content-Type", "application/json").Body(body).DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("create record %s: %w", first.GetName(), err)
	}
	if err := json.Unmarshal(created, first); err != nil {
		return fmt.Errorf("decode record %s: %w", first.GetName(), err)
	}
	values := make(map[string][]byte, records)
	for n := 1; n < records; n++ {
		o := of(n)
		o.SetUID(types.UID(fmt.Sprintf("00000000-0000-4000-a000-%012x", n)))
		o.SetCreationTimestamp(first.GetCreationTimestamp())
		o.SetGeneration(first.GetGeneration())
		o.SetManagedFields(first.GetManagedFields())
		key := strings.Join([]string{"/registry", v1alpha1.GroupVersion.Group, kind,
			o.GetNamespace(), o.GetName()}, "/")
		if values[strings.ReplaceAll(key, "//", "/")], err = json.Marshal(o); err != nil {
			return fmt.Errorf("encode record %s: %w", o.GetName(), err)
		}
	}
	if err := c.Store(ctx, values); err != nil {
		return fmt.Errorf("store records of %s: %w", kind, err)
	}
	return nil
}

// readAll reads all records once, and returns how long that took: what every visit would take if
// the page kept nothing.
func readAll(ctx context.Context, c *bench.Cluster, want int) (time.Duration, error) {
	began, read, next := time.Now(), 0, ""
	for {
		data, err := c.Client.RESTClient().Get().
			AbsPath("/apis/"+v1alpha1.GroupVersion.String()+"/podobituaries").
			Param("limit", fmt.Sprint(chunk)).Param("continue", next).DoRaw(ctx)
		if err != nil {
			return 0, fmt.Errorf("list the records after %d: %w", read, err)
		}
		list := &v1alpha1.PodObituaryList{}
		if err := json.Unmarshal(data, list); err != nil {
			return 0, fmt.Errorf("decode the records after %d: %w", read, err)
		}
		read += len(list.Items)
		if next = list.Continue; next == "" {
			break
		}
	}
	if read != want {
		return 0, fmt.Errorf("there are %d records, want %d", read, want)
	}
	return time.Since(began), nil
}
