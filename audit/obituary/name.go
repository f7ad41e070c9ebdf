package obituary

import (
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// MaxNameBytes bounds the name of any object.
	MaxNameBytes = 253
	// uidBytes of the UID make the obituaries of namesakes differ: 48 random bits.
	uidBytes = 12
)

// Name is the name of the obituary of an object: the object's own, and as much of its UID as tells it from its namesakes. That
// it follows from the object is what makes an obituary be written once, whoever writes it and however often it is tried.
func Name(object string, uid types.UID) string {
	id := strings.ReplaceAll(string(uid), "-", "")
	id = id[:min(len(id), uidBytes)]
	object = object[:min(len(object), MaxNameBytes-1-uidBytes)]
	return strings.TrimRight(object, ".-") + "-" + id
}
