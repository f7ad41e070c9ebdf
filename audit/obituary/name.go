package obituary

import (
	"fmt"
	"hash/fnv"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// MaxNameBytes bounds the name of any object.
	MaxNameBytes = 253
	// uidBytes of the UID make the obituaries of namesakes differ: 48 random bits.
	uidBytes = 12
)

// Name is the name of the obituary of an object: the object's own, and as much of its UID as tells
// it from its namesakes. That it follows from the object is what makes an obituary be written once,
// whoever writes it and however often it is tried. It is a valid name, whatever the UID is: that of
// a boot is the word of its node.
func Name(object string, uid types.UID) string {
	id := strings.ToLower(strings.ReplaceAll(string(uid), "-", ""))
	if strings.Trim(id, alphanumeric) != "" || id == "" {
		id = digest(string(uid))
	}
	id = id[:min(len(id), uidBytes)]
	object = object[:min(len(object), MaxNameBytes-1-uidBytes)]
	return strings.TrimRight(object, ".-") + "-" + id
}

const alphanumeric = "abcdefghijklmnopqrstuvwxyz0123456789"

func digest(s string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s)) // a hash takes everything
	return fmt.Sprintf("%016x", h.Sum64())
}
