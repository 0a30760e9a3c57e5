// Package liar writes logs of a base as somebody would who wants to do harm. It is for
// tests of package autobase and of what is built on it.
package liar

import (
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
)

// Script makes decisions out of bytes; when there are no more it decides 0.
type Script []byte

// More tells whether there are bytes left.
func (s *Script) More() bool { return len(*s) > 0 }

// Next decides for one of n.
func (s *Script) Next(n int) int {
	if len(*s) == 0 {
		return 0
	}
	v := int((*s)[0])
	*s = (*s)[1:]
	return v % n
}

func (s *Script) take(n int) []byte {
	n = min(n, len(*s))
	v := (*s)[:n]
	*s = (*s)[n:]
	return v
}

// Log is a log whose owner keeps to no rule.
type Log struct {
	Script
	Own   hypercrypto.Key
	Keys  []hypercrypto.Key  // logs that may be named
	Value func(n int) []byte // for n up to 255
}

// Block makes the block after which the log has a length: anything, or one that is
// well-formed and says what it likes.
func (l *Log) Block(length uint64) []byte {
	switch l.Next(12) {
	case 0:
		return l.take(l.Next(64))
	case 1:
		b := l.wellFormed(length).AppendTo(nil)
		if len(b) > 0 {
			b[l.Next(len(b))] ^= byte(1 + l.Next(255))
		}
		return b
	}
	return l.wellFormed(length).AppendTo(nil)
}

// Node makes a block that keeps to the rules of the log. Which nodes it says to come
// after is up to the caller: they may be old ones.
func Node(value []byte, optimistic bool, after ...oplog.Ref) []byte {
	return (&oplog.Block{Heads: after, Batch: 1, Value: value, Optimistic: optimistic}).AppendTo(nil)
}

// near returns a number around another one, seldom far away.
func (l *Log) near(n uint64) uint64 {
	switch d := l.Next(8); d {
	case 0:
		return n + 1
	case 1:
		return 1 << l.Next(64)
	case 2:
		return 0
	default:
		return n - min(n, uint64(d-3))
	}
}

func (l *Log) wellFormed(length uint64) *oplog.Block {
	b := &oplog.Block{Batch: 1}
	if l.Next(4) == 0 {
		b.Batch = l.near(3)
	}
	for range l.Next(4) {
		k := l.Own
		if n := l.Next(len(l.Keys) + 2); n < len(l.Keys) {
			k = l.Keys[n]
		} else if n == len(l.Keys) {
			k = hypercrypto.Key{byte(l.Next(4)), 1}
		}
		b.Heads = append(b.Heads, oplog.Ref{Key: k, Length: l.near(min(length, 3))})
	}
	if l.Next(4) > 0 {
		b.Value = l.Value(l.Next(1 << 8))
	}
	b.Optimistic = l.Next(6) == 0
	if l.Next(3) == 0 {
		b.Digest = &oplog.Digest{Pointer: l.near(length)}
		if b.Digest.Pointer == 0 {
			b.Digest.Key = l.Own
		}
	}
	if l.Next(3) == 0 {
		mark := func() oplog.Signed {
			s := oplog.Signed{Pointer: l.near(length)}
			if s.Pointer == 0 {
				s.Length = l.near(20)
				copy(s.Signature[:], l.take(64))
			}
			return s
		}
		system, encryption := mark(), mark()
		b.Checkpoint = &oplog.Checkpoint{System: &system, Encryption: &encryption}
		for range l.Next(4) {
			b.Checkpoint.User = append(b.Checkpoint.User, mark())
		}
	}
	return b
}
