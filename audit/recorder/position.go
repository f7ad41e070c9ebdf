package recorder

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// PositionName is the ConfigMap in our namespace that says how far the record is complete.
	PositionName = "epitaph-audit"
	positionKey  = "recordedUpTo"
	// positionEvery is how often it is written: the next leader repeats no more than that.
	positionEvery = 2 * time.Second
	// lastWord bounds the write at the end, when everything else has stopped.
	lastWord = 2 * time.Second
)

// origin returns the revision to start after: the last leader's position, or now if there is none.
// That is written down before anything is recorded: the next leader after a crash must find where
// recording began, or would start over.
func (r *Recorder) origin(ctx context.Context) (string, error) {
	var saved, revision string
	if err := r.retry(ctx, "find where the last leader stopped", func() (err error) {
		if saved, err = r.savedPosition(ctx); err != nil {
			return err
		}
		now, err := r.revision(ctx)
		if err != nil {
			return err
		}
		revision, r.leadsSince = r.chosen(saved, now), now
		return nil
	}, never); err != nil || revision == saved {
		return revision, err
	}
	return revision, r.retry(ctx, "note where recording begins",
		func() error { return r.savePosition(ctx, revision) }, never)
}

// chosen returns where to start. A position in the future belongs to a history that was replaced,
// by a backup for example.
func (r *Recorder) chosen(saved, now string) string {
	if saved == "" {
		r.Log.Info("nothing is recorded yet: recording begins now", "revision", now)
		return now
	}
	if order, err := resourceversion.CompareResourceVersion(saved, now); err != nil || order > 0 {
		r.lost("the position is not one of this cluster's history", "position", saved, "now", now)
		return now
	}
	return saved
}

// lost reports as an error that pods may have left without a record.
func (r *Recorder) lost(why string, keysAndValues ...any) {
	r.metrics.gaps.WithLabelValues(gapLost).Inc()
	r.Log.Error(nil, "pods may have left unrecorded: "+why, keysAndValues...)
}

func (r *Recorder) savedPosition(ctx context.Context) (string, error) {
	m := &corev1.ConfigMap{}
	err := r.API.Get(ctx, types.NamespacedName{Namespace: r.Namespace, Name: PositionName}, m)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the position: %w", err)
	}
	return m.Data[positionKey], nil
}

// revision returns that of the Pods now.
func (r *Recorder) revision(ctx context.Context) (string, error) {
	pods := podMetadata()
	if err := r.API.List(ctx, pods, client.Limit(1)); err != nil {
		return "", fmt.Errorf("read the revision of the pods: %w", err)
	}
	return pods.ResourceVersion, nil
}

// keepPosition writes the position as it advances, and a last time at the end.
func (r *Recorder) keepPosition(ctx context.Context) {
	tick := r.Clock.NewTicker(positionEvery)
	defer tick.Stop()
	saved := ""
	advance := func(ctx context.Context) error {
		revision := r.progress.complete()
		if revision == saved {
			return nil
		}
		if err := r.savePosition(ctx, revision); err != nil {
			return err
		}
		saved = revision
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWord)
			defer cancel()
			// The next leader repeats what this one did not note.
			_ = r.guard.Do("position", func() error { return advance(ctx) })
			return
		case <-tick.C():
			err := r.guard.Do("position", func() error { return advance(ctx) })
			if err != nil && ctx.Err() == nil {
				r.Log.Error(err, "position not kept")
			}
		}
	}
}

func (r *Recorder) savePosition(ctx context.Context, revision string) error {
	m := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: PositionName},
		Data:       map[string]string{positionKey: revision},
	}
	err := r.API.Update(ctx, m)
	if apierrors.IsNotFound(err) {
		err = r.API.Create(ctx, m)
	}
	if err != nil {
		return fmt.Errorf("keep the position %s: %w", revision, err)
	}
	return nil
}
