// Package docs holds the pages to each other and to what they are about.
package docs

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const root = "../.."

// pages are the Markdown files of the repository, by their path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	list, err := exec.CommandContext(t.Context(), "git", "-C", root, "ls-files", "-co",
		"--exclude-standard", "*.md").Output()
	if err != nil {
		t.Fatalf("list the pages: %v", err)
	}
	all := map[string]string{}
	for name := range strings.Lines(string(list)) {
		name = strings.TrimSpace(name)
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(text)
	}
	if len(all) < 15 {
		t.Fatalf("found %d pages only", len(all))
	}
	return all
}

var (
	fences   = regexp.MustCompile("(?ms)^\\s*```.*?^\\s*```")
	code     = regexp.MustCompile("`[^`\n]*`")
	links    = regexp.MustCompile(`(?m)\]\(([^()\s]+)\)|^\[[^\]]+\]: (\S+)`)
	headings = regexp.MustCompile(`(?m)^#+ (.+)$`)
	dropped  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are the headings of a page as GitHub makes them targets.
func anchors(page string) map[string]bool {
	all := map[string]bool{}
	for _, m := range headings.FindAllStringSubmatch(fences.ReplaceAllString(page, ""), -1) {
		heading := dropped.ReplaceAllString(strings.ToLower(strings.TrimSpace(m[1])), "")
		all[strings.ReplaceAll(heading, " ", "-")] = true
	}
	return all
}

// What a page links to within the repository is there. Links to elsewhere are not followed.
func TestLinks(t *testing.T) {
	t.Parallel()
	all, followed := pages(t), 0
	for name, page := range all {
		for _, m := range links.FindAllStringSubmatch(
			code.ReplaceAllString(fences.ReplaceAllString(page, ""), ""), -1) {
			target := m[1] + m[2]
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			followed++
			file, anchor, _ := strings.Cut(target, "#")
			to := name
			if file != "" {
				to = path.Join(path.Dir(name), file)
			}
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s links to %s, which is not there", name, target)
				continue
			}
			if anchor != "" && !anchors(all[to])[anchor] {
				t.Errorf("%s links to %s, and there is no such heading", name, target)
			}
		}
	}
	if followed < 80 {
		t.Errorf("followed %d links only", followed)
	}
}

// The index names every page.
func TestIndex(t *testing.T) {
	t.Parallel()
	all := pages(t)
	index := all["docs/README.md"]
	for name := range all {
		page, inDocs := strings.CutPrefix(name, "docs/")
		if inDocs && page != "README.md" && !strings.Contains(index, "]("+page+")") {
			t.Errorf("docs/README.md does not list %s", page)
		}
	}
}

// Each alert says where its runbook is, and each runbook is of an alert.
func TestRunbooks(t *testing.T) {
	t.Parallel()
	type file struct {
		Groups []struct {
			Rules []struct {
				Alert       string
				Annotations map[string]string
			}
		}
	}
	var rules file
	for _, name := range []string{"alerts.yaml", "alerts-archive.yaml"} {
		text, err := os.ReadFile(filepath.Join(root, "charts/epitaph/files", name))
		if err != nil {
			t.Fatal(err)
		}
		var more file
		if err := yaml.Unmarshal(text, &more); err != nil {
			t.Fatal(err)
		}
		rules.Groups = append(rules.Groups, more.Groups...)
	}
	const page = "https://github.com/epitaph-k8s/epitaph/blob/main/docs/runbooks.md"
	sections := anchors(pages(t)["docs/runbooks.md"])
	delete(sections, "runbooks")
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			anchor := strings.ToLower(rule.Alert)
			if got := rule.Annotations["runbook_url"]; got != page+"#"+anchor {
				t.Errorf("alert %s has the runbook %q, want %s#%s", rule.Alert, got, page, anchor)
			}
			if !sections[anchor] {
				t.Errorf("docs/runbooks.md has no section %s", rule.Alert)
			}
			delete(sections, anchor)
		}
	}
	for section := range sections {
		t.Errorf("docs/runbooks.md has the section %s, and there is no such alert", section)
	}
}
