package trace

import (
	"slices"
	"strings"
)

// booted is what a kernel begins with (linux_banner of init/version.c).
const booted = "Linux version "

// PanicIn returns how the last kernel of a console says that it panicked, in its own words; "" if
// it does not. A console may hold several boots: a kernel that panicked and that another one
// followed is not what the machine ended with.
func PanicIn(console []string) string {
	for _, line := range slices.Backward(console[max(0, len(console)-MaxLines):]) {
		text := line[len(prefix.FindString(line)):]
		if strings.HasPrefix(text, booted) {
			return ""
		}
		if words, ok := strings.CutPrefix(text, announcement); ok {
			return strings.TrimSpace(words)
		}
	}
	return ""
}
