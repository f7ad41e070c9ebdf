package config

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// TokenKey is the annotation of a Node that tells which secret its kernel adds to all it sends: the boot ID, a colon, and the
// SHA-256 of the secret in hex. TokenUserdata is the key under which the kernel sends the secret, in the userdata of its
// netconsole target. The agent draws a secret at each boot, and annotates the Node before it has the kernel send: then whoever
// cannot read the node's configfs, or the wire, cannot speak for it. The boot ID is there because the annotation outlives the
// boot: what was recorded in an earlier one must not pass for signed after the next.
const (
	TokenKey      = "epitaph-k8s.io/netconsole-token"
	TokenUserdata = "epitaph-token"
	// NameUserdata is the key of the userdata that names the node.
	NameUserdata = "epitaph-node"
)

// A TokenHash is the SHA-256 of a secret.
type TokenHash [sha256.Size]byte

// AnnounceToken is the value of the annotation TokenKey for the secret of a boot.
func AnnounceToken(bootID, secret string) string {
	hash := sha256.Sum256([]byte(secret))
	return bootID + ":" + hex.EncodeToString(hash[:])
}

// TokenOfBoot reads the value of the annotation TokenKey. There is no token where the value is not one, or is of another boot.
func TokenOfBoot(value, bootID string) (hash TokenHash, found bool) {
	boot, digits, ok := strings.Cut(value, ":")
	if !ok || boot == "" || boot != bootID || len(digits) != hex.EncodedLen(len(hash)) {
		return TokenHash{}, false
	}
	if _, err := hex.Decode(hash[:], []byte(digits)); err != nil {
		return TokenHash{}, false
	}
	return hash, true
}
