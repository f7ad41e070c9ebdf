package webhook

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

func TestReplay(t *testing.T) {
	t.Parallel()
	people := config.Rule{Name: "people", Actors: []config.RuleActor{config.Person}, Action: config.Require}
	all := config.Rule{Name: "all", Action: config.Require}
	fill := config.Rule{Name: "fill", Action: config.Fill}
	with := func(r config.Rule, change func(*config.Rule)) config.Rule {
		r.Name = "asks"
		change(&r)
		return r
	}
	ofGroup := with(all, func(r *config.Rule) { r.Groups = []string{"sre"} })
	prod := with(all, func(r *config.Rule) {
		r.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"env": "prod"}}
	})
	evicted := with(all, func(r *config.Rule) { r.Operations = []config.Operation{config.Evict} })
	expression := with(all, func(r *config.Rule) { r.Expression = "object.metadata.name == 'a'" })
	alice := Past{Subject: reason.Pod, Namespace: "batch", User: "alice"}
	change := func(f func(*Past)) Past { p := alice; f(&p); return p }
	tests := map[string]struct {
		rules       []config.Rule
		past        Past
		want        Retrospect
		rule, lacks string
	}{
		"a person without a reason": {[]config.Rule{people, fill}, alice, WouldBeDenied, "people", ""},
		"a person with one": {[]config.Rule{people}, change(func(p *Past) { p.Explained = true }),
			WouldPass, "", ""},
		"a program": {[]config.Rule{people, fill}, change(func(p *Past) {
			p.User = "system:serviceaccount:ci:deployer"
		}), WouldPass, "fill", ""},
		"the system, by a rule for all": {[]config.Rule{all}, change(func(p *Past) {
			p.User = "system:serviceaccount:kube-system:job-controller"
		}), WouldPass, "all", ""},
		"no rule": {nil, alice, WouldPass, "no-rule", ""},
		"a namespace that is never denied": {[]config.Rule{people}, change(func(p *Past) { p.Namespace = "kube-system" }),
			WouldPass, "people", ""},
		"our own": {[]config.Rule{all}, change(func(p *Past) { p.User = reason.ByGC }), WouldPass, "", ""},
		"a node":  {[]config.Rule{people}, Past{Subject: reason.Node, User: "alice"}, WouldBeDenied, "people", ""},
		"nobody saw who": {[]config.Rule{people, fill}, change(func(p *Past) { p.User = "" }),
			CannotBeTold, "people", UnknownUser},
		"nobody saw who, by a rule for all": {[]config.Rule{all}, change(func(p *Past) { p.User = "" }),
			CannotBeTold, "all", UnknownUser},
		"nobody saw who, and it does not matter": {[]config.Rule{with(fill, func(r *config.Rule) {
			r.Users = []string{"bob"}
		}), fill}, change(func(p *Past) { p.User = "" }), WouldPass, "fill", ""},
		"groups":                    {[]config.Rule{ofGroup, fill}, alice, CannotBeTold, "asks", UnknownGroups},
		"groups, and then the same": {[]config.Rule{ofGroup, people, fill}, alice, WouldBeDenied, "people", ""},
		"groups of another user": {[]config.Rule{with(ofGroup, func(r *config.Rule) { r.Users = []string{"bob"} }), fill},
			alice, WouldPass, "fill", ""},
		"labels of the namespace": {[]config.Rule{prod, fill}, alice, CannotBeTold, "asks", UnknownNamespace},
		"labels of the namespace, of a node": {[]config.Rule{prod, fill}, Past{Subject: reason.Node, User: "alice"},
			WouldPass, "fill", ""},
		"evictions": {[]config.Rule{evicted, fill}, alice, CannotBeTold, "asks", UnknownOperation},
		"evictions of nodes": {[]config.Rule{evicted, fill}, Past{Subject: reason.Node, User: "alice"},
			WouldPass, "fill", ""},
		"an expression": {[]config.Rule{expression, fill}, alice, CannotBeTold, "asks", UnknownExpression},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config.Default()
			c.Webhook.Rules = tc.rules
			r, err := NewReplay(c)
			if err != nil {
				t.Fatal(err)
			}
			got, rule, lacks := r.Decide(tc.past)
			if got != tc.want || rule != tc.rule || lacks != tc.lacks {
				t.Errorf("%s by %q for want of %q, want %s by %q for want of %q", got, rule, lacks,
					tc.want, tc.rule, tc.lacks)
			}
		})
	}
}

// A policy that cannot be compiled replays nothing.
func TestReplayOfABrokenPolicy(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.Webhook.Rules = []config.Rule{{Name: "a", Expression: "user ==", Action: config.Require}}
	if _, err := NewReplay(c); err == nil {
		t.Error("it was compiled")
	}
}
