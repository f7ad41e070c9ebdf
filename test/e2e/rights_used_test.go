package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// rights is what Epitaph was allowed to do in all clusters of these tests.
var rights usedRights

// usedRights holds for each account the rights that it has used, as the words of right.
type usedRights struct {
	mu   sync.Mutex
	used map[account]map[string]bool
}

// right is one verb on one kind of object, as in "get pods" or "patch batch/jobs/status".
func right(verb, group, resource string) string {
	if group != "" {
		resource = group + "/" + resource
	}
	return verb + " " + resource
}

// collect reads from a cluster's audit log what Epitaph did with leave.
func (r *usedRights) collect(from *sandbox.Sandbox) error {
	log, err := from.Audited()
	if err != nil {
		return err
	}
	defer log.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := bufio.NewScanner(log)
	for lines.Buffer(nil, 4<<20); lines.Scan(); {
		var e struct {
			Verb        string
			UserAgent   string
			User        struct{ Username string }
			ObjectRef   struct{ APIGroup, Resource, Subresource string }
			Annotations map[string]string
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("read the audit log: %w", err)
		}
		whose := account(strings.TrimPrefix(e.User.Username,
			"system:serviceaccount:"+ourNamespace+":"))
		// The tests borrow the agent's token to see how far they get with it: that is no use of a
		// right.
		borrowed := whose == theAgent && !strings.HasPrefix(e.UserAgent, "epitaph/")
		if whose.file() == "" || borrowed ||
			e.Annotations["authorization.k8s.io/decision"] != "allow" {
			continue
		}
		resource := e.ObjectRef.Resource
		if e.ObjectRef.Subresource != "" {
			resource += "/" + e.ObjectRef.Subresource
		}
		r.note(whose, right(e.Verb, e.ObjectRef.APIGroup, resource))
	}
	return nil
}

func (r *usedRights) note(whose account, right string) {
	if r.used == nil {
		r.used = map[account]map[string]bool{}
	}
	if r.used[whose] == nil {
		r.used[whose] = map[string]bool{}
	}
	r.used[whose][right] = true
}

// rare are rights that are needed, but not while these tests run, and what for.
var rare = map[string]string{
	"delete epitaph-k8s.io/nodeobituaries":  "the obituary of a node is removed after a week",
	"delete epitaph-k8s.io/ownerobituaries": "the record of an owner is removed after a week",
	"patch events":                          "an Event that repeats itself is counted up",
}

// streamed tells whether it is the right to list what an API server also streams (WatchList,
// KEP-3157): those here do, older ones do not.
func streamed(right string, granted map[string]bool) bool {
	resource, list := strings.CutPrefix(right, "list ")
	return list && granted["watch "+resource]
}

// unused are the rights that the chart grants an account and that nothing in these tests has used.
func (r *usedRights) unused(whose account) ([]string, error) {
	granted, err := grantedRights(whose.file(), whose)
	if err != nil {
		return nil, err
	}
	return r.notUsed(whose, granted), nil
}

// notUsed are those of the rights that the account has not used.
func (r *usedRights) notUsed(whose account, granted map[string]bool) (unused []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, right := range slices.Sorted(maps.Keys(granted)) {
		if !r.used[whose][right] && rare[right] == "" && !streamed(right, granted) {
			unused = append(unused, right)
		}
	}
	return unused
}

// grantedRights are those of an account's roles in a file of the chart.
func grantedRights(name string, whose account) (map[string]bool, error) {
	checkout, err := binaries.Checkout()
	if err != nil {
		return nil, err
	}
	file, err := os.ReadFile(filepath.Join(checkout, "charts", "epitaph", "files", name))
	if err != nil {
		return nil, fmt.Errorf("read the chart's rights: %w", err)
	}
	granted := map[string]bool{}
	for part := range bytes.SplitSeq(file, []byte("\n---\n")) {
		var role rbacv1.ClusterRole // a Role has the same fields
		if err := yaml.Unmarshal(part, &role); err != nil {
			return nil, fmt.Errorf("read the chart's rights: %w", err)
		}
		if role.Name != string(whose) {
			continue
		}
		for _, rule := range role.Rules {
			for _, verb := range rule.Verbs {
				for _, group := range rule.APIGroups {
					for _, resource := range rule.Resources {
						granted[right(verb, group, resource)] = true
					}
				}
			}
		}
	}
	return granted, nil
}
