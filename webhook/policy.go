package webhook

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

// A deletion is what policy looks at.
type deletion struct {
	subject   reason.Subject
	operation config.Operation
	namespace string
	user      string
	groups    []string
	actor     reason.Actor
	// owns is set where what is deleted is an owner of pods.
	owns bool
	// raw returns the pod or the node as JSON, for expressions.
	raw func() ([]byte, error)
}

// policy is the ordered list of rules, and what stands above them.
type policy struct {
	mode        config.Mode
	neverDenied []string
	rules       []compiledRule
}

// A compiledRule is a rule that can no longer be wrong.
type compiledRule struct {
	config.Rule
	selector   labels.Selector // nil matches every namespace
	expression cel.Program     // nil is true
}

// namespaceLabels looks up the labels of a namespace.
type namespaceLabels func(ctx context.Context, name string) (map[string]string, error)

// newPolicy compiles the rules. The error names the rule's field, and for an expression the line
// and column.
func newPolicy(c config.Webhook, ownNamespace string) (policy, error) {
	p := policy{mode: c.Mode, neverDenied: append([]string{ownNamespace},
		c.NeverDeniedNamespaces...)}
	for n, rule := range c.Rules {
		compiled, err := compileRule(rule)
		if err != nil {
			return p, fmt.Errorf("webhook.rules[%d].%w", n, err)
		}
		p.rules = append(p.rules, compiled)
	}
	return p, nil
}

// SetPolicy has every later request decided by the policy in c ([config.Webhook.WithPolicyOf]). If
// a rule is broken, the policy stays as it was, and the error says which rule, and where.
func (h *Handler) SetPolicy(c config.Webhook) error {
	p, err := newPolicy(c, h.ownNamespace)
	if err != nil {
		return err
	}
	h.policy.Store(&p)
	return nil
}

func compileRule(rule config.Rule) (compiledRule, error) {
	compiled := compiledRule{Rule: rule}
	var err error
	if rule.NamespaceSelector != nil {
		if compiled.selector, err = metav1.LabelSelectorAsSelector(
			rule.NamespaceSelector); err != nil {
			return compiled, fmt.Errorf(
				"namespaceSelector: %w: write matchLabels, or matchExpressions with In, NotIn, Exists or DoesNotExist", err)
		}
	}
	if rule.Expression != "" {
		if compiled.expression, err = compileExpression(rule.Expression); err != nil {
			return compiled, fmt.Errorf("expression: %w", err)
		}
	}
	return compiled, nil
}

// fallback decides where no rule matches.
var fallback = config.Rule{Name: "no-rule", Action: config.Fill}

// decide returns the rule that applies. Requirements bind people and programs, never the cluster's
// own components: what those cannot delete stays for ever (gardener/gardener#13322). An error is a
// rule that cannot be judged.
func (p policy) decide(ctx context.Context, d deletion,
	labelsOf namespaceLabels) (config.Rule, error) {
	rule := fallback
	for _, r := range p.rules {
		ok, err := r.matches(ctx, d, labelsOf)
		if err != nil {
			return r.Rule, fmt.Errorf("judge rule %s: %w", r.Name, err)
		}
		if ok {
			rule = r.Rule
			break
		}
	}
	if rule.Action == config.Require && p.exempt(d) {
		rule.Action = config.Fill
	}
	return rule, nil
}

func (p policy) exempt(d deletion) bool {
	return ruleActor(d) == config.System || slices.Contains(p.neverDenied, d.namespace)
}

func (r compiledRule) matches(ctx context.Context, d deletion,
	labelsOf namespaceLabels) (bool, error) {
	if !r.names(d) {
		return false, nil
	}
	if r.selector == nil && r.expression == nil {
		return true, nil
	}
	if r.selector != nil && d.namespace == "" {
		return false, nil
	}
	var of map[string]string
	if d.namespace != "" {
		var err error
		if of, err = labelsOf(ctx, d.namespace); err != nil {
			return false, fmt.Errorf("read the labels of namespace %s: %w", d.namespace, err)
		}
	}
	if r.selector != nil && !r.selector.Matches(labels.Set(of)) {
		return false, nil
	}
	if r.expression == nil {
		return true, nil
	}
	return evaluate(ctx, r.expression, d, of)
}

// names tells whether the rule's lists name the deletion.
func (r compiledRule) names(d deletion) bool {
	// Rules are about pods and nodes, unless they say otherwise.
	if d.owns && len(r.Resources) == 0 {
		return false
	}
	return anyOf(r.Actors, func(a config.RuleActor) bool { return a == ruleActor(d) }) &&
		anyOf(r.Users, func(pattern string) bool { return glob(pattern, d.user) }) &&
		anyOf(r.Groups, func(pattern string) bool {
			return slices.ContainsFunc(d.groups, func(g string) bool { return glob(pattern, g) })
		}) &&
		anyOf(r.Namespaces,
			func(pattern string) bool {
				return d.subject == reason.Pod &&
					glob(pattern, d.namespace)
			}) &&
		anyOf(r.Resources, func(resource string) bool { return resource == d.resource() }) &&
		anyOf(r.Operations, func(o config.Operation) bool { return o == d.operation })
}

func (d deletion) resource() string {
	if d.owns {
		return ownersResource
	}
	return d.subject.String() + "s"
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

// ruleActor is who deletes, to a rule. A service account stays one under whatever identity: whoever
// may make one chooses its name, and the system is never denied. Other users are what their
// identity says.
func ruleActor(d deletion) config.RuleActor {
	switch {
	case strings.HasPrefix(d.user, "system:serviceaccount:kube-system:"):
		return config.System
	case strings.HasPrefix(d.user, "system:serviceaccount:"), d.actor == reason.ServiceAccount:
		return config.ServiceAccount
	case d.actor == reason.Person:
		return config.Person
	default:
		return config.System
	}
}
