package webhook

import (
	"testing"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

func aDeletion(user string, groups ...string) deletion {
	return deletion{
		subject: reason.Pod, namespace: "batch", user: user, groups: groups, actor: reason.ActorOf(user, groups),
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
		"a person must say why":             {byDefault, aDeletion("alice"), "people-say-why", config.Require},
		"a person must say why of a node":   {byDefault, ofNode(aDeletion("alice")), "people-say-why", config.Require},
		"k3s's administrator is a person":   {byDefault, aDeletion("system:admin", "system:masters"), "people-say-why", config.Require},
		"nobody is a person":                {byDefault, aDeletion("system:anonymous"), "people-say-why", config.Require},
		"a person in kube-system is filled": {byDefault, in("kube-system", aDeletion("alice")), "people-say-why", config.Fill},
		"a person in our own namespace":     {byDefault, in("epitaph-system", aDeletion("alice")), "people-say-why", config.Fill},
		"a program is filled":               {byDefault, aDeletion("system:serviceaccount:ci:runner"), "programs-are-filled-in", config.Fill},
		"the scheduler is filled":           {byDefault, aDeletion("system:kube-scheduler"), "programs-are-filled-in", config.Fill},
		"nothing matches":                   {nil, aDeletion("alice"), "no-rule", config.Fill},
		"the first match wins": {
			[]config.Rule{{Name: "a", Users: []string{"al*"}, Action: config.Ignore}, {Name: "b", Action: config.Require}},
			aDeletion("alice"), "a", config.Ignore,
		},
		"a name that only starts alike": {
			[]config.Rule{{Name: "a", Users: []string{"alice"}, Action: config.Ignore}, {Name: "b", Action: config.Require}},
			aDeletion("alice2"), "b", config.Require,
		},
		"all of a rule must match": {
			[]config.Rule{{Name: "a", Users: []string{"alice"}, Groups: []string{"admins"}, Action: config.Ignore}},
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
			[]config.Rule{{Name: "a", Actors: []config.RuleActor{config.ServiceAccount}, Action: config.Require}},
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
			got := newPolicy(c, "epitaph-system").decide(tc.deletion)
			if got.Name != tc.wantRule || got.Action != tc.wantAction {
				t.Errorf("decided %s by rule %s, want %s by %s", got.Action, got.Name, tc.wantAction, tc.wantRule)
			}
		})
	}
}
