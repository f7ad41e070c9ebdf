// Command reasonsdoc writes the tables of docs/reasons.md anew, from what package reason is made
// of.
//
//	reasonsdoc < docs/reasons.md > docs/reasons.md.new
//
// A table stands between two comments, "begin NAME" and "end NAME"; everything else is left as it
// is.
package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

func main() {
	old, err := io.ReadAll(os.Stdin)
	if err == nil {
		var page string
		if page, err = render(string(old)); err == nil {
			_, err = io.WriteString(os.Stdout, page)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "reasonsdoc:", err)
		os.Exit(1)
	}
}

// tables are what stands between the comments.
var tables = map[string]func() string{
	"signals":    signals,
	"identities": func() string { return identities(reason.DefaultIdentities()) },
	"schedulers": schedulers,
	"owners":     owners,
	"nodeclaims": nodeClaims,
	"operators":  operators,
	"kubelet":    kubelet,
	"kubernetes": func() string { return identities(reason.KubernetesIdentities()) },
}

// render fills each table into the page. A table that the page has no place for is an error.
func render(page string) (string, error) {
	for name, table := range tables {
		begin, end := "<!-- begin "+name+": make generate -->\n", "<!-- end "+name+" -->"
		before, rest, ok := strings.Cut(page, begin)
		_, after, closed := strings.Cut(rest, end)
		if !ok || !closed {
			return "",
				fmt.Errorf("the page has no place for the table %s: write %q and %q around it",
					name, begin, end)
		}
		page = before + begin + "\n" + table() + "\n" + end + after
	}
	return page, nil
}

func signals() string {
	var b strings.Builder
	b.WriteString("| on the Node | code | rank | emitted by |\n|---|---|---|---|\n")
	for _, s := range reason.DefaultSignals() {
		words := inWords(s.Mark)
		if len(s.With) > 0 {
			words += "; and with it " + list(s.With, " or ")
		}
		if len(s.Without) > 0 {
			words += "; but not " + list(s.Without, ", nor ")
		}
		row(&b, words, code(string(s.Code)), string(s.Rank), s.Source)
	}
	return b.String()
}

func identities(all []reason.Identity) string {
	var b strings.Builder
	b.WriteString("| user | is | source |\n|---|---|---|\n")
	for _, id := range all {
		who := code(id.User.String())
		if len(id.Groups) > 0 {
			who += " in " + patterns(id.Groups)
		}
		row(&b, who, id.Actor.String(), id.Source)
	}
	return b.String()
}

func schedulers() string {
	var b strings.Builder
	b.WriteString("| on the Pod | deleted by | code | left by |\n|---|---|---|---|\n")
	for _, s := range reason.PodSignals() {
		row(&b, inWords(s.Mark), patterns(s.Users), code(string(s.Code)), s.Source)
	}
	return b.String()
}

func owners() string {
	var b strings.Builder
	b.WriteString("| object | found by | says | code | source |\n|---|---|---|---|---|\n")
	for _, s := range reason.DefaultOwnerSignals() {
		kind := s.Of.Kind
		if s.Of.Group != "" {
			kind += "." + s.Of.Group
		}
		row(&b, code(kind), way(s.Of), says(s), code(string(s.Code)), s.Source)
	}
	return b.String()
}

func nodeClaims() string {
	var b strings.Builder
	b.WriteString("| Event about the NodeClaim | code | written by |\n|---|---|---|\n")
	for _, e := range reason.ClaimEvents() {
		row(&b, code(e.Reason), code(string(e.Code)), e.Source)
	}
	return b.String()
}

// way says how a decider is found.
func way(d reason.Decider) string {
	switch {
	case d.Owner:
		return "it owns the pod"
	case d.Labelled != "":
		return "its label " + code(d.Labelled) + " has the UID of an owner"
	case d.NamedByLabel != "":
		return "the pod's label " + code(d.NamedByLabel)
	default:
		return "the pod's annotation " + code(d.NamedByAnnotation)
	}
}

// says is what an owner signal reads.
func says(s reason.OwnerSignal) string {
	var words string
	switch {
	case s.Deleting:
		words = "is being deleted"
	case s.Field != "":
		words = code(s.Field)
		if !s.Value.IsZero() {
			words += " like " + code(s.Value.String())
		}
	default:
		words = inWords(reason.Mark{Condition: s.Condition,
			Status: cmp.Or(s.Status, corev1.ConditionTrue), Reasons: s.Reasons})
	}
	if s.Node {
		words += "; what is wrong with the node comes first"
	}
	return words
}

func operators() string {
	var b strings.Builder
	b.WriteString("| owner | deleted by | source |\n|---|---|---|\n")
	for _, o := range reason.DefaultOperators() {
		row(&b, code(o.Kind+"."+o.Group), patterns(o.Users), o.Source)
	}
	return b.String()
}

func kubelet() string {
	var b strings.Builder
	b.WriteString("| status.reason, status.message | code | source |\n|---|---|---|\n")
	for _, s := range reason.Statuses() {
		words := code(s.Reason.String())
		if !s.Message.IsZero() {
			words += ", " + code(s.Message.String())
		}
		row(&b, words, code(string(s.Code)), s.Source)
	}
	return b.String()
}

func list(marks []reason.Mark, between string) string {
	var all []string
	for _, m := range marks {
		all = append(all, inWords(m))
	}
	return strings.Join(all, between)
}

// inWords says what a mark is.
func inWords(m reason.Mark) string {
	var words string
	switch {
	case m.Unschedulable:
		return "a cordon"
	case !m.Condition.IsZero():
		words = "condition " + code(m.Condition.String()) + " = " + string(m.Status)
		if len(m.Reasons) > 0 {
			words += ", reason " + patterns(m.Reasons)
		}
		if !m.Message.IsZero() {
			words += ", message " + code(m.Message.String())
		}
	case !m.Taint.IsZero():
		words = "taint " + code(m.Taint.String())
		if m.Effect != "" {
			words += " " + string(m.Effect)
		}
	case !m.Label.IsZero():
		words = "label " + code(m.Label.String())
	default:
		words = "annotation " + code(m.Annotation.String())
	}
	if !m.Value.IsZero() {
		words += " with " + code(m.Value.String())
	}
	return words
}

func patterns(all []reason.Pattern) string {
	var words []string
	for _, p := range all {
		words = append(words, code(p.String()))
	}
	return strings.Join(words, ", ")
}

func code(s string) string { return "`" + s + "`" }

// row writes a row; in a cell a | would end it.
func row(b *strings.Builder, cells ...string) {
	for _, cell := range cells {
		b.WriteString("| " + strings.ReplaceAll(cell, "|", `\|`) + " ")
	}
	b.WriteString("|\n")
}
