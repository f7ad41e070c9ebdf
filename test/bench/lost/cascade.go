package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"golang.org/x/sync/errgroup"

	"github.com/epitaph-k8s/epitaph/test/bench"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// Who deletes the pods of an owner, and those of a node.
const (
	garbageCollector = "system:serviceaccount:kube-system:generic-garbage-collector"
	ourselves        = "system:serviceaccount:epitaph-system:epitaph-manager"
)

// cascades has pods go with their owner and with their node, and counts by the API server's audit
// log how the DELETEs of those who carry that out were answered.
func cascades(ctx context.Context, out io.Writer, c *bench.Cluster, pods int, name string) error {
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := watch(watching, c)
	if err != nil {
		return err
	}
	node, err := c.AddNode(ctx, sandbox.NodeSpec{Name: "cascade"})
	if err != nil {
		return fmt.Errorf("add a node: %w", err)
	}
	before, err := answers(c.AuditLog())
	if err != nil {
		return err
	}
	owner, err := own(ctx, c.Client, "cascade")
	if err != nil {
		return err
	}
	work, making := errgroup.WithContext(ctx)
	work.SetLimit(2 * clients)
	for n := range pods {
		pod := withGrace(bench.Namespace, fmt.Sprintf("cascade-%d", n), node.Name)
		pod.OwnerReferences = []metav1.OwnerReference{*owner}
		work.Go(func() error { return create(making, c.Client, pod) })
	}
	if err := work.Wait(); err != nil {
		return err
	}
	background := metav1.DeletePropagationBackground
	if err := c.Client.CoreV1().ConfigMaps(bench.Namespace).Delete(ctx, owner.Name,
		metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
		return fmt.Errorf("delete the owner: %w", err)
	}
	if err := w.sees(ctx, "cascade", pods); err != nil {
		return err
	}
	if err := c.AddNodes(ctx, "broken", 1, pods); err != nil {
		return err
	}
	if err := c.DeleteNodes(ctx, "broken", 1, "disk sda"); err != nil {
		return err
	}
	if err := w.sees(ctx, "broken", pods); err != nil {
		return err
	}
	after, err := answers(c.AuditLog())
	if err != nil {
		return err
	}
	for _, of := range []struct {
		what string
		answer
	}{
		{"_collector_deletes", answer{garbageCollector, http.StatusOK}},
		{"_collector_conflicts", answer{garbageCollector, http.StatusConflict}},
		{"_our_deletes", answer{ourselves, http.StatusOK}},
		{"_our_not_found", answer{ourselves, http.StatusNotFound}},
	} {
		bench.Result(out, name+of.what, float64(after[of.answer]-before[of.answer]), "DELETEs")
	}
	return w.verdict()
}

// An answer is how a DELETE of a pod was answered to a user.
type answer struct {
	user string
	code int
}

// answers counts the answers in the API server's audit log.
func answers(path string) (map[answer]int, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	defer file.Close()
	all, lines := map[answer]int{}, bufio.NewScanner(file)
	for lines.Buffer(nil, 4<<20); lines.Scan(); {
		var e struct {
			Stage, Verb    string
			User           struct{ Username string }
			ObjectRef      struct{ Resource, Subresource string }
			ResponseStatus struct{ Code int }
		}
		if !strings.Contains(lines.Text(), `"verb":"delete"`) {
			continue
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		if e.Stage == "ResponseComplete" && e.Verb == "delete" && e.ObjectRef.Resource == "pods" &&
			e.ObjectRef.Subresource == "" {
			all[answer{e.User.Username, e.ResponseStatus.Code}]++
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	return all, nil
}
