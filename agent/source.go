package agent

import (
	"context"
	"fmt"
	"net/netip"

	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/agent/listeners"
)

// ByHand are listeners from the configuration.
type ByHand []netip.AddrPort

// Listeners implements Source.
func (b ByHand) Listeners(context.Context) ([]listeners.Listener, error) {
	return listeners.ByHand(b), nil
}

// A Service is a headless one, whose endpoints are the listeners.
type Service struct {
	Reader          client.Reader
	Namespace, Name string
}

// Listeners implements Source.
func (s Service) Listeners(ctx context.Context) ([]listeners.Listener, error) {
	var list discoveryv1.EndpointSliceList
	err := s.Reader.List(ctx, &list, client.InNamespace(s.Namespace),
		client.MatchingLabels{discoveryv1.LabelServiceName: s.Name})
	if err != nil {
		return nil, fmt.Errorf("list the endpoints of service %s/%s: %w", s.Namespace, s.Name, err)
	}
	return listeners.InSlices(list.Items), nil
}
