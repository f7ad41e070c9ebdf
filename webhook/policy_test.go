package webhook

import (
	"context"
	"errors"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

func aDeletion(user string, groups ...string) deletion {
	return deletion{
		subject: reason.Pod, operation: config.Delete, namespace: "batch", user: user,
		groups: groups, actor: reason.ActorOf(user, groups),
		raw: func() ([]byte, error) { return []byte(`{"metadata":{"labels":{"app":"db"}}}`), nil },
	}
}

func in(namespace string, d deletion) deletion {
	d.namespace = namespace
	return d
}

func ofNode(d deletion) deletion {
	d.subject, d.namespace = reason.Node, ""
	return d
}

func TestPolicyDecides(t *testing.T) {
	t.Parallel()
	byDefault := config.DefaultRules()
	tests := map[string]struct {
		rules      []config.Rule
		deletion   deletion
		wantRule   string
		wantAction config.Action
	}{
		"a person must say why": {byDefault, aDeletion("alice"),
			"people-say-why", config.Require},
		"a person must say why of a node": {byDefault, ofNode(aDeletion("alice")),
			"people-say-why", config.Require},
		"k3s's administrator is a person": {byDefault,
			aDeletion("system:admin", "system:masters"), "people-say-why", config.Require},
		"nobody is a person": {byDefault, aDeletion("system:anonymous"),
			"people-say-why", config.Require},
		"a person in kube-system is filled": {byDefault, in("kube-system", aDeletion("alice")),
			"people-say-why", config.Fill},
		"a person in our own namespace": {byDefault, in("epitaph-system", aDeletion("alice")),
			"people-say-why", config.Fill},
		"a program is filled": {byDefault,
			aDeletion("system:serviceaccount:ci:runner"), "programs-are-filled-in", config.Fill},
		"the scheduler is filled": {byDefault, aDeletion("system:kube-scheduler"),
			"programs-are-filled-in", config.Fill},
		"nothing matches": {nil, aDeletion("alice"), "no-rule", config.Fill},
		"the first match wins": {
			[]config.Rule{{Name: "a", Users: []string{"al*"}, Action: config.Ignore},
				{Name: "b", Action: config.Require}},
			aDeletion("alice"), "a", config.Ignore,
		},
		"a name that only starts alike": {
			[]config.Rule{{Name: "a", Users: []string{"alice"}, Action: config.Ignore},
				{Name: "b", Action: config.Require}},
			aDeletion("alice2"), "b", config.Require,
		},
		"all of a rule must match": {
			[]config.Rule{{Name: "a", Users: []string{"alice"}, Groups: []string{"admins"},
				Action: config.Ignore}},
			aDeletion("alice", "users"), "no-rule", config.Fill,
		},
		"a group of several": {
			[]config.Rule{{Name: "a", Groups: []string{"team-*"}, Action: config.Ignore}},
			aDeletion("alice", "users", "team-red"), "a", config.Ignore,
		},
		"nodes are in no namespace": {
			[]config.Rule{{Name: "a", Namespaces: []string{"*"}, Action: config.Require}},
			ofNode(aDeletion("alice")), "no-rule", config.Fill,
		},
		"a rule for nodes": {
			[]config.Rule{{Name: "a", Resources: []string{"nodes"}, Action: config.Require}},
			ofNode(aDeletion("alice")), "a", config.Require,
		},
		"a program can be required": {
			[]config.Rule{{Name: "a", Actors: []config.RuleActor{config.ServiceAccount},
				Action: config.Require}},
			aDeletion("system:serviceaccount:ci:runner"), "a", config.Require,
		},
		"the pod garbage collector never": {
			[]config.Rule{{Name: "a", Action: config.Require}},
			aDeletion("system:serviceaccount:kube-system:pod-garbage-collector"), "a", config.Fill,
		},
		"a service account of kube-system never": {
			[]config.Rule{{Name: "a", Action: config.Require}},
			aDeletion("system:serviceaccount:kube-system:coredns"), "a", config.Fill,
		},
		"a namespace's labels": {
			[]config.Rule{
				{Name: "a",
					NamespaceSelector: &metav1.LabelSelector{
						MatchLabels: map[string]string{"team": "batch"}}, Action: config.Ignore}},
			aDeletion("alice"), "a", config.Ignore,
		},
		"another namespace's labels": {
			[]config.Rule{
				{Name: "a",
					NamespaceSelector: &metav1.LabelSelector{
						MatchLabels: map[string]string{"team": "web"}}, Action: config.Ignore}},
			aDeletion("alice"), "no-rule", config.Fill,
		},
		"nodes have no namespace's labels": {
			[]config.Rule{{Name: "a", NamespaceSelector: &metav1.LabelSelector{},
				Action: config.Ignore}},
			ofNode(aDeletion("alice")), "no-rule", config.Fill,
		},
		"an operation": {
			[]config.Rule{{Name: "a", Operations: []config.Operation{config.Evict},
				Action: config.Ignore}},
			aDeletion("alice"), "no-rule", config.Fill,
		},
		"an expression over everything": {
			[]config.Rule{{Name: "a", Action: config.Require,
				Expression: `user == 'alice' && 'dev' in groups && operation == 'Delete' && resource == 'pods' &&
				namespaceName == 'batch' && namespaceLabels.team == 'batch' && object.metadata.?labels.app.orValue('') == 'db'`}},
			aDeletion("alice", "dev"), "a", config.Require,
		},
		"an expression that is false": {
			[]config.Rule{{Name: "a", Action: config.Require,
				Expression: `object.metadata.labels.app == 'web'`}},
			aDeletion("alice"), "no-rule", config.Fill,
		},
		"a kubelet never": {
			[]config.Rule{{Name: "a", Action: config.Require}},
			aDeletion("system:node:n1", "system:nodes"), "a", config.Fill,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config.Default().Webhook
			c.Rules = tc.rules
			p, err := newPolicy(c, "epitaph-system")
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.decide(t.Context(), tc.deletion, labelsOfTeams)
			if err != nil {
				t.Fatal(err)
			}
			if got.Name != tc.wantRule || got.Action != tc.wantAction {
				t.Errorf("decided %s by rule %s, want %s by %s", got.Action, got.Name,
					tc.wantAction, tc.wantRule)
			}
		})
	}
}

