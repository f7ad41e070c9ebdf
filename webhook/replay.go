package webhook

import (
	"slices"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

// A Past is what is on record of the deletion of a Pod or a Node.
type Past struct {
	Subject reason.Subject
	// Namespace is that of the Pod.
	Namespace string
	// User asked for the deletion; empty if nobody saw who did.
	User string
	// Explained is set if the object had a reason, or one could be inferred.
	Explained bool
}

// A Retrospect says what a policy would have made of a deletion.
type Retrospect string

const (
	// WouldPass is that it would not have been denied.
	WouldPass Retrospect = "passed"
	// WouldBeDenied is that it had no reason, and would have needed one.
	WouldBeDenied Retrospect = "denied"
	// CannotBeTold is that it depends on what is not on record.
	CannotBeTold Retrospect = "cannot be told"
)

// What a rule may ask for that is on no record.
const (
	UnknownUser       = "who asked for it"
	UnknownGroups     = "the groups of the user"
	UnknownOperation  = "whether it was deleted or evicted"
	UnknownNamespace  = "the labels of the namespace"
	UnknownExpression = "what an expression looks at"
)

// A Replay decides about past deletions by a policy. It is safe for concurrent use.
type Replay struct {
	policy   policy
	inferrer reason.Inferrer
}

// NewReplay compiles the policy of a configuration.
func NewReplay(c config.Config) (*Replay, error) {
	p, err := newPolicy(c.Webhook, c.Namespace)
	return &Replay{p, c.Inferrer()}, err
}

// Decide returns what would have become of a deletion, and by which rule. If that cannot be told,
// lacks says for want of what, and rule is the first that asks for it.
//
// What is not known is not guessed: a rule that asks for it may match or not, and only if the
// decision is the same in both cases is it one.
func (r *Replay) Decide(p Past) (became Retrospect, rule, lacks string) {
	if p.Explained || isOurs(p.User) {
		return WouldPass, "", ""
	}
	d := deletion{subject: p.Subject, namespace: p.Namespace, user: p.User,
		actor: r.inferrer.ActorOf(p.User, nil)}
	verdict := func(a config.Action) Retrospect {
		if a == config.Require && !slices.Contains(r.policy.neverDenied, p.Namespace) &&
			(p.User == "" || !r.policy.exempt(d)) {
			return WouldBeDenied
		}
		return WouldPass
	}
	for _, candidate := range append(slices.Clone(r.policy.rules), compiledRule{Rule: fallback}) {
		missing, possible := candidate.matchesPast(d)
		if !possible {
			continue
		}
		says := verdict(candidate.Action)
		switch {
		case says == WouldBeDenied && p.User == "": // the system is never denied
			return CannotBeTold, candidate.Name, UnknownUser
		case became == "":
			became, rule, lacks = says, candidate.Name, missing
		case became != says:
			return CannotBeTold, rule, lacks
		}
		if missing == "" {
			return became, candidate.Name, ""
		}
	}
	return became, rule, "" // not reached: the last candidate asks for nothing
}

// isOurs reports whether a part of Epitaph asked: it never asks for what it would deny.
func isOurs(user string) bool { return user == reason.ByGC || user == reason.ByNetconsole }

// matchesPast reports whether a rule may match a deletion of which groups, operation, the labels of
// the namespace and the object are not known, and what it asks for among these; if it is nothing,
// it matches.
func (r compiledRule) matchesPast(d deletion) (missing string, possible bool) {
	known := r
	known.Groups, known.Operations = nil, nil
	if d.user == "" {
		known.Actors, known.Users = nil, nil
	}
	if !known.names(d) || r.selector != nil && d.namespace == "" {
		return "", false
	}
	evictable := d.subject == reason.Pod
	if !evictable && len(r.Operations) > 0 && !slices.Contains(r.Operations, config.Delete) {
		return "", false
	}
	switch {
	case d.user == "" && len(r.Actors)+len(r.Users) > 0:
		return UnknownUser, true
	case len(r.Groups) > 0:
		return UnknownGroups, true
	case evictable && len(r.Operations) > 0 && (!slices.Contains(r.Operations, config.Delete) ||
		!slices.Contains(r.Operations, config.Evict)):
		return UnknownOperation, true
	case r.selector != nil:
		return UnknownNamespace, true
	case r.expression != nil:
		return UnknownExpression, true
	}
	return "", true
}
