package agent

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/epitaph-k8s/epitaph/agent/configfs"
	"github.com/epitaph-k8s/epitaph/agent/fault"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/internal/pause"
)

// Rehearse prints what a pass would do, and does nothing but resolve neighbours.
func (a *Agent) Rehearse(ctx context.Context, w io.Writer) {
	var r Result
	var found []configfs.Found
	var targets []configfs.Target
	for begin := a.Clock.Now(); ; {
		var err error
		r = Result{}
		found, err = a.rehearsed()
		r.blame(err)
		targets = a.targets(ctx, &r, found)
		if !r.waits() || a.Clock.Since(begin) >= onceTimeout ||
			!pause.For(ctx, a.Clock, firstRetry) {
			break
		}
	}
	dir := a.Config.Configfs + "/netconsole"
	// The secret itself is not printed.
	userdata := append(a.userdata(), configfs.Datum{Key: config.TokenUserdata, Value: "SECRET"})
	names := map[string]bool{}
	for _, t := range targets {
		names[t.Name()] = true
		lines := t.Script(dir, userdata)
		if speaks(found, t) {
			lines = []string{"# speaks already: " + t.String()}
		}
		for _, line := range lines {
			fmt.Fprintln(w, line)
		}
	}
	for _, f := range found {
		if !names[f.Name] && len(targets) > 0 {
			fmt.Fprintf(w, "rmdir %s/%s\n", dir, f.Name)
		}
	}
	for _, f := range r.Faults {
		fmt.Fprintf(w, "# %s: %s\n", f.Code, f.Error())
	}
}

// waits reports whether a neighbour has not answered yet.
func (r Result) waits() bool {
	return slices.ContainsFunc(r.Faults,
		func(f *fault.Fault) bool { return f.Code == fault.NoNeighbour })
}

func (a *Agent) rehearsed() ([]configfs.Found, error) {
	files, err := a.Files()
	if err != nil {
		return nil, err
	}
	return configfs.On(files).Found()
}

func speaks(found []configfs.Found, t configfs.Target) bool {
	for _, f := range found {
		if f.Speaks(t) {
			return true
		}
	}
	return false
}