func labelsOfTeams(_ context.Context, name string) (map[string]string, error) {
	return map[string]string{"team": name}, nil
}

func TestBrokenRulesAreRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		rule config.Rule
		want string
	}{
		"syntax": {config.Rule{Expression: "user =="},
			"webhook.rules[1].expression: ERROR: <input>:1:8: Syntax error"},
		"unknown name": {config.Rule{Expression: "\n  usr == 'x'"},
			"webhook.rules[1].expression: ERROR: <input>:2:3: undeclared reference to 'usr'"},
		"wrong type": {config.Rule{Expression: "user == 1"},
			"webhook.rules[1].expression: ERROR: <input>:1:6: found no matching overload"},
		"no condition": {config.Rule{Expression: "user + 'x'"},
			"webhook.rules[1].expression: is a string: write a condition, which is true or false"},
		"selector": {
			config.Rule{NamespaceSelector: &metav1.LabelSelector{
				MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}},
			`webhook.rules[1].namespaceSelector: "Near" is not a valid label selector operator: write matchLabels`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config.Default().Webhook
			c.Rules = []config.Rule{{Name: "fine"}, tc.rule}
			if _, err := newPolicy(c, "epitaph-system"); err == nil ||
				!strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("the policy was refused with\n%v, want\n%s", err, tc.want)
			}
		})
	}
}

// An expression that cannot be judged is a fault, never a rule that does not match: a bypass
// otherwise (CVE-2025-46342).
func TestRuleThatCannotBeJudgedIsAFault(t *testing.T) {
	t.Parallel()
	tests := map[string]config.Rule{
		"missing field": {Expression: "object.spec.nodeName == 'n1'"},
		"no answer":     {Expression: "object.metadata.labels.app"},
		"too expensive": {
			Expression: "[1,2,3,4,5,6,7,8,9,10].map(a, [1,2,3,4,5,6,7,8,9,10].map(b, [1,2,3,4,5,6,7,8,9,10].map(c, [1,2,3,4,5,6,7,8,9,10].map(d, [1,2,3,4,5,6,7,8,9,10].map(e, [1,2,3,4,5,6,7,8,9,10].map(f, f)))))).size() > 0"},
		"labels not read": {NamespaceSelector: &metav1.LabelSelector{
			MatchLabels: map[string]string{"team": "batch"}}},
	}
	for name, rule := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config.Default().Webhook
			rule.Name, rule.Action = "a", config.Require
			c.Rules = []config.Rule{rule}
			p, err := newPolicy(c, "epitaph-system")
			if err != nil {
				t.Fatal(err)
			}
			unreadable := func(context.Context, string) (map[string]string, error) {
				return nil, errors.New("no cache")
			}
			lookUp := labelsOfTeams
			if name == "labels not read" {
				lookUp = unreadable
			}
			if got, err := p.decide(t.Context(), aDeletion("alice"), lookUp); err == nil {
				t.Errorf("decided %s by rule %s, want an error", got.Action, got.Name)
			}
		})
	}
}
