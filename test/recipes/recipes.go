// Package recipes reads the recipes that docs/batch-tools.md offers to users, so that tests run what
// the page says and not a copy of it.
package recipes

import (
	"fmt"
	"os"
	"strings"
)

// Page is where the recipes are, as seen from the root of the repository.
const Page = "docs/batch-tools.md"

// Read returns the code block that follows the comment <!-- recipe: NAME --> in a Markdown file. A
// name stands there once.
func Read(file, name string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the page of recipes: %w", err)
	}
	mark := "<!-- recipe: " + name + " -->\n"
	_, after, found := strings.Cut(string(text), mark)
	if !found || strings.Contains(after, mark) {
		return "", fmt.Errorf("%s has not exactly one recipe %q", file, name)
	}
	after, opened := strings.CutPrefix(after, "```")
	_, after, _ = strings.Cut(after, "\n")
	block, _, closed := strings.Cut(after, "\n```\n")
	if !opened || !closed {
		return "", fmt.Errorf("%s: no code block follows the comment of recipe %q", file, name)
	}
	return block + "\n", nil
}
