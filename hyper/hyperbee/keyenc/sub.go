package keyenc

import "bytes"

// Bytes that end a prefix, and that come directly after it in key order.
const (
	separator      = 0
	afterSeparator = 1
)

// Sub puts keys under a prefix. The zero value is the root: it leaves keys as
// they are.
type Sub struct{ prefix []byte }

// NewSub returns the Sub with a name. Names should not contain zero bytes: "a\x00b"
// is the same prefix as the sub "b" of "a".
func NewSub(name string) Sub { return Sub{}.Sub(name) }

// Sub returns the Sub with a name inside s. The empty name is a name, too.
func (s Sub) Sub(name string) Sub {
	p := make([]byte, 0, len(s.prefix)+len(name)+1)
	p = append(append(p, s.prefix...), name...)
	return Sub{append(p, separator)}
}

// Prefix returns what is in front of every key of s. It must not be modified.
func (s Sub) Prefix() []byte { return s.prefix }

// Append appends the encoded form of key to b.
func (s Sub) Append(b, key []byte) []byte { return append(append(b, s.prefix...), key...) }

// Key returns the encoded form of key, in new memory.
func (s Sub) Key(key []byte) []byte {
	return s.Append(make([]byte, 0, len(s.prefix)+len(key)), key)
}

// Cut returns the key that was encoded as k, a slice of k. ok is false if k is
// not a key of s.
func (s Sub) Cut(k []byte) (key []byte, ok bool) { return bytes.CutPrefix(k, s.prefix) }

// Range encodes bounds. A missing bound becomes the edge of s. If both GT and GTE
// are given GT counts, and LT before LTE.
func (s Sub) Range(r Range) Range {
	var out Range
	switch {
	case r.GT != nil:
		out.GT = s.Key(r.GT)
	case r.GTE != nil:
		out.GTE = s.Key(r.GTE)
	case s.prefix != nil:
		out.GTE = s.prefix
	}
	switch {
	case r.LT != nil:
		out.LT = s.Key(r.LT)
	case r.LTE != nil:
		out.LTE = s.Key(r.LTE)
	case s.prefix != nil:
		out.LT = bytes.Clone(s.prefix)
		out.LT[len(out.LT)-1] = afterSeparator
	}
	return out
}
