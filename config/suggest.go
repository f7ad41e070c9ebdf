package config

import (
	"reflect"
	"strings"
)

// fieldPaths lists the paths of all fields of a configuration, without indices.
func fieldPaths() []string {
	var all []string
	var walk func(t reflect.Type, prefix string)
	walk = func(t reflect.Type, prefix string) {
		for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			return
		}
		for n := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(n).Tag.Get("json"), ",")
			if name == "" {
				continue
			}
			all = append(all, prefix+name)
			walk(t.Field(n).Type, prefix+name+".")
		}
	}
	walk(reflect.TypeFor[Config](), "")
	return all
}

// nearest returns the known path that a mistyped one most likely means, or "".
func nearest(path string, known []string) string {
	best, distance := "", len(path)/3+1
	for _, k := range known {
		if d := editDistance(strings.ToLower(withoutIndices(path)), strings.ToLower(k)); d < distance {
			best, distance = k, d
		}
	}
	return best
}

// withoutIndices takes [0] and the like out of a path.
func withoutIndices(path string) string {
	var b strings.Builder
	depth := 0
	for _, r := range path {
		switch {
		case r == '[':
			depth++
		case r == ']':
			depth--
		case depth == 0:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// editDistance is the Levenshtein distance of two short strings.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
