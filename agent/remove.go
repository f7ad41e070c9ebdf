package agent

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/agent/configfs"
	"github.com/epitaph-k8s/epitaph/agent/fault"
)

// Remove removes all our targets, and what the Node says of them. A kernel without netconsole has
// none.
func (a *Agent) Remove(ctx context.Context) error {
	return errors.Join(a.removeTargets(), a.removeAnnotations(ctx))
}

func (a *Agent) removeTargets() error {
	files, err := a.Files()
	if err != nil {
		if code := fault.Of(err).Code; code == fault.NoModule || code == fault.NoConfigfs {
			return nil
		}
		return err
	}
	kernel := configfs.On(files)
	found, err := kernel.Found()
	if err != nil {
		return err
	}
	var failed []error
	for _, f := range found {
		failed = append(failed, kernel.Remove(f.Name))
	}
	return errors.Join(failed...)
}

func (a *Agent) removeAnnotations(ctx context.Context) error {
	if a.Cluster == nil {
		return nil
	}
	node := &corev1.Node{}
	if err := a.Cluster.Live.Get(ctx, types.NamespacedName{Name: a.Node}, node); err != nil {
		return fmt.Errorf("read node %s: %w", a.Node, err)
	}
	return errors.Join(a.Cluster.Terminator.SetTokenHash(ctx, node, ""),
		a.Cluster.Terminator.Report(ctx, node, nil))
}
