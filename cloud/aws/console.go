package aws

import (
	"context"
	"encoding/base64"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	consoleCall = "ec2:GetConsoleOutput"
	// maxConsole bounds what is read of a console, in bytes of Base64: EC2 keeps 64 KiB of it.
	maxConsole = 128 << 10
	// maxLines and maxLineBytes bound what is kept.
	maxLines     = 128
	maxLineBytes = 256
)

// readConsole reads the end of the console. An instance whose kernel panicked is stopped by whoever
// finds that it does not answer: whether a panic stands there, readers of the answer decide.
func (q *inquiry) readConsole(ctx context.Context) {
	text, err := q.console(ctx)
	if err != nil {
		if code(err) == forgotten {
			return
		}
		q.Failed(failure(consoleCall, err))
		return
	}
	q.Answered(consoleCall)
	q.KernelLog(kernelLog(text))
}

// console returns what EC2 has of the console. It has the latest of instances on Nitro only.
func (q *inquiry) console(ctx context.Context) (string, error) {
	input := &ec2.GetConsoleOutputInput{InstanceId: &q.instance, Latest: aws.Bool(true)}
	reply, err := q.ec2.GetConsoleOutput(ctx, input)
	if code(err) == "UnsupportedOperation" {
		input.Latest = nil
		reply, err = q.ec2.GetConsoleOutput(ctx, input)
	}
	if err != nil {
		return "", err
	}
	return decode(aws.ToString(reply.Output)), nil
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

// kernelLog returns the last lines of the kernel.
func kernelLog(console string) []string {
	var all []string
	for line := range strings.Lines(console) {
		line = strings.TrimRight(line, "\r\n")
		if !stamped.MatchString(line) || program.MatchString(line) {
			continue
		}
		all = append(all, reason.CleanTo(line, maxLineBytes))
	}
	return all[max(0, len(all)-maxLines):]
}
