package reason

import "slices"

// An Operator says under which names the controllers of a kind delete its pods. Most need none:
// they are recognised by their right to write the status of what they own. Operators are data:
// [DefaultOperators] come with the program, for controllers without that right, and the
// configuration adds its own.
type Operator struct {
	// Group and Kind are those of the owner; an empty Kind means every kind of the group.
	Group string `json:"group" validate:"required,max=253"`
	Kind  string `json:"kind,omitempty" validate:"max=63"`
	// Users are the names of its controllers.
	Users []Pattern `json:"users" validate:"required,min=1"`
	// Source is the project (and version) that runs under these names.
	Source string `json:"source,omitempty"`
}

var defaultOperators = load[Operator]("operators.yaml")

// DefaultOperators are controllers that their rights do not identify.
func DefaultOperators() []Operator { return slices.Clone(defaultOperators()) }

// Operates reports whether the user is known by name as a controller of the kind.
func (i Inferrer) Operates(user string, kind Kind) bool {
	return slices.ContainsFunc(i.Operators, func(o Operator) bool {
		return o.Group == kind.Group && (o.Kind == "" || o.Kind == kind.Kind) &&
			anyMatches(o.Users, user)
	})
}
