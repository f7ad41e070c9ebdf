package aws

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/epitaph-k8s/epitaph/cloud/aws/records"
)

const consoleCall = "ec2:GetConsoleOutput"

// readConsole reads the end of the console. An instance whose kernel panicked is stopped by whoever
// finds that it does not answer: whether a panic stands there, readers of the answer decide.
func (q *inquiry) readConsole(ctx context.Context) {
	output, err := q.console(ctx)
	if err != nil {
		if code(err) == forgotten {
			return
		}
		q.Failed(failure(consoleCall, err))
		return
	}
	q.Answered(consoleCall)
	q.KernelLog(records.KernelLog(output))
}

// console returns what EC2 has of the console, in Base64. It has the latest of instances on Nitro
// only.
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
	return aws.ToString(reply.Output), nil
}
