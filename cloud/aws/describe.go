package aws

import (
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	describeCall = "ec2:DescribeInstances"
	// forgotten is EC2's code for an instance that it does not know, or no longer.
	forgotten = "InvalidInstanceID.NotFound"
	groupTag  = "aws:autoscaling:groupName"
	// maxName bounds the name of a group of instances (255 characters, says Auto Scaling).
	maxName = 255
)

// next are the calls that may say more.
type next struct{ trail, console bool }

// describe asks EC2 for the reason of the last change of state.
func (q *inquiry) describe(ctx context.Context) next {
	reply, err := q.ec2.DescribeInstances(ctx,
		&ec2.DescribeInstancesInput{InstanceIds: []string{q.instance}})
	switch {
	case code(err) == forgotten:
		q.Answered(describeCall)
		q.Detail("EC2 no longer knows " + q.instance +
			": it keeps an instance for about an hour after its end")
		return next{}
	case err != nil:
		f := failure(describeCall, err)
		q.Failed(f)
		// A cloud that throttles, or cannot be reached, is not asked for more.
		return next{trail: f.Status != 0 && !f.Throttled}
	}
	q.Answered(describeCall)
	instance := q.find(reply)
	if instance == nil {
		q.Detail("EC2 returned no instance " + q.instance)
		return next{}
	}
	return q.read(instance)
}

func (q *inquiry) find(reply *ec2.DescribeInstancesOutput) *types.Instance {
	for _, r := range reply.Reservations {
		for i := range r.Instances {
			if aws.ToString(r.Instances[i].InstanceId) == q.instance {
				return &r.Instances[i]
			}
		}
	}
	return nil
}

// read reads how the instance ended.
func (q *inquiry) read(i *types.Instance) next {
	if lives(i.State) {
		q.Later()
		q.Detail("EC2 says that the instance is " + string(i.State.Name))
		return next{}
	}
	said := stateReasons()[q.stateReason(i)]
	q.Happened(said.What, "")
	q.At(transitionTime(aws.ToString(i.StateTransitionReason)))
	if i.InstanceLifecycle != "" {
		q.Detail(string(i.InstanceLifecycle) + " instance")
	}
	if group := tag(i.Tags, groupTag); group != "" {
		q.Detail("of the Auto Scaling group " + reason.CleanTo(group, maxName))
	}
	// A spot instance that is taken back needs no other explanation.
	return next{trail: said.Called, console: said.What != reason.EvidenceSpot}
}

func lives(s *types.InstanceState) bool {
	return s != nil &&
		(s.Name == types.InstanceStateNameRunning || s.Name == types.InstanceStateNamePending)
}

// stateReason adds EC2's words, and returns its code.
func (q *inquiry) stateReason(i *types.Instance) string {
	if i.StateReason == nil {
		return ""
	}
	code, message := aws.ToString(i.StateReason.Code), aws.ToString(i.StateReason.Message)
	switch {
	case message == "":
		message = code
	case !strings.HasPrefix(message, code):
		message = code + ": " + message
	}
	q.Detail(message)
	return code
}

// transition matches StateTransitionReason: "User initiated (2026-11-30 10:00:00 GMT)".
var transition = regexp.MustCompile(`\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)$`)

func transitionTime(said string) time.Time {
	m := transition.FindStringSubmatch(said)
	if m == nil {
		return time.Time{}
	}
	at, err := time.Parse(time.DateTime, m[1])
	if err != nil {
		return time.Time{}
	}
	return at
}

func tag(all []types.Tag, key string) string {
	for _, t := range all {
		if aws.ToString(t.Key) == key {
			return aws.ToString(t.Value)
		}
	}
	return ""
}
