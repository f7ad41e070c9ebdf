package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// Epitaph is told to stop in the middle of many deletes, with a webhook that fails closed: what it
// has been asked it answers. The deletes that fail are those for which nobody could be asked any
// more, and none of them is a denial.
func TestShutdownAnswersWhatItWasAsked(t *testing.T) {
	t.Parallel()
	const pods, clients = 100, 8
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(k *config.Config) {
			alone(k)
			k.Webhook.FailurePolicy = config.FailClosed
		}}})
	ns, node := c.namespace(t), c.node(t).Name
	names := make(chan string, pods)
	for n := range pods {
		name := fmt.Sprintf("p%d", n)
		c.pod(t, ns, node, name)
		names <- name
	}
	close(names)
	ended := make(chan string, pods)
	failed := make(chan error, pods)
	var deleting sync.WaitGroup
	for range clients {
		client := c.as(t, runner)
		deleting.Go(func() {
			for name := range names {
				if err := client.CoreV1().Pods(ns).Delete(t.Context(), name,
					metav1.DeleteOptions{}); err != nil {
					failed <- err
				} else {
					ended <- name
				}
			}
		})
	}
	var deleted []string
	for range pods / 4 {
		deleted = append(deleted, <-ended)
	}
	c.Epitaph.Stop()
	deleting.Wait()
	close(failed)
	if len(failed) == 0 {
		t.Error(
			"every delete succeeded: Epitaph was stopped too late for this test to show anything")
	}
	for err := range failed {
		if !strings.Contains(err.Error(), "failed calling webhook") ||
			!strings.Contains(err.Error(), "connection refused") {
			t.Errorf("a delete that Epitaph had been asked about ended with: %v", err)
		}
	}
	close(ended)
	for name := range ended {
		deleted = append(deleted, name)
	}
	for _, name := range deleted {
		c.leaves(t, reason.Pod, ns+"/"+name, unexplained)
	}
}
