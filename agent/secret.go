package agent

import (
	"context"
	"crypto/rand"
	"encoding/hex"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/agent/configfs"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

// A secret is what the kernel of this boot sends with all its lines, and only the API knows the
// hash of. It lives in the kernel: an agent that starts again finds it there, and a boot ends it.
type secret struct {
	value string
	// shared is set once the API knows it: a kernel that sent one that the API does not know would
	// be taken for a forger.
	shared bool
}

// secretBytes is how long a secret is.
const secretBytes = 16

// recall finds the secret that the kernel has, or draws one.
func (s *secret) recall(kernel *configfs.Kernel) error {
	if s.value != "" {
		return nil
	}
	value, err := kernel.Userdata(config.TokenUserdata)
	if err != nil {
		return err
	}
	s.value, s.shared = value, value != ""
	if s.value == "" {
		drawn := make([]byte, secretBytes)
		_, _ = rand.Read(drawn) // It never fails (crypto/rand, since Go 1.24).
		s.value = hex.EncodeToString(drawn)
	}
	return nil
}

// userdata is what the kernel adds to its lines, where it can.
func (a *Agent) userdata() []configfs.Datum {
	all := []configfs.Datum{{Key: config.NameUserdata, Value: a.Node},
		{Key: config.BootUserdata, Value: a.BootID}}
	if a.secret.shared {
		all = append(all, configfs.Datum{Key: config.TokenUserdata, Value: a.secret.value})
	}
	return all
}

// share tells the API the hash of the secret and the boot that it is of, and then has the kernel
// send it. To a kernel that cannot send any, the API must know of none: it would miss it.
func (a *Agent) share(ctx context.Context, kernel *configfs.Kernel,
	speaks []configfs.Target) error {
	if a.Cluster == nil || len(speaks) == 0 {
		return nil
	}
	if !kernel.TakesUserdata(speaks[0]) {
		return a.announce(ctx, "")
	}
	if err := a.announce(ctx, config.TokenAnnotation(a.BootID, a.secret.value)); err != nil {
		return err
	}
	if a.secret.shared {
		return nil
	}
	a.secret.shared = true
	for _, t := range speaks {
		if _, err := kernel.Set(t, a.userdata()); err != nil {
			return err
		}
	}
	return nil
}

func (a *Agent) announce(ctx context.Context, token string) error {
	return a.write(ctx, reason.TokenKey, token, func(ctx context.Context, node *corev1.Node) error {
		return a.Cluster.Terminator.SetTokenHash(ctx, node, token)
	})
}
