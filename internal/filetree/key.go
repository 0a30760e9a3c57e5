package filetree

import (
	"encoding/binary"

	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// The first byte of a key says what it holds. See docs/formats/files.md.
const (
	keyEntry    = 'e' // path -> record
	keyConflict = 'c' // path of a conflict copy -> path that it is a copy of
	keyHistory  = 'h' // version -> former
	keyTrash    = 't' // time of the deletion, version
	keyForward  = 'f' // version -> path that it was moved to, while it is in the tree
	keyDirMove  = 'm' // path of a directory -> paths that it was moved to
	keyContent  = 'r' // hash -> contentRecord
	keyGarbage  = 'g' // position of the operation that released it, hash
	keyOp       = 'o' // position -> opRecord
	keyEffects  = 'x' // position, chunk -> effects
	keySnapshot = 's' // name -> snapshotRecord
	keyDevice   = 'd' // number -> key, name
	keyNumber   = 'D' // key of a device -> number
	keyTotals   = 'n' // -> totals
)

// pathKey appends a path so that keys sort as the tree is walked.
func pathKey(b []byte, kind byte, path string) []byte {
	b = append(b, kind)
	for i := range len(path) {
		c := path[i]
		if c == '/' {
			c = 0
		}
		b = append(b, c)
	}
	return b
}

// keyPath returns the path in a key.
func keyPath(key []byte) string {
	b := make([]byte, len(key)-1)
	for i, c := range key[1:] {
		if c == 0 {
			c = '/'
		}
		b[i] = c
	}
	return string(b)
}

// below is the range of all paths below a directory.
func below(kind byte, dir string) hyperbee.Range {
	if dir == "" {
		return all(kind)
	}
	k := pathKey(make([]byte, 0, len(dir)+2), kind, dir)
	return hyperbee.Range{GT: append(k, 0), LT: append(k[:len(k):len(k)], 1)}
}

// all is the range of all keys of a kind.
func all(kind byte) hyperbee.Range {
	return hyperbee.Range{GT: []byte{kind}, LT: []byte{kind + 1}}
}

func versionKey(kind byte, v Version) []byte { return append([]byte{kind}, v[:]...) }

func hashKey(h hypercrypto.Hash) []byte { return append([]byte{keyContent}, h[:]...) }

// numberKey is the key of a position or another number.
func numberKey(kind byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, n)
}

func trashKey(at uint64, v Version) []byte { return append(numberKey(keyTrash, at), v[:]...) }

func garbageKey(seq uint64, h hypercrypto.Hash) []byte {
	return append(numberKey(keyGarbage, seq), h[:]...)
}

func effectsKey(seq uint64, chunk int) []byte {
	return binary.BigEndian.AppendUint32(numberKey(keyEffects, seq), uint32(chunk))
}

func nameKey(kind byte, name string) []byte { return append([]byte{kind}, name...) }
