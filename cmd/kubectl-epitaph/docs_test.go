package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// documented returns a section of docs/plugin.md, from its heading to the next.
func documented(t *testing.T, heading string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/plugin.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut("\n"+string(page), "\n"+heading+"\n")
	if !found {
		t.Fatalf("docs/plugin.md has no %q", heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// docs/plugin.md has a row for each command, and each flag of it, and no others.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	rows := map[string]string{} // by the first word of the command
	for line := range strings.Lines(documented(t, "# kubectl epitaph")) {
		if first, ok := strings.CutPrefix(line, "| `"); ok {
			rows[regexp.MustCompile(`^[a-z]+`).FindString(first)] += line
		}
	}
	rows["delete"] += documented(t, "## delete") + documented(t,
		"## A cluster with annotation keys of its own")
	rows["drain"] += documented(t, "## drain") + documented(t,
		"## A cluster with annotation keys of its own")
	rows["list"] += documented(t, "## Output") // --show-managed-fields
	rows["panics"] += documented(t, "## Output")
	rows["watch"] += rows["list"] // "with the same filters"

	root := (&plugin{out: os.Stdout}).command()
	root.InitDefaultCompletionCmd()
	var commands []string
	for _, c := range root.Commands() {
		commands = append(commands, c.Name())
		says, is := rows[c.Name()]
		if !is {
			t.Errorf("docs/plugin.md has no row for %s", c.Name())
			continue
		}
		flagsAreIn(t, c, says)
	}
	for command := range rows {
		if !slices.Contains(commands, command) {
			t.Errorf("docs/plugin.md has a row for %s, which is no command", command)
		}
	}
}

func flagsAreIn(t *testing.T, c *cobra.Command, says string) {
	t.Helper()
	c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		long, short := "--"+f.Name, "`-"+f.Shorthand
		if f.Name != "help" && !strings.Contains(says, long) &&
			(f.Shorthand == "" || !strings.Contains(says, short)) {
			t.Errorf("docs/plugin.md says nothing of %s %s", c.Name(), long)
		}
	})
	for _, flag := range regexp.MustCompile("`--([a-z][a-z-]*)").FindAllStringSubmatch(says, -1) {
		if c.Name() != "watch" && c.Flags().Lookup(flag[1]) == nil &&
			c.InheritedFlags().Lookup(flag[1]) == nil {
			t.Errorf("docs/plugin.md says that %s has --%s", c.Name(), flag[1])
		}
	}
}

// The exit codes of docs/plugin.md are those of the program.
func TestDocumentedExitCodes(t *testing.T) {
	t.Parallel()
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^\| ([0-9]) \|`).FindAllStringSubmatch(
		documented(t, "## Exit codes"), -1) {
		got = append(got, m[1])
	}
	if want := []string{"0", "1", "2", "3"}; !slices.Equal(got, want) || exitError != 1 ||
		exitUsage != 2 || exitNotFound != 3 {
		t.Errorf("docs/plugin.md has the exit codes %v, want %v", got, want)
	}
}
