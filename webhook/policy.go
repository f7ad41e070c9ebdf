package webhook

import (
	"slices"
	"strings"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

// A deletion is what policy looks at.
type deletion struct {
	subject   reason.Subject
	namespace string
	user      string
	groups    []string
	actor     reason.Actor
}

// policy is the ordered list of rules, and what stands above them.
type policy struct {
	mode        config.Mode
	neverDenied []string
	rules       []config.Rule
}

func newPolicy(c config.Webhook, ownNamespace string) policy {
	return policy{
		mode:        c.Mode,
		neverDenied: append([]string{ownNamespace}, c.NeverDeniedNamespaces...),
		rules:       c.Rules,
	}
}

// fallback decides about what no rule matches.
var fallback = config.Rule{Name: "no-rule", Action: config.Fill}

// decide returns the rule that applies. Requirements bind people and programs, never the cluster's own components: what
// those cannot delete stays for ever (gardener/gardener#13322).
func (p policy) decide(d deletion) config.Rule {
	i := slices.IndexFunc(p.rules, func(r config.Rule) bool { return matches(r, d) })
	if i < 0 {
		return fallback
	}
	rule := p.rules[i]
	if rule.Action == config.Require && p.exempt(d) {
		rule.Action = config.Fill
	}
	return rule
}

func (p policy) exempt(d deletion) bool {
	return ruleActor(d) == config.System || slices.Contains(p.neverDenied, d.namespace)
}

func matches(r config.Rule, d deletion) bool {
	return anyOf(r.Actors, func(a config.RuleActor) bool { return a == ruleActor(d) }) &&
		anyOf(r.Users, func(pattern string) bool { return glob(pattern, d.user) }) &&
		anyOf(r.Groups, func(pattern string) bool {
			return slices.ContainsFunc(d.groups, func(g string) bool { return glob(pattern, g) })
		}) &&
		anyOf(r.Namespaces, func(pattern string) bool { return d.subject == reason.Pod && glob(pattern, d.namespace) }) &&
		anyOf(r.Resources, func(resource string) bool { return resource == d.subject.String()+"s" })
}

// anyOf tells whether one of the list matches; an empty list matches everything.
func anyOf[T any](list []T, match func(T) bool) bool {
	return len(list) == 0 || slices.ContainsFunc(list, match)
}

// glob matches a name against a pattern that may end in *.
func glob(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}

func ruleActor(d deletion) config.RuleActor {
	switch {
	case d.actor == reason.Person:
		return config.Person
	case d.actor == reason.ServiceAccount && !strings.HasPrefix(d.user, "system:serviceaccount:kube-system:"):
		return config.ServiceAccount
	default:
		return config.System
	}
}
