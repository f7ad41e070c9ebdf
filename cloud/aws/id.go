package aws

import (
	"fmt"
	"regexp"

	"github.com/epitaph-k8s/epitaph/cloud/explain"
)

// An id is what a provider ID says of an instance.
type id struct{ region, instance string }

// form matches a provider ID (parseInstanceID of k8s.io/cloud-provider-aws pkg/providers/v1
// instances.go): the zone is us-east-1a, or that of a Local Zone or a Wavelength Zone, such as
// us-west-2-lax-1a or us-east-1-wl1-bos-wlz-1. Fargate has an ID of its own in place of the
// instance's.
var form = regexp.MustCompile(`^aws:///?([a-z]{2,5}(?:-[a-z]{2,16}){1,2}-[0-9]{1,2})` +
	`(?:[a-z]|-[a-z0-9-]{3,32})/(i-[0-9a-f]{8,17})$`)

func parse(providerID string) (id, error) {
	m := form.FindStringSubmatch(providerID)
	if m == nil {
		return id{}, fmt.Errorf("%w: %.128q is not of the form aws:///ZONE/i-…",
			explain.ErrNotOurs, providerID)
	}
	return id{region: m[1], instance: m[2]}, nil
}
