package page

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/ask"
	"github.com/epitaph-k8s/epitaph/archive/replay"
	"github.com/epitaph-k8s/epitaph/config"
)

const (
	// usualReplay is on how much of the past a policy is tried by default.
	usualReplay = "30d"
	// maxReplayed bounds the records of pods, and those of nodes, that one visit reads.
	maxReplayed = 10_000
	// maxPolicyBytes bounds the text of a policy.
	maxPolicyBytes = 16 << 10
	// maxReplayBytes bounds the form: each character of a policy may take three bytes there.
	maxReplayBytes = 3*maxPolicyBytes + 1024
	// maxWrong bounds what is said about a policy that is wrong.
	maxWrong = 20
)

// A replayView is what a policy would have made of deletions that the archive has on record.
type replayView struct {
	frame
	Query historyQuery
	// Policy is the text that was sent, and Wrong is what is wrong with it.
	Policy string
	Wrong  []string
	// Tried is set if it was tried on something, on Read records.
	Tried bool
	Read  int
	Rows  []replay.Count
	// MoreRecords is set if there were more of them than were read, MoreRows if there are more
	// rows, and NodesUnread if the visitor may not read those of nodes.
	MoreRecords, MoreRows, NodesUnread bool
}

// replayForm asks for a policy.
func (p *Page) replayForm(w http.ResponseWriter, v visit) error {
	if _, err := v.mustAsk(p); err != nil {
		return err
	}
	return render(w, http.StatusOK, "replay.html", newReplayView(v, v.URL.Query()))
}

func newReplayView(v visit, form url.Values) replayView {
	view := replayView{frame: v.frame("The archive: what would a policy have denied?"),
		Query: historyQueryOf(form)}
	view.Query.Since = cmp.Or(cut(form.Get("since")), usualReplay)
	return view
}

// replay tries the policy that was sent on the records that the visitor may read.
func (p *Page) replay(w http.ResponseWriter, v visit) error {
	client, err := v.mustAsk(p)
	if err != nil {
		return err
	}
	view := newReplayView(v, v.PostForm)
	view.Policy = strings.Map(written, v.PostForm.Get("policy"))
	tally, err := tallyOf(view.Policy)
	if err != nil {
		view.Wrong = strings.Split(err.Error(), "\n")
		view.Wrong = view.Wrong[:min(len(view.Wrong), maxWrong)]
		return render(w, http.StatusBadRequest, "replay.html", view)
	}
	leave, err := p.takeTurn()
	if err != nil {
		return err
	}
	defer leave()
	if err := view.try(v.Context(), p, client, tally); err != nil {
		return err
	}
	return render(w, http.StatusOK, "replay.html", view)
}

// written drops what cannot be seen from a text of several lines. Browsers end them with CR and LF.
func written(r rune) rune {
	if r == '\n' || r == '\t' {
		return r
	}
	return seen(r)
}

// tallyOf reads the policy of a configuration. What is wrong is said a line each.
func tallyOf(text string) (*replay.Tally, error) {
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("the policy is missing: write the rules to try, under webhook.rules")
	}
	if len(text) > maxPolicyBytes {
		return nil, errors.New("the policy is longer than 16 KiB: use epitaph archive replay")
	}
	settings, err := config.Parse([]byte(text))
	if err != nil {
		return nil, err
	}
	return replay.NewTally(settings)
}

// try reads the records, the newest first, and counts what would have become of them.
func (view *replayView) try(ctx context.Context, p *Page, client *ask.Client,
	tally *replay.Tally) error {
	ctx, cancel := context.WithTimeout(ctx, maxReading)
	defer cancel()
	for _, kind := range []archive.Kind{archive.PodKind, archive.NodeKind} {
		if kind == archive.NodeKind && view.Query.Namespace != "" {
			break // no node is in it
		}
		question, err := view.Query.of(kind, p.Clock.Now())
		if err != nil {
			return err
		}
		err = client.All(ctx, kind, question, maxReplayed, func(item archive.Item) error {
			if tally.Add(kind, item.Record) {
				view.Read++
			}
			return nil
		})
		switch {
		case err == nil:
		case errors.Is(err, ask.ErrMany), view.Read > 0 && ctx.Err() != nil:
			view.MoreRecords = true
		case kind == archive.NodeKind && ask.Status(err) == http.StatusForbidden:
			view.NodesUnread = true
		default:
			return err
		}
	}
	view.Tried, view.Rows = true, tally.Counts()
	view.MoreRows = len(view.Rows) > rowsShown
	view.Rows = view.Rows[:min(len(view.Rows), rowsShown)]
	return nil
}
