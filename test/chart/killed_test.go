//go:build linux

package chart

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

// deleted has a replica go as a drain has it go: by its grace.
func deleted(t *testing.T, c *cluster) {
	victim := c.replicas(t)[0]
	l := c.startLoad(t)
	must(t, c.client.CoreV1().Pods(namespace).Delete(t.Context(), victim.Name,
		metav1.DeleteOptions{}))
	c.allReplaced(t, []corev1.Pod{victim}, 2)
	eventually(t, "the Service has both replicas",
		func(ctx context.Context) (bool, error) { return len(c.endpoints(ctx)) == 2, nil })
	l.stopUnharmed(t, "while a replica was deleted", true)
}

// killed is no rollout: a replica dies at once, with whatever it was about to answer. How many
// deletes fail is measured, not wanted.
func killed(t *testing.T, c *cluster) {
	l := c.kills(t)
	fmt.Printf("  a replica was killed: %d deletes, %d failed: %v\n", len(l.names), l.failed,
		l.failures)
	l = c.startLoad(t)
	goesOn(t, l)
	l.stopUnharmed(t, "after a replica was killed", true)
}

// killedOpen kills a replica under the failure policy Ignore: every delete passes, and some without
// a reason.
func killedOpen(t *testing.T, c *cluster) {
	l := c.kills(t)
	if l.failed > 0 {
		t.Errorf("%d of %d deletes failed: %v", l.failed, l.failed+len(l.names), l.failures)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	without := 0
	for _, name := range l.names {
		d, err := c.witness.Sees(ctx, reason.Pod, metav1.NamespaceDefault+"/"+name)
		must(t, err)
		if d.Reason == (reason.Reason{}) {
			without++
		}
	}
	fmt.Printf("  a replica was killed, with Ignore: %d deletes, %d without a reason\n",
		len(l.names), without)
}

// kills ends a replica's process under a load, until it was started again and the Service has both.
func (c *cluster) kills(t *testing.T) *load {
	t.Helper()
	l := c.startLoad(t)
	victim := c.replicas(t)[0]
	for _, k := range c.kubelets {
		if p := k.Process(victim.UID); p != nil {
			p.Kill()
		}
	}
	eventually(t, "it was started again", func(context.Context) (bool, error) {
		for _, p := range c.replicas(t) {
			if p.UID == victim.UID && len(p.Status.ContainerStatuses) == 1 {
				s := p.Status.ContainerStatuses[0]
				return s.RestartCount == 1 && s.Ready, nil
			}
		}
		return false, nil
	})
	l.stop()
	return l
}
