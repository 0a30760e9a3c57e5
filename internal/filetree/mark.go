package filetree

import "context"

// Mark stands for a sequence of operations: equal marks, equal operations.
type Mark [16]byte

// Mark returns that of the operations up to a position, zero for none. A state with the
// same mark at the same position went on from there.
func (v *View) Mark(ctx context.Context, seq uint64) (Mark, error) {
	if seq == 0 {
		return Mark{}, nil
	}
	c, err := v.chainAt(ctx, seq)
	return Mark(c), err
}
