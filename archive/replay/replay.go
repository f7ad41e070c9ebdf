// Package replay counts what a policy would have made of the deletions that are on record.
//
// What this package does not do: read the archive.
package replay

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/webhook"
)

// MaxTold bounds how many users and namespaces are told apart; the others are counted without.
const MaxTold = 10_000

// An Outcome is what deletions have in common that would have come out the same.
type Outcome struct {
	Became webhook.Retrospect `json:"became"`
	Rule   string             `json:"rule,omitempty"`
	// Lacks is what is on no record, and would have decided.
	Lacks string `json:"lacks,omitempty"`
	// User and Namespace are those of what would have been denied.
	User      string `json:"user,omitempty"`
	Namespace string `json:"namespace,omitempty"`
}

// A Count is how many deletions would have come out like that.
type Count struct {
	Outcome

	N int64 `json:"n"`
}

// A Tally counts. It holds at most [MaxTold] outcomes of different users and namespaces.
type Tally struct {
	policy *webhook.Replay
	counts map[Outcome]int64
}

// NewTally returns a tally of what the policy of a configuration would have done (webhook.rules).
func NewTally(c config.Config) (*Tally, error) {
	policy, err := webhook.NewReplay(c)
	return &Tally{policy, map[Outcome]int64{}}, err
}

// Add decides about one record, as the API server had it. It reports false of what was no deletion:
// other kinds, nodes that came back, and what is no record of ours.
func (t *Tally) Add(kind archive.Kind, document []byte) bool {
	past, ok := pastOf(kind, document)
	if !ok {
		return false
	}
	key := Outcome{}
	key.Became, key.Rule, key.Lacks = t.policy.Decide(past)
	if key.Became == webhook.WouldBeDenied {
		key.User, key.Namespace = past.User, past.Namespace
	}
	if _, known := t.counts[key]; !known && len(t.counts) >= MaxTold {
		key.User, key.Namespace = "", ""
	}
	t.counts[key]++
	return true
}

// Counts returns what was counted, the largest first.
func (t *Tally) Counts() []Count {
	keys := slices.SortedFunc(maps.Keys(t.counts), func(a, b Outcome) int {
		return cmp.Or(cmp.Compare(t.counts[b], t.counts[a]), cmp.Compare(a.Became, b.Became),
			cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.User, b.User),
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Lacks, b.Lacks))
	})
	all := make([]Count, len(keys))
	for n, key := range keys {
		all[n] = Count{key, t.counts[key]}
	}
	return all
}

// pastOf reads what the policy looks at out of a record.
func pastOf(kind archive.Kind, document []byte) (past webhook.Past, ok bool) {
	var said struct {
		Metadata struct {
			Namespace string `json:"namespace"`
		} `json:"metadata"`
		Spec struct {
			Code      string              `json:"code"`
			DeletedBy string              `json:"deletedBy"`
			Amended   *v1alpha1.Amendment `json:"amended"`
			Returned  bool                `json:"returned"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(document, &said); err != nil || said.Spec.Returned {
		return past, false // a node that came back was never deleted
	}
	code := said.Spec.Code
	if a := said.Spec.Amended; a != nil && a.Was != "" {
		code = a.Was // only later did anybody know
	}
	past = webhook.Past{User: said.Spec.DeletedBy, Explained: code != string(reason.Unexplained)}
	switch kind {
	case archive.PodKind:
		past.Subject, past.Namespace = reason.Pod, said.Metadata.Namespace
	case archive.NodeKind:
		past.Subject = reason.Node
	default:
		return past, false
	}
	return past, true
}
