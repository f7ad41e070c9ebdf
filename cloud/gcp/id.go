package gcp

import (
	"fmt"
	"regexp"

	"github.com/epitaph-k8s/epitaph/cloud/explain"
)

// An id is what a provider ID says of an instance.
type id struct{ project, zone, name string }

// form matches a provider ID (k8s.io/cloud-provider-gcp providers/gce/gce_util.go,
// providerIDRE), with the names that Compute Engine allows; a project's may begin with a domain:
// example.com:project.
var form = regexp.MustCompile(`^gce://((?:[a-z0-9.-]{1,63}:)?[a-z0-9-]{1,63})/` +
	`([a-z]{1,30}(?:-[a-z0-9]{1,30}){1,3})/([a-z][a-z0-9-]{0,62})$`)

func parse(providerID string) (id, error) {
	m := form.FindStringSubmatch(providerID)
	if m == nil {
		return id{}, fmt.Errorf("%w: %.128q is not of the form gce://PROJECT/ZONE/NAME",
			explain.ErrNotOurs, providerID)
	}
	return id{project: m[1], zone: m[2], name: m[3]}, nil
}
