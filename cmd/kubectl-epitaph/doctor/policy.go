package doctor

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
)

// webhooks are the entries of the webhook configuration.
type webhooks []admissionregistrationv1.MutatingWebhook

// The webhooks that the doctor asks something of.
const (
	evictionsWebhook = "evictions.epitaph-k8s.io"
	creationsWebhook = "creations.epitaph-k8s.io"
	ownersWebhook    = "owners.epitaph-k8s.io"
	scalingsWebhook  = "scalings.epitaph-k8s.io"
)

// A Webhook is an entry of the webhook configuration, and what Epitaph sees by it.
type Webhook struct{ Name, Sees string }

// Webhooks returns the entries that an installation has. The chart makes them; a test holds them to
// it.
func Webhooks() []Webhook {
	return []Webhook{
		{"pods.epitaph-k8s.io", "deletions of pods"},
		{"nodes.epitaph-k8s.io", "deletions of nodes"},
		{evictionsWebhook, "evictions"},
		{creationsWebhook, "creations of pods that carry a reason"},
		{"system-pods.epitaph-k8s.io", "deletions of pods in namespaces that are never denied"},
		{"system-evictions.epitaph-k8s.io", "evictions in namespaces that are never denied"},
		{ownersWebhook, "deletions of what pods belong to"},
		{scalingsWebhook, "who has fewer pods run"},
	}
}

func failsClosed(w admissionregistrationv1.MutatingWebhook) bool {
	return ptr.Deref(w.FailurePolicy, admissionregistrationv1.Fail) == admissionregistrationv1.Fail
}

func (all webhooks) named(name string) *admissionregistrationv1.MutatingWebhook {
	n := slices.IndexFunc(all,
		func(w admissionregistrationv1.MutatingWebhook) bool { return w.Name == name })
	if n < 0 {
		return nil
	}
	return &all[n]
}

// closed returns what fails while Epitaph is unavailable.
func (all webhooks) closed() []string {
	var sees []string
	for _, e := range Webhooks() {
		if w := all.named(e.Name); w != nil && failsClosed(*w) {
			sees = append(sees, e.Sees)
		}
	}
	return sees
}

// registered says what happens while Epitaph is away, and what passes it by at all times.
func (all webhooks) registered() []Diagnosis {
	const what = "webhook configuration"
	found := fmt.Sprintf("%d webhooks; ", len(all))
	if closed := all.closed(); closed != nil {
		found += "while Epitaph is away, these fail: " + strings.Join(closed, ", ") +
			" (failurePolicy: Fail)"
	} else {
		found += "while Epitaph is away, everything passes (failurePolicy: Ignore)"
	}
	diagnoses := []Diagnosis{{Well, what, found}}
	for _, e := range Webhooks() {
		if all.named(e.Name) == nil {
			diagnoses = append(diagnoses, Diagnosis{Broken, what,
				"it lacks " + e.Name + ": Epitaph does not see " + e.Sees +
					". Install the chart anew"})
		}
	}
	return diagnoses
}

// trusted judges whom the API server trusts, once for each caBundle.
func (all webhooks) trusted(now time.Time) []Diagnosis {
	var diagnoses []Diagnosis
	for n, w := range all {
		same := func(other admissionregistrationv1.MutatingWebhook) bool {
			return bytes.Equal(other.ClientConfig.CABundle, w.ClientConfig.CABundle)
		}
		if slices.ContainsFunc(all[:n], same) {
			continue
		}
		d := authorities(w.ClientConfig.CABundle, now)
		if n > 0 {
			d.Found = "of " + w.Name + ", which has another: " + d.Found
		}
		diagnoses = append(diagnoses, d)
	}
	return diagnoses
}

var annotationKey = regexp.MustCompile(`annotations\[\?"([^"\\]+)"\]`)

// reasonKey is the annotation that the API server looks for in a pod that is created, as the
// webhook's condition names it.
func (all webhooks) reasonKey() string {
	if w := all.named(creationsWebhook); w != nil {
		for _, c := range w.MatchConditions {
			if found := annotationKey.FindStringSubmatch(c.Expression); found != nil {
				return found[1]
			}
		}
	}
	return reason.DefaultKeys().Pod.Reason
}
