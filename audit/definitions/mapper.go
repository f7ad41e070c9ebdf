package definitions

import (
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// A definition is what the API server should serve for a kind.
type definition struct {
	plural string
	scope  meta.RESTScope
}

// name is the name of the CustomResourceDefinition.
func (d definition) name() string { return d.plural + "." + v1alpha1.GroupVersion.Group }

// definitions by kind.
var definitions = map[string]definition{
	"NodeObituary":  {"nodeobituaries", meta.RESTScopeRoot},
	"PodObituary":   {"podobituaries", meta.RESTScopeNamespace},
	"OwnerObituary": {"ownerobituaries", meta.RESTScopeRoot},
}

// Mapper maps our own kinds without asking the API server, which may not have them yet, and leaves
// all others to the given mapper.
func Mapper(others meta.RESTMapper) meta.RESTMapper {
	own := meta.NewDefaultRESTMapper([]schema.GroupVersion{v1alpha1.GroupVersion})
	for kind, d := range definitions {
		plural := v1alpha1.GroupVersion.WithResource(d.plural)
		own.AddSpecific(v1alpha1.GroupVersion.WithKind(kind), plural, plural, d.scope)
	}
	return mapper{others, own}
}

type mapper struct {
	meta.RESTMapper
	own meta.RESTMapper
}

func (m mapper) RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	return m.of(kind).RESTMapping(kind, versions...)
}

func (m mapper) RESTMappings(kind schema.GroupKind,
	versions ...string) ([]*meta.RESTMapping, error) {
	return m.of(kind).RESTMappings(kind, versions...)
}

func (m mapper) of(kind schema.GroupKind) meta.RESTMapper {
	if _, ours := definitions[kind.Kind]; ours && kind.Group == v1alpha1.GroupVersion.Group {
		return m.own
	}
	return m.RESTMapper
}
