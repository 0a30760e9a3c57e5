package spacefs

import (
	"context"

	"github.com/tradle/cloudpal/internal/filetree"
	"github.com/tradle/cloudpal/internal/space"
)

// Type is the type of the collection of files in a space.
const Type = "files"

// Collection returns the files as a kind of content of spaces.
func Collection() space.Collection { return collection{} }

type collection struct{}

func (collection) Type() string { return Type }

// Level implements [space.Collection]: files are there from the first level on.
func (collection) Level() uint64 { return 1 }

// Apply implements [space.Collection].
func (collection) Apply(ctx context.Context, s space.State, op *space.Op) error {
	by := filetree.Author{Log: op.Log, Length: op.Length, Device: op.Device, DeviceName: op.DeviceName, Time: uint64(op.Time)}
	return filetree.Apply(ctx, s, by, op.Body)
}
