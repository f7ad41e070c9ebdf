// Package recipes reads what pages offer to users, the recipes of docs/batch-tools.md and README's
// commands, so that tests run what the page says and not a copy of it.
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

// Commands returns the indented code blocks of a section of a Markdown file, one after another
// and without the indentation.
func Commands(file, heading string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read a page of commands: %w", err)
	}
	_, section, _ := strings.Cut(string(text), "\n"+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var commands strings.Builder
	for line := range strings.Lines(section) {
		if command, isOne := strings.CutPrefix(line, "    "); isOne {
			commands.WriteString(command)
		}
	}
	if commands.Len() == 0 {
		return "", fmt.Errorf("%s has no section %q with commands", file, heading)
	}
	return commands.String(), nil
}
