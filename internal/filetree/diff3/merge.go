package diff3

import (
	"bytes"
	"slices"
	"unicode/utf8"
)

// MaxText is the longest text in bytes that is merged.
const MaxText = 4 << 20

// Merge returns what base becomes by both edits. ok is false if they touch each other,
// if one of the texts is not plain text in UTF-8, or if they are too long or too
// different to be compared.
func Merge(base, ours, theirs []byte) (merged []byte, ok bool) {
	for _, b := range [][]byte{base, ours, theirs} {
		if len(b) > MaxText || bytes.IndexByte(b, 0) >= 0 || !utf8.Valid(b) {
			return nil, false
		}
	}
	number := make(map[string]int32)
	b, o, t := lines(number, base), lines(number, ours), lines(number, theirs)
	inOurs, ok := match(b.numbers, o.numbers)
	if !ok {
		return nil, false
	}
	inTheirs, ok := match(b.numbers, t.numbers)
	if !ok {
		return nil, false
	}
	m := merger{base: b, ours: o, theirs: t}
	for i := 0; i <= len(b.numbers); i++ {
		x, y := len(o.numbers), len(t.numbers)
		if i < len(b.numbers) {
			if x, y = int(inOurs[i]), int(inTheirs[i]); x < 0 || y < 0 {
				continue
			}
		}
		// Line i is in all three, or this is the end.
		if !m.until(i, x, y) {
			return nil, false
		}
		if i < len(b.numbers) {
			m.out = append(m.out, b.lines[i]...)
			m.base, m.ours, m.theirs = m.base.from(i+1), m.ours.from(x+1), m.theirs.from(y+1)
		}
	}
	return m.out, true
}

// text is a text by lines, each with its end. Equal lines have equal numbers.
type text struct {
	lines   [][]byte
	numbers []int32
	at      int // lines before are merged
}

func lines(number map[string]int32, b []byte) (t text) {
	for line := range bytes.Lines(b) {
		n, ok := number[string(line)]
		if !ok {
			n = int32(len(number))
			number[string(line)] = n
		}
		t.lines = append(t.lines, line)
		t.numbers = append(t.numbers, n)
	}
	return t
}

func (t text) from(i int) text { t.at = i; return t }

type merger struct {
	base, ours, theirs text
	out                []byte
}

// until merges the lines before a line that is in all three texts.
func (m *merger) until(i, x, y int) bool {
	b, o, t := m.base.numbers[m.base.at:i], m.ours.numbers[m.ours.at:x], m.theirs.numbers[m.theirs.at:y]
	var take [][]byte
	switch {
	case slices.Equal(o, b):
		take = m.theirs.lines[m.theirs.at:y]
	case slices.Equal(t, b), slices.Equal(o, t):
		take = m.ours.lines[m.ours.at:x]
	default:
		return false
	}
	for _, line := range take {
		m.out = append(m.out, line...)
	}
	return true
}
