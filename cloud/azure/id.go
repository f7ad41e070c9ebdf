package azure

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/epitaph-k8s/epitaph/cloud/explain"
)

// An id is what a provider ID says of a machine, in small letters: Azure and its parts write them
// in different cases.
type id struct {
	subscription string
	// machine is the resource of the machine, and set that of its scale set, if it is of one, where
	// its number is instance.
	machine, set, instance string
}

// form matches a provider ID (sigs.k8s.io/cloud-provider-azure pkg/provider/azure_standard.go,
// providerIDRE, and azure_vmss.go, vmssVMProviderIDRE), with the names that Azure allows
// (learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules).
var form = regexp.MustCompile(`^azure://(/subscriptions/` +
	`([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})` +
	`/resourcegroups/[\p{L}\p{N}_.()-]{1,90}/providers/microsoft\.compute)` +
	`(/virtualmachinescalesets/[a-z0-9_.-]{1,64})?/virtualmachines/([a-z0-9_.-]{1,64})$`)

func parse(providerID string) (id, error) {
	m := form.FindStringSubmatch(strings.ToLower(providerID))
	if m == nil {
		return id{}, fmt.Errorf("%w: %.128q is not of the form azure:///subscriptions/…",
			explain.ErrNotOurs, providerID)
	}
	i := id{subscription: m[2], machine: m[1] + m[3] + "/virtualmachines/" + m[4]}
	if m[3] != "" {
		i.set, i.instance = m[1]+m[3], m[4]
	}
	return i, nil
}
