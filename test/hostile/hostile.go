// Package hostile fills records with what somebody writes who wants a terminal or a browser to
// obey, so that a test covers each field, and those that are added later.
package hostile

import (
	"reflect"
	"strings"
	"time"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Text closes what may be open, is run if it is not escaped, clears a screen, sets its title, turns
// the direction of what follows, and begins a line of its own.
const Text = "\"'></desc></title><script>alert(1)</script>\x1b[2J\x1b]0;owned\a\x00\u009b31m" +
	"\u202e\u2066{{.}}\r\nNode fine, all is well"

// At is the time that each time is set to.
var At = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// Fill sets each text below o, which is a pointer, to Text, each number to 1 and each flag to true,
// and gives each list, map and pointer one element.
func Fill(o any) { fill(reflect.ValueOf(o).Elem()) }

func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(Text)
	case reflect.Int32, reflect.Int64, reflect.Int:
		v.SetInt(1)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		if at, ok := v.Addr().Interface().(*metav1.Time); ok {
			*at = metav1.NewTime(At)
			return
		}
		for n := range v.NumField() {
			fill(v.Field(n))
		}
	default:
		panic("hostile: no value of " + v.Type().String())
	}
}

// Obeyed returns a part of a text that a terminal obeys, or that passes for a line of its own, and
// whether there is one.
func Obeyed(text string) (found string, ok bool) {
	n := strings.IndexFunc(text, func(r rune) bool {
		return r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf)
	})
	if n < 0 {
		n = strings.Index(text, "\nNode fine")
	}
	if n < 0 {
		return "", false
	}
	return text[max(0, n-40):min(len(text), n+20)], true
}
