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

// maxSuggestedBytes bounds a name that is compared with the known ones: nobody mistypes a longer
// one.
const maxSuggestedBytes = 64

// nearest returns the known path that a mistyped one most likely means: a field of the same section
// with nearly that name, else one of that very name in another section, else "".
func nearest(path string, known []string) string {
	section, name := split(strings.ToLower(withoutIndices(path)))
	if len(name) > maxSuggestedBytes {
		return ""
	}
	best, distance := "", len(name)/3+1
	elsewhere := ""
	for _, k := range known {
		inSection, called := split(strings.ToLower(k))
		if inSection == section {
			if d := editDistance(name, called); d < distance {
				best, distance = k, d
			}
		} else if called == name && elsewhere == "" {
			elsewhere = k
		}
	}
	if best == "" {
		return elsewhere
	}
	return best
}

// split splits a path before its last name.
func split(path string) (section, name string) {
	n := strings.LastIndexByte(path, '.')
	return path[:max(n, 0)], path[n+1:]
}

// withoutIndices removes [0] and the like from a path.
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

// editDistance is the number of insertions, deletions, substitutions and swaps of neighbouring
// letters between two short strings (optimal string alignment). A swap, the most frequent slip,
// counts once.
func editDistance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			d := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				d = 1 + min(d, rows[i][j-1], rows[i-1][j])
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, 1+rows[i-2][j-2])
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
