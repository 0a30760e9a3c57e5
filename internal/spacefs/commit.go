package spacefs

import (
	"context"
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/internal/filetree"
)

// opsAtOnce is how many operations are written with one append.
const opsAtOnce = 8

// Commit writes changes, as many operations as they need, and returns the version of
// each: of a Put it is what the tree has then, at the path or as a conflict copy. It
// returns when all is durable and applied here.
//
// The changes of one operation have their effect together. More than
// [filetree.MaxChanges] need several; if one fails, those before it stay.
func (f *Files) Commit(ctx context.Context, changes []filetree.Change) ([]filetree.Version, error) {
	return f.commit(ctx, filetree.Op{}, changes)
}

// commit is Commit of operations that have in common what like has.
func (f *Files) commit(ctx context.Context, like filetree.Op, changes []filetree.Change) ([]filetree.Version, error) {
	if len(changes) == 0 {
		return nil, nil
	}
	bodies, err := filetree.Encode(like, changes)
	if err != nil {
		return nil, err
	}
	versions := make([]filetree.Version, 0, len(changes))
	for group := range slices.Chunk(bodies, opsAtOnce) {
		receipts, err := f.space.Append(ctx, Type, group...)
		if err != nil {
			return versions, fmt.Errorf("write changes: %w", err)
		}
		for i, r := range receipts {
			op, err := filetree.DecodeOp(group[i])
			if err != nil {
				return versions, err
			}
			by := filetree.Author{Log: r.Ref().Key, Length: r.Ref().Length}
			for n := range op.Changes {
				versions = append(versions, by.Version(n))
			}
		}
	}
	return versions, nil
}
