package records

import (
	"encoding/base64"
	"regexp"
	"strings"

	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// maxConsole bounds what is read of a console, in bytes of Base64: EC2 keeps 64 KiB of it.
	maxConsole = 128 << 10
	// maxLines and maxLineBytes bound what is kept.
	maxLines     = 128
	maxLineBytes = 256
)

// KernelLog returns the last lines that the kernel wrote to a console, of which EC2 returns the end
// in Base64.
func KernelLog(output string) []string {
	var all []string
	for line := range strings.Lines(decode(output)) {
		line = strings.TrimRight(line, "\r\n")
		if !stamped.MatchString(line) || program.MatchString(line) {
			continue
		}
		all = append(all, reason.CleanTo(line, maxLineBytes))
	}
	return all[max(0, len(all)-maxLines):]
}

// decode decodes the end of a console, as far as it is Base64.
func decode(output string) string {
	const group = 4
	output = strings.NewReplacer("\r", "", "\n", "").Replace(output)
	if cut := len(output) - maxConsole; cut > 0 {
		output = output[(cut+group-1)/group*group:]
	}
	text := make([]byte, base64.StdEncoding.DecodedLen(len(output)))
	// What was decoded before an error counts.
	n, _ := base64.StdEncoding.Decode(text, []byte(output))
	return string(text[:n])
}

var (
	// stamped matches a line that printk wrote: its time is in every distribution's kernel. What
	// else is on a console may be a secret: programs print there, too.
	stamped = regexp.MustCompile(`^\[ *[0-9]{1,9}\.[0-9]{6}\]`)
	// program matches what a program wrote to the log of the kernel: cloud-init[1234]: …
	program = regexp.MustCompile(
		`^\[[ 0-9.]+\](?:\[ *[TC][0-9]{1,9}\])? [A-Za-z][A-Za-z0-9_.@/-]*\[[0-9]+\]: `)
)
