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

// A secret is sent by the kernel of this boot with all its lines; the API knows only its hash. It
// lives in the kernel: an agent that starts again finds it there, and it ends with the boot.
type secret struct {
	value string
	// shared is set once the API has its hash: a kernel that sent an unknown secret would be taken
	// for a forger.
	shared bool
}

// secretBytes is how long a secret is.
const secretBytes = 16

// recall reads the secret that the kernel has, or draws one.
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

// userdata returns what the kernel adds to its lines, if it can.
func (a *Agent) userdata() []configfs.Datum {
	all := []configfs.Datum{{Key: config.NameUserdata, Value: a.Node},
		{Key: config.BootUserdata, Value: a.BootID}}
	if a.secret.shared {
		all = append(all, configfs.Datum{Key: config.TokenUserdata, Value: a.secret.value})
	}
	return all
}

// share publishes the hash of the secret and the secret's boot in the API, and then makes the
// kernel send the secret. For a kernel that cannot send one, the API must have no hash: the
// listener would miss the secret.
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
