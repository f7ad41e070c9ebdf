package netconsole

import (
	"crypto/sha256"
	"crypto/subtle"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/netconsole/wire"
	"github.com/epitaph-k8s/epitaph/reason"
)

// An authenticity is the result of checking a message's token.
type authenticity uint8

const (
	_            authenticity = iota
	tokenUnknown              // the API has no token of the node's boot
	tokenAbsent               // it has one, but the message has none, or is cut off before it
	tokenWrong
	tokenRight
)

// A token is the hash of the secret that a node's kernel adds to everything it sends. The agent
// draws the secret at each boot, makes the kernel send it as userdata, and publishes the hash in
// the API. The zero value means that there is none.
type token struct {
	set  bool
	hash config.TokenHash
}

// tokenOf reads the token that the node has published. An invalid one, or one of another boot than
// the Node's, counts as none: the death is then proven in other ways.
func tokenOf(node *corev1.Node) (t token) {
	t.hash, t.set = config.TokenOfBoot(node.Annotations[reason.TokenKey],
		node.Status.NodeInfo.BootID)
	return t
}

// judge compares the token of a message with t, in constant time.
func (t token) judge(r *wire.Record) authenticity {
	if !t.set {
		return tokenUnknown
	}
	secret, found := r.Value(config.TokenUserdata)
	if !found || r.Total != 0 {
		return tokenAbsent
	}
	hash := sha256.Sum256(secret)
	if subtle.ConstantTimeCompare(hash[:], t.hash[:]) != 1 {
		return tokenWrong
	}
	return tokenRight
}
