// Package jsonpatch builds JSON patches (RFC 6902) of an object's metadata.
package jsonpatch

import (
	"encoding/json"
	"strings"
)

// Annotations is the path of an object's annotations.
const Annotations = "/metadata/annotations"

// Annotation is the path of one annotation: its key is escaped for a JSON pointer (RFC 6901).
func Annotation(key string) string {
	return Annotations + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}

// An Operation is one step of a patch.
type Operation struct {
	op, path string
	value    any
}

// Test makes the patch fail if path has another value. Nil stands for a missing one.
func Test(path string, value any) Operation { return Operation{"test", path, value} }

// Add writes value at path.
func Add(path string, value any) Operation { return Operation{"add", path, value} }

// Replace replaces the value at path, which must exist.
func Replace(path string, value any) Operation { return Operation{"replace", path, value} }

// Remove removes the value at path, which must exist.
func Remove(path string) Operation { return Operation{op: "remove", path: path} }

// MarshalJSON encodes the operation. A remove has no value.
func (o Operation) MarshalJSON() ([]byte, error) {
	fields := map[string]any{"op": o.op, "path": o.path}
	if o.op != "remove" {
		fields["value"] = o.value
	}
	return json.Marshal(fields)
}
