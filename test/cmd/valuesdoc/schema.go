package main

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/epitaph-k8s/epitaph/reason"
)

// A schema is what of JSON Schema (draft 7, which Helm reads) is needed here.
type schema struct {
	Schema      string   `json:"$schema,omitempty"`
	Description string   `json:"description,omitempty"`
	Type        any      `json:"type,omitempty"`
	Enum        []string `json:"enum,omitempty"`
	Pattern     string   `json:"pattern,omitempty"`
	MinLength   *int     `json:"minLength,omitempty"`
	MaxLength   *int     `json:"maxLength,omitempty"`
	Minimum     *int     `json:"minimum,omitempty"`
	Maximum     *int     `json:"maximum,omitempty"`
	MinItems    *int     `json:"minItems,omitempty"`
	MaxItems    *int     `json:"maxItems,omitempty"`
	Items       *schema  `json:"items,omitempty"`

	Additional *bool              `json:"additionalProperties,omitempty"`
	Required   []string           `json:"required,omitempty"`
	Properties map[string]*schema `json:"properties,omitempty"`
}

// narrower are values whose types allow more than the chart can pass on.
var narrower = map[string]string{
	// The registration has whole seconds (timeoutSeconds).
	"config.webhook.timeout": "^([1-9]|[12][0-9]|30)s$",
}

const (
	durationPattern = "^([0-9.]+(ms|s|m|h))+$"
	timePattern     = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})$"
	labelPattern    = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
)

// renderSchema writes the schema of the values that values.yaml has, as their Go types bound them.
// It fails with the name of each value that has no type.
func renderSchema(content []byte) (string, error) {
	root, err := mapping(content)
	if err != nil {
		return "", err
	}
	w := &typed{}
	s := w.section("", root, reflect.TypeFor[values]())
	s.Schema = "http://json-schema.org/draft-07/schema#"
	// Helm adds it for charts that have this one as a part.
	s.Properties["global"] = &schema{Type: "object",
		Description: "What a chart that has this one as a part gives all its parts: nothing here reads it."}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(s); err != nil {
		return "", fmt.Errorf("write the schema: %w", err)
	}
	return out.String(), errors.Join(w.untyped...)
}

type typed struct{ untyped []error }

// section has a property for each key that values.yaml has.
func (w *typed) section(path string, of *yaml.Node, t reflect.Type) *schema {
	closed := false
	s := &schema{Type: "object", Additional: &closed, Properties: map[string]*schema{}}
	for n := 0; n+1 < len(of.Content); n += 2 {
		key, value := of.Content[n], of.Content[n+1]
		name := strings.TrimPrefix(path+"."+key.Value, ".")
		field, ok := fieldOf(t, key.Value)
		if !ok {
			w.untyped = append(w.untyped,
				fmt.Errorf(
					"%s has no type: add it to the chart's values, or to the configuration",
					name))
			continue
		}
		var below *schema
		if field.Type.Kind() == reflect.Struct && value.Kind == yaml.MappingNode &&
			!isText(field.Type) {
			below = w.section(name, value, field.Type)
		} else {
			below = schemaOf(field.Type, rulesOf(field))
		}
		if pattern := narrower[name]; pattern != "" {
			below.Pattern = pattern
		}
		below.Description = comment(key, value)
		s.Properties[key.Value] = below
	}
	return s
}

func fieldOf(t reflect.Type, name string) (reflect.StructField, bool) {
	for _, f := range reflect.VisibleFields(t) {
		if jsonName(f) == name {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// rulesOf are those of the validator's tag, and the pattern of our own.
func rulesOf(f reflect.StructField) []string {
	var rules []string
	if tag := f.Tag.Get("validate"); tag != "" {
		rules = strings.Split(tag, ",")
	}
	if pattern := f.Tag.Get("pattern"); pattern != "" {
		rules = append(rules, "pattern="+pattern)
	}
	return rules
}

func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// schemaOf is that of a type, under the rules of a field. The rules behind "dive" are those of the
// items.
func schemaOf(t reflect.Type, rules []string) *schema {
	var itemRules []string
	if n := slices.Index(rules, "dive"); n >= 0 {
		rules, itemRules = rules[:n], rules[n+1:]
	}
	s := &schema{}
	switch {
	case t == reflect.TypeFor[metav1.Duration]():
		return &schema{Type: "string", Pattern: durationPattern}
	case t == reflect.TypeFor[metav1.Time]():
		return &schema{Type: "string", Pattern: timePattern}
	case t == reflect.TypeFor[intstr.IntOrString]():
		return &schema{Type: []string{"integer", "string"}}
	case isText(t):
		return &schema{Type: "string"}
	case t.Kind() == reflect.Pointer:
		return schemaOf(t.Elem(), rules)
	case t.Kind() == reflect.Struct:
		return structOf(t)
	case t.Kind() == reflect.Slice:
		s = &schema{Type: "array", Items: schemaOf(t.Elem(), itemRules)}
	case t.Kind() == reflect.Map:
		return &schema{Type: "object"}
	default:
		s.Type = map[reflect.Kind]string{
			reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer",
			reflect.Int64: "integer", reflect.Float32: "number",
		}[t.Kind()]
	}
	for _, rule := range rules {
		s.bound(rule, slices.Contains(rules, "omitempty"))
	}
	return s
}

func structOf(t reflect.Type) *schema {
	closed := false
	s := &schema{Type: "object", Additional: &closed, Properties: map[string]*schema{}}
	for _, f := range reflect.VisibleFields(t) {
		if name := jsonName(f); name != "" && name != "-" {
			rules := rulesOf(f)
			s.Properties[name] = schemaOf(f.Type, rules)
			own, _, _ := strings.Cut(strings.Join(rules, ","), "dive")
			if slices.Contains(strings.Split(own, ","), "required") {
				s.Required = append(s.Required, name)
			}
		}
	}
	return s
}

// bound adds what one rule of the validator says. What JSON Schema cannot say, or not in a way that
// helps whoever reads the refusal, is left to the program.
func (s *schema) bound(rule string, mayBeEmpty bool) {
	name, parameter, _ := strings.Cut(rule, "=")
	switch name {
	case "min", "max":
		limit, err := strconv.Atoi(parameter)
		if err != nil {
			// a programmer's error, found by any test of this package
			panic(fmt.Sprintf("read the rule %s: %v", rule, err))
		}
		*s.limit(name) = &limit
	case "oneof":
		s.Enum = strings.Fields(parameter)
	case "anycode":
		for _, c := range reason.Codes() {
			s.Enum = append(s.Enum, string(c))
		}
	case "dnslabel":
		s.Pattern = labelPattern
	case "pattern":
		s.Pattern = parameter
	case "required":
		if one := 1; s.Type == "string" {
			s.MinLength = &one
		}
	}
	if mayBeEmpty && s.Enum != nil && !slices.Contains(s.Enum, "") {
		s.Enum = append(s.Enum, "")
	}
}

// limit is what bounds a value of this type.
func (s *schema) limit(rule string) **int {
	bounds := map[any][2]**int{"string": {&s.MinLength, &s.MaxLength},
		"array": {&s.MinItems, &s.MaxItems}}
	b, ok := bounds[s.Type]
	if !ok {
		b = [2]**int{&s.Minimum, &s.Maximum}
	}
	if rule == "max" {
		return b[1]
	}
	return b[0]
}
