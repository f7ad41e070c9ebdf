package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
)

// maxSkew is by how much clocks may differ before times in records mislead.
const maxSkew = 10 * time.Second

// maxVersion bounds what is read of the answer to /version, which is some 400 bytes.
const maxVersion = 64 << 10

// apiServer asks for the version; each answer also has the time.
func apiServer(ctx context.Context, p *patient) []Diagnosis {
	began := p.now
	release, date, err := serverVersion(ctx, p.Config)
	if err != nil {
		return []Diagnosis{{Broken, "API server", err.Error() + p.remedy(err)}}
	}
	all := []Diagnosis{{Well, "API server", p.Config.Host + " answers"},
		features(p.RESTMapper(), release)}
	if date.IsZero() {
		return append(all, Diagnosis{Unseen, "your clock",
			"the API server's answers carry no time"})
	}
	p.ahead = date.Sub(began)
	return append(all, skew("your clock", p.ahead))
}

// skew judges how far the API server is ahead of another clock. Its answers are precise to a
// second.
func skew(what string, ahead time.Duration) Diagnosis {
	ahead = ahead.Round(time.Second)
	switch {
	case ahead > maxSkew:
		return Diagnosis{Dubious, what, fmt.Sprintf(
			"is %s behind the API server's: times that you compare with records mislead",
			ahead)}
	case ahead < -maxSkew:
		return Diagnosis{Dubious, what, fmt.Sprintf(
			"is %s ahead of the API server's: times that you compare with records mislead",
			-ahead)}
	default:
		return Diagnosis{Well, what, "agrees with the API server's to " + maxSkew.String()}
	}
}

// serverVersion is the release that the API server says it is, and its time; zero if it tells none.
func serverVersion(ctx context.Context, config *rest.Config) (string, time.Time, error) {
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("make a client of %s: %w", config.Host, err)
	}
	server, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("read the address %s: %w", config.Host, err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.JoinPath("/version").String(),
		nil)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("ask %s for its version: %w", config.Host, err)
	}
	answer, err := httpClient.Do(r)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("ask %s for its version: %w", config.Host, err)
	}
	defer answer.Body.Close()
	// Who may not ask gets an answer, too, with a time and no version.
	var v version.Info
	_ = json.NewDecoder(io.LimitReader(answer.Body, maxVersion)).Decode(&v)
	date, _ := http.ParseTime(answer.Header.Get("Date")) // without one, the zero time says so
	return v.GitVersion, date, nil
}

// nodeClocks compares the kubelets' clocks with the API server's: a Lease that was renewed in the
// future was renewed by a clock that is ahead. One that is behind looks like a renewal that is
// late.
func nodeClocks(ctx context.Context, p *patient) []Diagnosis {
	const what = "clocks of the nodes"
	leases := &coordinationv1.LeaseList{}
	if err := p.List(ctx, leases, client.InNamespace("kube-node-lease")); err != nil {
		return []Diagnosis{{Unseen, what, err.Error()}}
	}
	var all []Diagnosis
	for _, l := range leases.Items {
		if l.Spec.RenewTime == nil {
			continue
		}
		if ahead := l.Spec.RenewTime.Sub(p.serverTime()); ahead > maxSkew {
			all = append(all, Diagnosis{Dubious, "clock of " + terminal.Clean(l.Name),
				fmt.Sprintf("is at least %s ahead: times in its evidence mislead",
					ahead.Round(time.Second))})
		}
	}
	switch {
	case len(leases.Items) == 0:
		return []Diagnosis{{Unseen, what, "there are no Leases of nodes"}}
	case all == nil:
		return []Diagnosis{
			{Well, what,
				fmt.Sprintf(
					"none of %d is ahead; one that is behind cannot be told from one that is late",
					len(leases.Items))}}
	}
	return all
}
