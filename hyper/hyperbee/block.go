package hyperbee

import "fmt"

// A tree block:
//
//	Block { 1: Index, 2: key, 3: value }     value absent = null
//	Index { 1: Level }*
//	Level { 1: packed key seqs, 2: packed (seq, offset) of the children }
//
// Level j is the tree node with the address (seq of the block, j).

// Limits for nodes read from foreign blocks. A writer keeps at most 8 keys per
// node and a tree of 2^53 keys is less than 24 levels high.
const (
	maxNodeKeys = 1 << 16
	maxDepth    = 32
)

// block is a tree block with its node index still encoded. All slices refer to
// the memory it was parsed from and are never changed.
type block struct {
	key      []byte
	value    []byte // nil when the value is null or was not kept
	index    []byte
	hasValue bool
}

func isHyperbee2(b []byte) bool { return len(b) > 0 && b[0] <= 1 }

// parseBlock takes a stored block apart. The index is checked when its levels
// are read.
func parseBlock(b []byte) (block, error) {
	if isHyperbee2(b) {
		return block{}, ErrUnsupported
	}
	var v block
	f := fields{rest: b}
	for f.next() {
		if f.data == nil {
			continue
		}
		switch f.field {
		case 1:
			v.index = f.data
		case 2:
			v.key = f.data
		case 3:
			v.value, v.hasValue = f.data, true
		}
	}
	if f.err != nil {
		return block{}, f.err
	}
	if v.index == nil || v.key == nil {
		return block{}, fmt.Errorf("%w: key or index missing", ErrBadBlock)
	}
	return v, nil
}

// level returns the encoded level j of the index and whether it exists.
func (v *block) level(j uint64) ([]byte, bool, error) {
	f := fields{rest: v.index}
	for f.next() {
		if f.field != 1 || f.data == nil {
			continue
		}
		if j == 0 {
			return f.data, true, nil
		}
		j--
	}
	return nil, false, f.err
}

// links reports whether any level of the block has the entry seq as a key. A
// block without a value that does not link itself is a deletion.
func (v *block) links(seq uint64) (bool, error) {
	f := fields{rest: v.index}
	for f.next() {
		if f.field != 1 || f.data == nil {
			continue
		}
		l := fields{rest: f.data}
		for l.next() {
			if l.field != 1 {
				continue
			}
			for b := l.data; len(b) > 0; {
				s, n := varint(b)
				if n == 0 {
					return false, fmt.Errorf("%w: bad key list", ErrBadBlock)
				}
				if s == seq {
					return true, nil
				}
				b = b[n:]
			}
		}
		if l.err != nil {
			return false, l.err
		}
	}
	return false, f.err
}

// isDeletion reports whether the block, stored at seq, is a deletion.
func (v *block) isDeletion(seq uint64) (bool, error) {
	if v.hasValue {
		return false, nil
	}
	linked, err := v.links(seq)
	return !linked, err
}

// decodeLevel appends the keys and children of an encoded level.
func decodeLevel(b []byte, keys []key, kids []kid) ([]key, []kid, error) {
	f := fields{rest: b}
	for f.next() {
		if f.data == nil || f.field > 2 {
			continue
		}
		for p := f.data; len(p) > 0; {
			seq, n := varint(p)
			if n == 0 {
				return nil, nil, fmt.Errorf("%w: bad level", ErrBadBlock)
			}
			p = p[n:]
			if f.field == 1 {
				keys = append(keys, key{seq: seq})
			} else {
				offset, n := varint(p)
				if n == 0 {
					return nil, nil, fmt.Errorf("%w: bad level", ErrBadBlock)
				}
				p = p[n:]
				kids = append(kids, kid{seq: seq, offset: offset})
			}
			if len(keys) > maxNodeKeys || len(kids) > maxNodeKeys+1 {
				return nil, nil, fmt.Errorf("%w: node too large", ErrBadBlock)
			}
		}
	}
	return keys, kids, f.err
}
