package netconsole

import (
	"crypto/sha256"
	"crypto/subtle"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/netconsole/wire"
	"github.com/epitaph-k8s/epitaph/reason"
)

// An authenticity is what a message's token tells.
type authenticity uint8

const (
	_            authenticity = iota
	tokenUnknown              // the node has told the API of no token of this boot
	tokenAbsent               // it has, but the message has none, or is cut off before it
	tokenWrong
	tokenRight
)

// A token is the hash of the secret that the kernel of a node adds to everything it sends: the
// agent draws one at each boot, has the kernel send it as userdata, and tells the API the hash. Its
// zero value means that there is none.
type token struct {
	set  bool
	hash config.TokenHash
}

// tokenOf reads what the node has told. What is not a token, or is of another boot than the one
// that the Node is in, is none: what then lacks is proven otherwise.
func tokenOf(node *corev1.Node) (t token) {
	t.hash, t.set = config.TokenOfBoot(node.Annotations[reason.TokenKey],
		node.Status.NodeInfo.BootID)
	return t
}

// judge compares the token of a message with t, in a time that does not tell how much of it is
// right.
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
