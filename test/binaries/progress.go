package binaries

import (
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	// progressInterval is how often a line tells how far the build is.
	progressInterval = 5 * time.Second
	// maxComplaints bounds what is kept of the compiler's output: the first errors are the ones
	// that matter.
	maxComplaints = 200
)

// A progress reads what `go build -v` prints: the path of each package as its compilation begins,
// and complaints.
type progress struct {
	out        io.Writer
	awaited    map[string]bool
	total      int
	last       string
	began      time.Time
	complained []string
}

func newProgress(out io.Writer, dependencies []string, began time.Time) *progress {
	awaited := make(map[string]bool, len(dependencies))
	for _, pkg := range dependencies {
		awaited[pkg] = true
	}
	return &progress{out: out, awaited: awaited, total: len(awaited), began: began}
}

// follow takes lines until there are no more, and tells how far things are at each tick.
func (p *progress) follow(lines <-chan string, tick <-chan time.Time) {
	for {
		select {
		case line, more := <-lines:
			if !more {
				return
			}
			p.take(line)
		case now := <-tick:
			fmt.Fprintln(p.out, p.line(now))
		}
	}
}

func (p *progress) take(line string) {
	switch {
	case p.awaited[line]:
		delete(p.awaited, line)
		p.last = line
	case strings.HasPrefix(line, "go: downloading "):
		p.last = strings.TrimPrefix(line, "go: ")
	case len(p.complained) < maxComplaints:
		p.complained = append(p.complained, line)
	}
}

// line says "at most" because packages that Go's build cache already holds are never announced.
func (p *progress) line(now time.Time) string {
	elapsed := now.Sub(p.began).Round(time.Second)
	compiled := p.total - len(p.awaited)
	if compiled == 0 {
		return fmt.Sprintf("  %4s  nothing to compile so far (%d packages), linking", elapsed,
			p.total)
	}
	return fmt.Sprintf("  %4s  compiled %d of at most %d packages, now %s", elapsed, compiled,
		p.total, p.last)
}

func (p *progress) complaints() string { return strings.Join(p.complained, "\n") }
