package main

import (
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/config"
)

var words = regexp.MustCompile(`\w+`)

const module = "github.com/epitaph-k8s/epitaph/"

const configHead = `# Every field of the configuration

The file that ` + "`epitaph manager --config`, `epitaph agent` and `epitaph archive`" + ` read. With the
chart, these are the values below ` + "`config`" + ` ([values.md](values.md)), without the addresses and
folders, which the chart knows. No field has to be set. A field that is unknown or out of bounds ends
the program, with all mistakes at once, and what to write instead.
[config/testdata/full.yaml](../config/testdata/full.yaml) has every field in an example. Durations
are written like ` + "`300ms`, `40s`, `5m` or `1h30m`" + `.

The policy (` + "`webhook.mode`, `webhook.rules`, `webhook.neverDeniedNamespaces`" + `) changes while the
manager runs; all else is read at the start: [policy.md](policy.md#changing-it).

<!-- Written by make generate, from the comments of package config. -->

| field | type and bounds | default | holds |
|---|---|---|---|
`

// renderConfig writes the reference of the configuration file.
func renderConfig(root string) (string, error) {
	w := &walk{root: root, comments: map[string]map[string]string{},
		lists: map[reflect.Type]string{}}
	w.WriteString(configHead)
	if err := w.section("", reflect.TypeFor[config.Config](),
		reflect.ValueOf(config.Default())); err != nil {
		return "", err
	}
	return w.done()
}

// A walk goes through the types of the configuration.
type walk struct {
	page
	root string
	// comments are those of the types and fields of each package, under "Type" and "Type.Field".
	comments map[string]map[string]string
	// lists has where the fields of a type stand: in lists, they are not repeated.
	lists map[reflect.Type]string
}

// section writes the fields of a struct. The defaults are not valid below lists.
func (w *walk) section(prefix string, t reflect.Type, defaults reflect.Value) error {
	comments, err := w.commentsOf(t)
	if err != nil {
		return err
	}
	for n := range t.NumField() {
		f := t.Field(n)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		says := comments[t.Name()+"."+f.Name]
		var value reflect.Value
		if defaults.IsValid() {
			value = defaults.Field(n)
		}
		below := f.Type
		for below.Kind() == reflect.Slice || below.Kind() == reflect.Pointer {
			below = below.Elem()
		}
		if !ours(below) || isText(below) {
			w.row(prefix+name, bounds(f), defaultOf(value), says)
		} else if err := w.below(prefix+name, says, f.Type, below, value); err != nil {
			return err
		}
	}
	return nil
}

// below writes a field that has fields itself, by itself or in a list.
func (w *walk) below(path, says string, t, below reflect.Type, defaults reflect.Value) error {
	comments, err := w.commentsOf(below)
	if err != nil {
		return err
	}
	says = cmp.Or(says, comments[below.Name()])
	of := "section"
	if t.Kind() == reflect.Slice {
		of, defaults = "list", reflect.Value{}
		if before, there := w.lists[below]; there {
			w.row(path, of, "", says+" Its fields are those of `"+before+"`.")
			return nil
		}
	}
	w.row(path, of, "", says)
	if of == "list" {
		path += "[]"
	}
	w.lists[below] = cmp.Or(w.lists[below], path)
	return w.section(path+".", below, defaults)
}

func ours(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && strings.HasPrefix(t.PkgPath(), module)
}

func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// commentsOf reads the comments in the package of a type.
func (w *walk) commentsOf(t reflect.Type) (map[string]string, error) {
	dir := strings.TrimPrefix(t.PkgPath(), module)
	if all, read := w.comments[dir]; read {
		return all, nil
	}
	files, err := filepath.Glob(filepath.Join(w.root, dir, "*.go"))
	if err != nil {
		return nil, fmt.Errorf("list the package %s: %w", dir, err)
	}
	all := map[string]string{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("read the package %s: %w", dir, err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			declared, ok := n.(*ast.GenDecl)
			if ok && declared.Tok == token.TYPE {
				for _, s := range declared.Specs {
					note(all, s.(*ast.TypeSpec), declared.Doc)
				}
			}
			return true
		})
	}
	w.comments[dir] = all
	return all, nil
}

func note(all map[string]string, s *ast.TypeSpec, doc *ast.CommentGroup) {
	name := s.Name.Name
	all[name] = doc.Text()
	fields, ok := s.Type.(*ast.StructType)
	if !ok {
		return
	}
	shared := "" // a comment that is about the field after its own, too
	for _, f := range fields.Fields.List {
		says := cmp.Or(f.Doc.Text(), f.Comment.Text())
		for _, n := range f.Names {
			if says == "" && slices.Contains(words.FindAllString(shared, -1), n.Name) {
				says = shared
			}
			all[name+"."+n.Name] = says
		}
		shared = cmp.Or(f.Doc.Text(), shared)
	}
}

// bounds says what a field may hold.
func bounds(f reflect.StructField) string {
	of := kind(f.Type)
	own, _, _ := strings.Cut(f.Tag.Get("validate"), ",dive")
	for rule := range strings.SplitSeq(own, ",") {
		name, limit, _ := strings.Cut(rule, "=")
		switch name {
		case "min", "mindur":
			of += ", at least " + limit
		case "max", "maxdur":
			of += ", at most " + limit
		case "eq":
			of = limit
		case "oneof":
			of = strings.ReplaceAll(limit, " ", ", ")
		case "required":
			of += ", not empty"
		}
	}
	return of
}

func kind(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[metav1.Duration]():
		return "duration"
	case t == reflect.TypeFor[metav1.Time]():
		return "time"
	case isText(t):
		return "text"
	case t.Kind() == reflect.Pointer:
		return kind(t.Elem())
	case t.Kind() == reflect.Slice:
		return "list of " + kind(t.Elem())
	case t.Kind() == reflect.Struct:
		return path.Base(t.Name())
	default:
		return map[reflect.Kind]string{reflect.String: "text", reflect.Bool: "true or false",
			reflect.Float32: "number", reflect.Int: "number"}[t.Kind()]
	}
}

// longestDefault is what fits a cell; whoever wants more of it reads full.yaml.
const longestDefault = 60

func defaultOf(v reflect.Value) string {
	if !v.IsValid() || (v.Kind() == reflect.Slice || v.Kind() == reflect.Pointer) && v.IsNil() {
		return ""
	}
	text, err := json.Marshal(v.Interface())
	switch {
	case err != nil || len(text) > longestDefault:
		return "see full.yaml"
	case isDuration(v):
		return "`" + v.Interface().(metav1.Duration).Duration.String() + "`"
	default:
		return "`" + string(text) + "`"
	}
}

// isDuration tells whether v is written as a duration is.
func isDuration(v reflect.Value) bool { return v.Type() == reflect.TypeFor[metav1.Duration]() }
