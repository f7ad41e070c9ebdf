package config

import (
	"encoding"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A shape compares what a file holds with the types of a configuration. The decoder would stop at
// the first value of a wrong type and not say in which element of a list it is; this finds all of
// them, and takes them out, so that the rest can be decoded and checked as well.
type shape struct {
	known    []string
	mistakes []error
	// paths of the mistakes, so that each field is reported once.
	paths map[string]bool
}

func (s *shape) wrong(path, format string, args ...any) bool {
	s.mistakes = append(s.mistakes, fmt.Errorf("%s: "+format, append([]any{path}, args...)...))
	s.paths[path] = true
	return false
}

// told reports whether a mistake was found in the field, or within it: it was then removed, so its
// section is incomplete.
func (s *shape) told(path string) bool {
	for at := range s.paths {
		if at == path || strings.HasPrefix(at, path+".") {
			return true
		}
	}
	return false
}

// object checks the fields of a struct. A list in the file replaces the default one: the decoder
// would mix their elements.
func (s *shape) object(file map[string]any, v reflect.Value, path string) {
	fields := fieldsOf(v.Type())
	for _, key := range slices.Sorted(maps.Keys(file)) {
		at := strings.TrimPrefix(path+"."+key, ".")
		n, ok := fields[key]
		if !ok {
			s.unknown(at)
			delete(file, key)
			continue
		}
		field := v.Field(n)
		if field.Kind() == reflect.Slice && file[key] != nil {
			field.SetZero()
		}
		if !s.value(file[key], field, at) {
			delete(file, key)
		}
	}
}

func (s *shape) unknown(path string) {
	if near := nearest(path, s.known); near != "" {
		s.wrong(path, "no such field: did you mean %s?", near)
		return
	}
	s.wrong(path, "no such field: remove it")
}

// value reports whether a value of the file fits the field.
func (s *shape) value(file any, v reflect.Value, path string) bool {
	if file == nil {
		return true
	}
	if fits, special := s.text(file, v, path); special {
		return fits
	}
	switch v.Kind() {
	case reflect.Pointer:
		return s.value(file, reflect.New(v.Type().Elem()).Elem(), path)
	case reflect.Struct:
		section, ok := file.(map[string]any)
		if !ok {
			return s.wrong(path, "is %s: write a section, with its fields below it", found(file))
		}
		s.object(section, v, path)
		return true
	case reflect.Slice:
		return s.list(file, v.Type().Elem(), path)
	case reflect.Map:
		return s.mapping(file, v.Type().Elem(), path)
	default:
		return s.scalar(file, v, path)
	}
}

// text checks types that are written as text and decoded by a method of their own.
func (s *shape) text(file any, v reflect.Value, path string) (fits, special bool) {
	text, isText := file.(string)
	target := reflect.New(v.Type()).Interface()
	if _, ok := target.(*metav1.Duration); ok {
		if _, err := time.ParseDuration(text); !isText || err != nil {
			return s.wrong(path, "is %s: write a duration like 40s or 5m", found(file)), true
		}
		return true, true
	}
	if _, ok := target.(*metav1.Time); ok {
		if _, err := time.Parse(time.RFC3339, text); !isText || err != nil {
			return s.wrong(path, "is %s: write a time like 2026-01-31T00:00:00Z",
				found(file)), true
		}
		return true, true
	}
	if _, ok := target.(*netip.AddrPort); ok {
		if _, err := netip.ParseAddrPort(text); err != nil {
			return s.wrong(path,
				"is %s: write an IP address and a port, for example 10.0.0.9:6666 or [fd00::9]:6666", found(file)), true
		}
		return true, true
	}
	if u, ok := target.(encoding.TextUnmarshaler); ok {
		if !isText {
			return s.wrong(path, "is %s: write a string", found(file)), true
		}
		if err := u.UnmarshalText([]byte(text)); err != nil {
			return s.wrong(path, "%w", err), true
		}
		return true, true
	}
	return false, false
}

func (s *shape) list(file any, element reflect.Type, path string) bool {
	list, ok := file.([]any)
	if !ok {
		return s.wrong(path, "is %s: write a list, each element on a line that starts with -",
			found(file))
	}
	for n := range list {
		if !s.value(list[n], reflect.New(element).Elem(), fmt.Sprintf("%s[%d]", path, n)) {
			list[n] = nil
		}
	}
	return true
}

func (s *shape) mapping(file any, element reflect.Type, path string) bool {
	mapping, ok := file.(map[string]any)
	if !ok {
		return s.wrong(path, "is %s: write keys with their values below it", found(file))
	}
	for _, key := range slices.Sorted(maps.Keys(mapping)) {
		if !s.value(mapping[key], reflect.New(element).Elem(), path+"."+key) {
			delete(mapping, key)
		}
	}
	return true
}

func (s *shape) scalar(file any, v reflect.Value, path string) bool {
	switch v.Kind() {
	case reflect.String:
		if _, ok := file.(string); ok {
			return true
		}
		return s.wrong(path, "is %s: write a string, in quotes if it looks like something else",
			found(file))
	case reflect.Bool:
		if _, ok := file.(bool); ok {
			return true
		}
		return s.wrong(path, "is %s: write true or false", found(file))
	case reflect.Float32, reflect.Float64:
		switch file.(type) {
		case int64, float64:
			return true
		}
		return s.wrong(path, "is %s: write a number", found(file))
	default: // An integer: nothing else is in a configuration, and a test walks them all.
		if n, ok := file.(int64); ok && !v.OverflowInt(n) {
			return true
		}
		return s.wrong(path, "is %s: write a whole number", found(file))
	}
}

// found says what the file has there.
func found(file any) string {
	switch x := file.(type) {
	case map[string]any:
		return "a section"
	case []any:
		return "a list"
	case string:
		return fmt.Sprintf("the string %.60q", x)
	default:
		return fmt.Sprint(x)
	}
}

// fieldsOf returns the fields of a struct by the names that they have in the file.
func fieldsOf(t reflect.Type) map[string]int {
	fields := map[string]int{}
	for n := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(n).Tag.Get("json"), ","); name != "" && name != "-" {
			fields[name] = n
		}
	}
	return fields
}
