package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

// SignWith does what the agent of a node does: it tells the API of the secret that the node's
// kernel sends in this boot.
func (s *Sandbox) SignWith(ctx context.Context, n Node, secret string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"annotations": map[string]string{reason.TokenKey: config.TokenAnnotation(n.BootID, secret)},
	}})
	if err != nil {
		return fmt.Errorf("encode the token of node %s: %w", n.Name, err)
	}
	if _, err := s.client.CoreV1().Nodes().Patch(ctx, n.Name, types.MergePatchType, patch,
		metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("announce the token of node %s: %w", n.Name, err)
	}
	return nil
}

// Signed is a datagram of the extended format with the secret as a kernel adds it, in its userdata.
// It is for whole messages: a fragment would no longer be as long as it says.
func Signed(datagram []byte, secret string) []byte {
	return fmt.Appendf(bytes.Clone(bytes.TrimSuffix(datagram, []byte("\n"))),
		"\n %s=%s\n", config.TokenUserdata, secret)
}
