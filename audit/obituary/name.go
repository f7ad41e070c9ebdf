package obituary

import (
	"fmt"
	"hash/fnv"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// MaxNameBytes bounds the name of any object.
	MaxNameBytes = 253
	// uidBytes of the UID distinguish the obituaries of namesakes: 48 random bits.
	uidBytes = 12
)

// Name returns the name of an object's obituary: the object's own, and enough of its UID to
// distinguish it from its namesakes. Since it is derived from the object, an obituary is written
// once, whoever writes it and however often. It is a valid name, whatever the UID is: that of a
// boot comes from its node.
func Name(object string, uid types.UID) string {
	id := strings.ToLower(strings.ReplaceAll(string(uid), "-", ""))
	if strings.Trim(id, alphanumeric) != "" || id == "" {
		id = digest(string(uid))
	}
	id = id[:min(len(id), uidBytes)]
	object = object[:min(len(object), MaxNameBytes-1-uidBytes)]
	return strings.TrimRight(object, ".-") + "-" + id
}

// OwnerName returns the name of the record of an owner's deletion. It is derived from the owner's
// kind, namespace and name, so that one GET finds it from a pod, and owners of one name have no
// more than one.
func OwnerName(kind reason.Kind, namespace, name string) string {
	return Name(name, types.UID(kind.String()+"/"+namespace+"/"+name))
}

const alphanumeric = "abcdefghijklmnopqrstuvwxyz0123456789"

func digest(s string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s)) // a hash accepts all input
	return fmt.Sprintf("%016x", h.Sum64())
}
