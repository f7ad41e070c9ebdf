package e2e

import (
	"context"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
	"github.com/epitaph-k8s/epitaph/webhook"
	"github.com/epitaph-k8s/epitaph/webhook/policyfile"
)

// A changed policy is in force without a restart; a wrong one is not, and the old one stays.
func TestPolicyFollowsItsFile(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: alone}})
	ns, node := c.namespace(t), c.node(t).Name
	c.pod(t, ns, node, "a")
	c.deniedBy(t, ns, "people-say-why")

	rule := func(name string, action config.Action) func(*config.Config) {
		return func(k *config.Config) {
			k.Webhook.Rules = []config.Rule{{Name: name, Action: action}}
		}
	}
	c.reconfigure(t, rule("everybody-says-why", config.Require))
	c.deniedBy(t, ns, "everybody-says-why")
	c.tellsOfPolicy(t, policyfile.EventChanged, "mode Enforce, rules everybody-says-why.")

	c.reconfigure(t, rule("nobody-knows", "Demand"))
	c.tellsOfPolicy(t, policyfile.EventRefused, `webhook.rules[0].action: `)
	c.deniedBy(t, ns, "everybody-says-why")
	if got := c.metric(t, policyfile.MetricRefused); got != 1 {
		t.Errorf("%s is %v, want 1", policyfile.MetricRefused, got)
	}

	c.reconfigure(t, func(k *config.Config) {
		k.Webhook.Rules = []config.Rule{{Name: "broken", Expression: "usr == 'a'",
			Action: config.Require}}
	})
	c.tellsOfPolicy(t, policyfile.EventRefused, "undeclared reference to 'usr'")
	c.deniedBy(t, ns, "everybody-says-why")

	c.reconfigure(t, rule("anybody-may", config.Fill))
	c.tellsOfPolicy(t, policyfile.EventChanged, "rules anybody-may.")
	c.eventually(t, "alice may", func(ctx context.Context) (bool, error) {
		return c.as(t, "alice").CoreV1().Pods(ns).Delete(ctx, "a", dryRun) == nil, nil
	})
	if got := c.metric(t, policyfile.MetricRefused); got != 0 {
		t.Errorf("%s is %v, want 0", policyfile.MetricRefused, got)
	}
}

var dryRun = metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}

func (c *cluster) reconfigure(t *testing.T, change func(*config.Config)) {
	t.Helper()
	if err := c.Epitaph.Reconfigure(change); err != nil {
		t.Fatal(err)
	}
}

// deniedBy wants a person's delete to be denied, soon, by the rule.
func (c *cluster) deniedBy(t *testing.T, ns, rule string) {
	t.Helper()
	c.eventually(t, "the rule "+rule+" denies", func(ctx context.Context) (bool, error) {
		err := c.as(t, "alice").CoreV1().Pods(ns).Delete(ctx, "a", dryRun)
		return err != nil && strings.Contains(err.Error(), `(rule "`+rule+`")`), nil
	})
}

// tellsOfPolicy wants an Event of the webhook's registration, with these words in it.
func (c *cluster) tellsOfPolicy(t *testing.T, why, words string) {
	t.Helper()
	c.eventually(t, "the Event "+why+": "+words, func(ctx context.Context) (bool, error) {
		all, err := c.client.EventsV1().Events(metav1.NamespaceDefault).List(ctx,
			metav1.ListOptions{FieldSelector: "reason=" + why})
		return err == nil && containsEvent(all.Items, webhook.ConfigurationName, words), err
	})
}
