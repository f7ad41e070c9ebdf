package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// batchSize is the follower's.
	batchSize  = 500
	namespaces = 200
	nodes      = 5000
	// months is over how long the records are spread.
	months = 6
)

var (
	clusters = []string{"east", "west"}
	codes    = []reason.Code{reason.Preempted, reason.Preempted, reason.Preempted, reason.NodeDrained,
		reason.NodeDrained, reason.SpotInterrupted, reason.HardwareFailure, reason.KernelPanic}
	newest = time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
)

// obituary is that of the n-th pod.
func obituary(n int) *v1alpha1.PodObituary {
	r := reason.New(reason.Pod, codes[n%len(codes)], "batch/hotfix", "system:kube-scheduler")
	removed := metav1.NewTime(newest.Add(-time.Duration(n%(months*30*24*60)) * time.Minute))
	started := metav1.NewTime(removed.Add(-time.Hour))
	return &v1alpha1.PodObituary{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace(n), Name: podName(n) + "-2b7f6",
			UID: types.UID(fmt.Sprintf("%08x-7d1f-4c3e-9b2a-%012x", n, n)), ResourceVersion: fmt.Sprint(n + 1),
			CreationTimestamp: removed, Labels: map[string]string{"app": jobName(n), "team": fmt.Sprintf("team-%d", n%40)}},
		Spec: v1alpha1.PodObituarySpec{
			PodName: podName(n), PodUID: types.UID(fmt.Sprintf("%08x-0000-4c3e-9b2a-%012x", n, n)),
			NodeName: fmt.Sprintf("node-%d", n%nodes), Phase: "Running", Created: started, Removed: removed,
			Code: string(r.Code), Class: r.Code.Class().String(), Reason: string(r.Text), By: r.By,
			DeletedBy: "system:kube-scheduler",
			Owners:    []v1alpha1.Owner{{APIVersion: "batch/v1", Kind: "Job", Name: jobName(n)}},
			Containers: []v1alpha1.ContainerEnd{{Name: "main", State: v1alpha1.Running, Started: &started,
				Image: "registry.example/team/train:v1.2.3"}},
		},
	}
}

func namespace(n int) string { return fmt.Sprintf("team-%d", n%namespaces) }

func jobName(n int) string { return "train-" + strconv.FormatInt(int64(n/8), 36) }

func podName(n int) string { return fmt.Sprintf("%s-%d", jobName(n), n%8) }

// fill stores records as the archive does, each cluster's by a writer of its own, and returns how
// many a second.
func fill(ctx context.Context, out io.Writer, store archive.Store, from, to int) (float64, error) {
	began := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for c, cluster := range clusters {
		group.Go(func() error {
			b := archive.Batch{Cluster: cluster, Kind: archive.PodKind}
			put := func() error {
				err := store.Put(ctx, b)
				b.Records = b.Records[:0]
				return err
			}
			for n := from + (c+from)%len(clusters); n < to; n += len(clusters) {
				r, err := archive.Of(cluster, 1, obituary(n))
				if err != nil {
					return err
				}
				b.Records = append(b.Records, r)
				b.Reached = archive.Position{Epoch: 1, Revision: r.Revision}
				if len(b.Records) == batchSize {
					if err := put(); err != nil {
						return err
					}
				}
			}
			return put()
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	took := time.Since(began)
	fmt.Fprintf(out, "%d records stored in %.1f s\n", to-from, took.Seconds())
	return float64(to-from) / took.Seconds(), nil
}

// scattered is the n-th of some numbers that are not in order.
func scattered(n, below int) int { return int(uint64(n) * 2654435761 % uint64(below)) }

// lookUp is what `why` asks.
func lookUp(n, records int) archive.Query {
	n = scattered(n, records)
	return archive.Query{Cluster: clusters[n%len(clusters)], Kind: archive.PodKind,
		Namespace: namespace(n), Name: podName(n), Limit: batchSize}
}

func filtered(n int) archive.Query {
	n = scattered(n, namespaces)
	return archive.Query{Cluster: clusters[n%len(clusters)], Kind: archive.PodKind,
		Namespace: namespace(n), Code: string(codes[n%len(codes)]), Limit: 100}
}

func ofMonth(n int) archive.Query {
	until := archive.Month(newest).AddDate(0, -n%months, 0)
	return archive.Query{Cluster: clusters[n%len(clusters)], Kind: archive.PodKind,
		Since: until.AddDate(0, -1, 0), Until: until}
}
