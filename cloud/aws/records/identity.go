package records

import (
	"cmp"
	"regexp"
	"strings"
)

// An Identity is who called the API
// (docs.aws.amazon.com/awscloudtrail/latest/userguide/
// cloudtrail-event-reference-user-identity.html).
type Identity struct {
	Type           string `json:"type"`
	ARN            string `json:"arn"`
	AccountID      string `json:"accountId"`
	UserName       string `json:"userName"`
	InvokedBy      string `json:"invokedBy"`
	SessionContext struct {
		SourceIdentity string `json:"sourceIdentity"`
	} `json:"sessionContext"`
	// shown is the name that CloudTrail itself shows for the event.
	shown string
}

// machine matches names of sessions that say nothing: of an instance, of SDKs, and of EKS Pod
// Identity ("eks-CLUSTER-POD-UUID").
var machine = regexp.MustCompile(`^(?:i-[0-9a-f]+|[0-9]+|botocore-session-.*|aws-sdk-.*|eks-.*)$`)

// people is how roles begin that IAM Identity Center makes for people: the session has the name of
// one.
const people = "AWSReservedSSO_"

// Name returns who it was in a word that a person recognises: alice, alice@example.com, or the role
// of a program.
func (i Identity) Name() string {
	switch i.Type {
	case "Root":
		return "root of account " + i.AccountID
	case "AssumedRole":
		if i.SessionContext.SourceIdentity != "" {
			return i.SessionContext.SourceIdentity
		}
		return i.session()
	case "AWSService":
		return cmp.Or(i.InvokedBy, i.shown, "a service of AWS")
	case "AWSAccount":
		return "account " + i.AccountID
	default:
		return cmp.Or(i.UserName, last(i.ARN), i.shown, "somebody unknown")
	}
}

// session returns whoever assumed a role: arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION.
func (i Identity) session() string {
	_, path, _ := strings.Cut(i.ARN, ":assumed-role/")
	role, session, _ := strings.Cut(path, "/")
	switch {
	case role == "":
		return cmp.Or(i.shown, "somebody unknown")
	case session == "" || machine.MatchString(session):
		return role
	case strings.Contains(session, "@") || strings.HasPrefix(role, people):
		return session
	default:
		return session + " (" + role + ")"
	}
}

// last returns the name at the end of an ARN.
func last(arn string) string { return arn[strings.LastIndexAny(arn, "/:")+1:] }
