package config

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

const (
	// TokenUserdata is the key under which the kernel sends the secret of its boot, in the userdata
	// of its netconsole target ([reason.TokenKey]).
	TokenUserdata = "epitaph-token"
	// NameUserdata is the key of the userdata that names the node.
	NameUserdata = "epitaph-node"
)

// A TokenHash is the SHA-256 of a secret.
type TokenHash [sha256.Size]byte

// TokenAnnotation is the value of the annotation [reason.TokenKey] for the secret of a boot.
func TokenAnnotation(bootID, secret string) string {
	hash := sha256.Sum256([]byte(secret))
	return bootID + ":" + hex.EncodeToString(hash[:])
}

// TokenOfBoot reads the value of the annotation [reason.TokenKey]. There is no token if the value
// is invalid or of another boot.
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
