// Command kernellinesdoc writes docs/kernel-lines.md: what lines of a kernel mean, from the rules
// of package reason/kernel.
//
//	kernellinesdoc > docs/kernel-lines.md
package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/epitaph-k8s/epitaph/reason/kernel"
)

func main() {
	if _, err := io.WriteString(os.Stdout, render(kernel.DefaultRules())); err != nil {
		fmt.Fprintln(os.Stderr, "kernellinesdoc:", err)
		os.Exit(1)
	}
}

const head = `# What lines of the kernel mean

The netconsole listener reads every line that a kernel sends. A line that matches one of these rules
becomes evidence on the Node, with the device and the failure in words: if the node then goes because
of it, that is the reason ([reasons.md](reasons.md#evidence)). The first rule that matches wins.

| severity | means |
|---|---|
| Fatal | hardware that does not work any more |
| Failing | hardware whose error was not corrected, and that may go on working |
| Trouble | the kernel's own, which it survives: told with a node that then falls silent, and of itself no reason |
| Remembered | no evidence; it says what the lines after it are about |
| Harmless | no evidence: a corrected error, an error of the program, a device that is not the node's |

Evidence about the same part of the machine is written at most every ten minutes, and worse evidence
at once. "Lasts" is how long after the line a node may still go because of it; for a line that is
remembered, how long it explains the lines after it.

What the rules do not know:

- Whose disk it is. A volume that the cloud attaches looks like a disk of the machine
  (` + "`sdb`, `vdb`, `nvme1n1`" + `), and its errors count as the node's, unless the kernel said a
  moment before that a connection was lost, a device unplugged or a path gone.
- Which pod's program caused an Xid. The line has a process ID of the host, which only the node could
  look up, and only while the process lives; so a program's error is not evidence, and is not told of
  a pod either.

Your own rules go before these, and one with the ID of a rule below replaces it;
` + "`omitDefaultKernelRules: true`" + ` leaves these out:

` + "```yaml" + `
netconsole:
  kernelRules:
  - id: disk-io             # here: I/O errors are no evidence on these machines
    kind: disk
    severity: Harmless
    # only lines are looked at that, or whose message after the first colons, begin so
    starts: ["I/O error, dev "]
    match: '^(?:blk_update_request: )?I/O error, dev (?P<dev>[^, ]+), '
` + "```" + `

All fields are in [full.yaml](../config/testdata/full.yaml). To add a rule to the program, edit
reason/kernel/rules.yaml, and add a line to reason/kernel/testdata/lines.yaml that fails without it.

<!-- Written by make generate, from reason/kernel/rules.yaml. -->

| rule | line | severity | told as | lasts | source |
|---|---|---|---|---|---|
`

// render writes the page.
func render(rules []kernel.Rule) string {
	var page strings.Builder
	page.WriteString(head)
	for _, r := range rules {
		words := ""
		if r.Severity.Told() {
			words = r.Device + ": " + r.Failure
		}
		lasts := ""
		if r.Lasts.Duration > 0 {
			lasts = strings.TrimSuffix(strings.TrimSuffix(r.Lasts.Duration.String(), "0s"), "0m")
		}
		row(&page, code(r.ID), code(r.Match)+conditions(r), string(r.Severity), words, lasts,
			r.Source)
	}
	return page.String()
}

// conditions are what a rule asks for beside the line.
func conditions(r kernel.Rule) string {
	var all string
	if len(r.Subsystem) > 0 {
		all += "; of " + codes(r.Subsystem)
	}
	if r.NotDevices != "" {
		all += "; not of " + code(r.NotDevices)
	}
	if len(r.After) > 0 {
		all += "; after " + codes(r.After)
	}
	if len(r.NotAfter) > 0 {
		all += "; not after " + codes(r.NotAfter)
	}
	return all
}

func codes(all []string) string {
	var words []string
	for _, s := range all {
		words = append(words, code(s))
	}
	return strings.Join(words, ", ")
}

func code(s string) string { return "`" + s + "`" }

// row writes a row; in a cell a | would end it.
func row(page *strings.Builder, cells ...string) {
	for _, c := range cells {
		fmt.Fprintf(page, "| %s ", strings.ReplaceAll(c, "|", `\|`))
	}
	page.WriteString("|\n")
}
