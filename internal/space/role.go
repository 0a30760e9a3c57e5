package space

import (
	"fmt"

	"github.com/tradle/cloudpal/internal/fault"
)

// Role is what a person may do in a space. A greater role may do all that a smaller
// one may. The numbers are part of the format.
type Role uint8

// The roles.
const (
	// Mirror keeps the space without being able to read it. A mirror is a node and no
	// person; it writes nothing.
	Mirror Role = iota + 1
	// Viewer reads.
	Viewer
	// Editor writes collections.
	Editor
	// Owner changes who is in the space, and its settings.
	Owner
)

var roleNames = [...]string{Mirror: "mirror", Viewer: "viewer", Editor: "editor", Owner: "owner"}

// String returns the role as a word.
func (r Role) String() string {
	if r.valid() {
		return roleNames[r]
	}
	return fmt.Sprintf("role %d", r)
}

func (r Role) valid() bool { return r >= Mirror && r <= Owner }

// writes tells whether devices of the role are writers of the base.
func (r Role) writes() bool { return r >= Editor }

// ParseRole reverses [Role.String]. The error is of kind Usage.
func ParseRole(word string) (Role, error) {
	for r := Mirror; r <= Owner; r++ {
		if roleNames[r] == word {
			return r, nil
		}
	}
	return 0, fault.New(fault.Usage, "%q is no role", word).Hint("roles are owner, editor, viewer and mirror")
}
