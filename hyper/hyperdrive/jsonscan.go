package hyperdrive

import (
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of metadata.
const maxDepth = 500

var (
	errJSON      = errors.New("not valid JSON")
	errJSONDepth = errors.New("JSON is nested too deeply")
)

// scanner reads JSON text front to back. The first error sticks.
type scanner struct {
	b   []byte
	i   int
	err error
}

func (s *scanner) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// peek skips space and returns the next byte, 0 at the end or after an error.
func (s *scanner) peek() byte {
	s.space()
	if s.err != nil || s.i >= len(s.b) {
		return 0
	}
	return s.b[s.i]
}

// take consumes c or fails.
func (s *scanner) take(c byte) {
	if s.peek() != c || c == 0 {
		s.fail(errJSON)
		return
	}
	s.i++
}

// literal consumes the word or fails.
func (s *scanner) literal(word string) {
	s.space()
	if s.err != nil || len(s.b)-s.i < len(word) || string(s.b[s.i:s.i+len(word)]) != word {
		s.fail(errJSON)
		return
	}
	s.i += len(word)
}

// members calls fn for each member of an object with the name; fn must consume
// the value.
func (s *scanner) members(fn func(name []byte)) {
	s.take('{')
	if s.peek() == '}' {
		s.i++
		return
	}
	for s.err == nil {
		name, escaped := s.quoted()
		if escaped {
			name = unescape(name)
		}
		s.take(':')
		if s.err != nil {
			return
		}
		fn(name)
		if s.peek() != ',' {
			s.take('}')
			return
		}
		s.i++
		s.space()
	}
}

// elements calls fn for each element of an array; fn must consume it.
func (s *scanner) elements(fn func()) {
	s.take('[')
	if s.peek() == ']' {
		s.i++
		return
	}
	for s.err == nil {
		fn()
		if s.peek() != ',' {
			s.take(']')
			return
		}
		s.i++
	}
}

// raw consumes one value and returns its text.
func (s *scanner) raw() []byte {
	s.space()
	start := s.i
	s.skip(0)
	if s.err != nil {
		return nil
	}
	return s.b[start:s.i:s.i]
}

func (s *scanner) skip(depth int) {
	if depth > maxDepth {
		s.fail(errJSONDepth)
		return
	}
	switch c := s.peek(); c {
	case '{':
		s.members(func([]byte) { s.skip(depth + 1) })
	case '[':
		s.elements(func() { s.skip(depth + 1) })
	case '"':
		s.quoted()
	case 't':
		s.literal("true")
	case 'f':
		s.literal("false")
	case 'n':
		s.literal("null")
	default:
		s.number()
	}
}

// number consumes a number and returns its text.
func (s *scanner) number() []byte {
	s.space()
	start := s.i
	digits := func() {
		from := s.i
		for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
			s.i++
		}
		if s.i == from {
			s.fail(errJSON)
		}
	}
	at := func(set string) bool {
		for j := range len(set) {
			if s.i < len(s.b) && s.b[s.i] == set[j] {
				s.i++
				return true
			}
		}
		return false
	}
	at("-")
	if !at("0") {
		digits()
	}
	if at(".") {
		digits()
	}
	if at("eE") {
		at("+-")
		digits()
	}
	if s.err != nil {
		return nil
	}
	return s.b[start:s.i]
}

// quoted consumes a string and returns the text between its quotes, and whether
// it contains escapes.
func (s *scanner) quoted() (inner []byte, escaped bool) {
	s.take('"')
	start := s.i
	for s.err == nil && s.i < len(s.b) {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return s.b[start : s.i-1], escaped
		case c == '\\':
			escaped = true
			if s.i++; s.i >= len(s.b) || !s.escape() {
				s.fail(errJSON)
			}
		case c < 0x20:
			s.fail(errJSON)
		default:
			s.i++
		}
	}
	s.fail(errJSON)
	return nil, false
}

// escape consumes what follows a backslash.
func (s *scanner) escape() bool {
	switch s.b[s.i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.i++
		return true
	case 'u':
		_, ok := hex4(s.b[s.i+1:])
		s.i += 5
		return ok
	}
	return false
}

// text consumes a string and returns what it says. Lone surrogates become the
// replacement character.
func (s *scanner) text() string {
	inner, escaped := s.quoted()
	if s.err != nil || !escaped {
		return string(inner)
	}
	return string(unescape(inner))
}

func unescape(inner []byte) []byte {
	out := make([]byte, 0, len(inner))
	for len(inner) > 0 {
		var r rune
		r, inner = nextChar(inner)
		out = utf8.AppendRune(out, r)
	}
	return out
}

// nextChar decodes one character of the inside of a valid string. A lone
// surrogate is returned as such.
func nextChar(b []byte) (rune, []byte) {
	if b[0] != '\\' {
		r, n := utf8.DecodeRune(b)
		return r, b[n:]
	}
	switch c := b[1]; c {
	case 'b':
		return '\b', b[2:]
	case 'f':
		return '\f', b[2:]
	case 'n':
		return '\n', b[2:]
	case 'r':
		return '\r', b[2:]
	case 't':
		return '\t', b[2:]
	case 'u':
		r, _ := hex4(b[2:])
		b = b[6:]
		if utf16.IsSurrogate(r) && len(b) >= 6 && b[0] == '\\' && b[1] == 'u' {
			low, _ := hex4(b[2:])
			if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
				return both, b[6:]
			}
		}
		return r, b
	default:
		return rune(c), b[2:]
	}
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
