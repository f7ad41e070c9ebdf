package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
)

// refusal is how the API server says which right is lacking (K8s v1.37 apiserver
// pkg/endpoints/handlers/responsewriters/errors.go, forbiddenMessage).
var refusal = regexp.MustCompile(`User "(.*)" cannot (\S+) resource "([^"]+)" in API group ` +
	`"([^"]*)"(?: in the namespace "([^"]+)"| at the cluster scope)`)

// plain are names that a shell takes as they are.
var plain = regexp.MustCompile(`^[A-Za-z0-9._:@/-]+$`)

// A right is what the API server refused.
type right struct {
	user, verb, resource, group, namespace string
}

// lacking returns the right that the API server missed.
func lacking(err error) (right, bool) {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || !apierrors.IsForbidden(err) {
		return right{}, false
	}
	m := refusal.FindStringSubmatch(status.Status().Message)
	if m == nil {
		return right{}, false
	}
	return right{m[1], m[2], m[3], m[4], m[5]}, true
}

// full is the resource as kubectl takes it: "podobituaries.epitaph-k8s.io", "pods/eviction".
func (r right) full() string {
	resource, sub, nested := strings.Cut(r.resource, "/")
	if r.group != "" {
		resource += "." + r.group
	}
	if nested {
		resource += "/" + sub
	}
	return resource
}

// String says what is lacking.
func (r right) String() string {
	where := "in the whole cluster"
	if r.namespace != "" {
		where = "in namespace " + r.namespace
	}
	return fmt.Sprintf("the right to %s %s %s", r.verb, r.full(), where)
}

// remedy says what is lacking, and by which commands an administrator grants it.
func (r right) remedy() string {
	r = right{terminal.Clean(r.user), terminal.Clean(r.verb), terminal.Clean(r.resource),
		terminal.Clean(r.group), terminal.Clean(r.namespace)}
	text := "\nYou lack " + r.String() + "."
	for _, word := range []string{r.verb, r.full(), r.namespace} {
		if word != "" && !plain.MatchString(word) {
			return text
		}
	}
	kind, in, what := "clusterrole", "", strings.NewReplacer("/", "-", ".", "-").Replace(r.full())
	if r.namespace != "" {
		kind, in = "role", " -n "+r.namespace
	}
	name := "epitaph-" + r.verb + "-" + what
	text += " An administrator grants it by"
	if r.namespace != "" && r.group == v1alpha1.GroupVersion.Group {
		return text + "\n  kubectl create rolebinding epitaph-view --clusterrole=view " + r.subject() +
			in + "\nwhere the ClusterRole view covers the records of a namespace, or by" +
			r.commands(kind, name, in)
	}
	return text + r.commands(kind, name, in)
}

func (r right) commands(kind, name, in string) string {
	create := "\n  kubectl create " + kind
	return create + " " + name + " --verb=" + r.verb + " --resource=" + r.full() + in +
		create + "binding " + name + " --" + kind + "=" + name + " " + r.subject() + in
}

// subject is who gets the right, as kubectl takes it.
func (r right) subject() string {
	account, is := strings.CutPrefix(r.user, "system:serviceaccount:")
	switch {
	case !plain.MatchString(r.user):
		return "--user=…"
	case is:
		return "--serviceaccount=" + account
	default:
		return "--user=" + r.user
	}
}
