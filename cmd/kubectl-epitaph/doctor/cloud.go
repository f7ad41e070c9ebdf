package doctor

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
)

// lately is how old an answer of a cloud may be that is counted: what was wrong before may have
// been mended.
const lately = 24 * time.Hour

// cloudAnswers tells what the APIs of clouds said of the Nodes that left. Where none is asked,
// there is nothing to tell.
func cloudAnswers(ctx context.Context, p *patient) []Diagnosis {
	heard, next := map[string]*inquests{}, ""
	for {
		page := &v1alpha1.NodeObituaryList{}
		if err := p.List(ctx, page, client.Limit(nodesAtOnce), client.Continue(next)); err != nil {
			return []Diagnosis{{Unseen, "clouds' answers", err.Error()}}
		}
		for n := range page.Items {
			answer := page.Items[n].Status.Cloud
			if answer == nil || p.serverTime().Sub(answer.Asked.Time) > lately {
				continue
			}
			if heard[answer.Cloud] == nil {
				heard[answer.Cloud] = &inquests{}
			}
			heard[answer.Cloud].count(answer)
		}
		if next = page.Continue; next == "" {
			break
		}
	}
	var all []Diagnosis
	for _, cloud := range []string{"aws", "azure", "gcp"} {
		if of := heard[cloud]; of != nil {
			all = append(all, of.diagnosis("API of "+cloud))
		}
	}
	return all
}

// inquests are the answers of one cloud.
type inquests struct {
	asked, explained, unanswered int
	// last is the newest call that was not answered, and why.
	last   string
	lastAt time.Time
}

func (i *inquests) count(a *v1alpha1.CloudAnswer) {
	i.asked++
	if a.What != "" {
		i.explained++
	}
	if len(a.Unanswered) > 0 {
		i.unanswered++
		if !a.Asked.Time.Before(i.lastAt) {
			i.last, i.lastAt = a.Unanswered[0], a.Asked.Time
		}
	}
}

func (i *inquests) diagnosis(what string) Diagnosis {
	found := fmt.Sprintf("says why %d of %d nodes went that it was asked about in the last day",
		i.explained, i.asked)
	if i.unanswered == 0 {
		return Diagnosis{Well, what, found}
	}
	return Diagnosis{Dubious, what, fmt.Sprintf(
		"%s; about %d, it did not answer every call, as last: %s", found, i.unanswered,
		terminal.Clean(i.last))}
}
