package story

import (
	"strings"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// cloudSaid tells what the API of the cloud answered about a node's instance.
func cloudSaid(o *v1alpha1.NodeObituary) Line {
	if o == nil || o.Status.Cloud == nil {
		return nil
	}
	c := o.Status.Cloud
	line := say("The API of " + clean(c.Cloud) + ", asked at ").at(c.Asked)
	if calls := listed(c.Sources); calls != "" {
		line = line.say(" (" + calls + ")")
	}
	if what := clean(c.What); what == "" {
		line = line.say(", does not know why")
	} else {
		line = line.say(", says: " + what)
		if who := clean(c.Who); who != "" {
			line = line.say(" by " + who)
		}
		if !c.When.IsZero() {
			line = line.say(" at ").at(c.When)
		}
	}
	if detail := clean(c.Detail); detail != "" {
		line = line.say(" (" + detail + ")")
	}
	if missing := listed(c.Unanswered); missing != "" {
		line = line.say("; without an answer: " + missing)
	}
	return line.say(".")
}

func listed(all []string) string {
	words := make([]string, 0, len(all))
	for _, one := range all {
		words = append(words, clean(one))
	}
	return strings.Join(words, ", ")
}
