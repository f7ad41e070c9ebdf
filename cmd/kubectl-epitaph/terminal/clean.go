package terminal

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/epitaph-k8s/epitaph/reason"
)

// Clean makes text from outside fit for one line of a terminal.
func Clean(s string) string { return string(reason.Clean(s)) }

// maxLines bounds a message of several lines: the longest of ours has a dozen.
const maxLines = 40

// CleanLines makes a message of several lines fit for a terminal.
func CleanLines(s string) string {
	lines := strings.SplitN(s, "\n", maxLines)
	for n := range lines {
		lines[n] = strings.Repeat(" ", indentOf(lines[n])) + Clean(lines[n])
	}
	return strings.Join(lines, "\n")
}

func indentOf(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

var obeyed = regexp.MustCompile(reason.TextPattern)

// Escape replaces terminal control characters by JSON escapes, and cuts nothing. It keeps line
// breaks, which are layout in JSON and YAML: those inside a text are escaped already.
func Escape(s string) string {
	return obeyed.ReplaceAllStringFunc(s, func(r string) string {
		if r == "\n" {
			return r
		}
		return fmt.Sprintf(`\u%04x`, []rune(r)[0])
	})
}
