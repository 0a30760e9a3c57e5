package hyperdrive

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// appendStringified appends JSON text in the form that JSON.stringify gives to
// what JSON.parse reads from it: no spaces, integer-like names first and in
// order, numbers as JavaScript prints them, only the escapes that are needed.
func appendStringified(dst, text []byte) ([]byte, error) {
	s := scanner{b: text}
	dst = stringify(dst, &s, 0)
	if s.peek() != 0 || s.i < len(text) {
		s.fail(errJSON)
	}
	return dst, s.err
}

func stringify(dst []byte, s *scanner, depth int) []byte {
	if depth > maxDepth {
		s.fail(errJSONDepth)
		return dst
	}
	switch s.peek() {
	case '{':
		return stringifyObject(dst, s, depth)
	case '[':
		dst = append(dst, '[')
		first := true
		s.elements(func() {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = stringify(dst, s, depth+1)
		})
		return append(dst, ']')
	case '"':
		inner, _ := s.quoted()
		return appendEscaped(dst, inner)
	case 't':
		s.literal("true")
		return append(dst, "true"...)
	case 'f':
		s.literal("false")
		return append(dst, "false"...)
	case 'n':
		s.literal("null")
		return append(dst, "null"...)
	default:
		return appendNumber(dst, s)
	}
}

// member is a member of an object in its final form.
type member struct {
	name, value []byte
	index       int64 // of an integer-like name, else -1
}

func stringifyObject(dst []byte, s *scanner, depth int) []byte {
	var list []member
	position := make(map[string]int)
	s.take('{')
	for s.peek() != '}' && s.err == nil {
		inner, _ := s.quoted()
		if s.err != nil {
			return dst
		}
		name := appendEscaped(nil, inner)
		s.take(':')
		value := stringify(nil, s, depth+1)
		if i, again := position[string(name)]; again {
			list[i].value = value // the last one counts, where the first one stood
		} else {
			position[string(name)] = len(list)
			list = append(list, member{name, value, arrayIndex(name)})
		}
		if s.peek() != ',' {
			break
		}
		s.i++
		if s.peek() == '}' {
			s.fail(errJSON)
		}
	}
	s.take('}')
	slices.SortStableFunc(list, func(a, b member) int {
		switch {
		case a.index >= 0 && b.index >= 0:
			return int(a.index - b.index)
		case a.index >= 0:
			return -1
		case b.index >= 0:
			return 1
		default:
			return 0
		}
	})
	dst = append(dst, '{')
	for i, m := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, m.name...), ':')
		dst = append(dst, m.value...)
	}
	return append(dst, '}')
}

// arrayIndex returns the number that a quoted name spells, if JavaScript treats
// the name as an index, else -1.
func arrayIndex(quoted []byte) int64 {
	name := quoted[1 : len(quoted)-1]
	if len(name) == 0 || len(name) > 10 || name[0] == '0' && len(name) > 1 {
		return -1
	}
	n, err := strconv.ParseUint(string(name), 10, 64)
	if err != nil || n >= math.MaxUint32 {
		return -1
	}
	return int64(n)
}

// appendEscaped appends a string, given what stands between its quotes.
func appendEscaped(dst, inner []byte) []byte {
	dst = append(dst, '"')
	for len(inner) > 0 {
		var r rune
		r, inner = nextChar(inner)
		dst = appendChar(dst, r)
	}
	return append(dst, '"')
}

// appendQuoted appends a Go string as JSON.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		dst = appendChar(dst, r)
	}
	return append(dst, '"')
}

func appendChar(dst []byte, r rune) []byte {
	switch {
	case r == '"' || r == '\\':
		return append(dst, '\\', byte(r))
	case r >= 0x20 && r < utf8.RuneSelf:
		return append(dst, byte(r))
	case r >= 0x20 && !utf16.IsSurrogate(r):
		return utf8.AppendRune(dst, r)
	}
	switch r {
	case '\b':
		return append(dst, `\b`...)
	case '\t':
		return append(dst, `\t`...)
	case '\n':
		return append(dst, `\n`...)
	case '\f':
		return append(dst, `\f`...)
	case '\r':
		return append(dst, `\r`...)
	default:
		return fmt.Appendf(dst, `\u%04x`, r)
	}
}

// appendNumber appends a number as JavaScript prints it.
func appendNumber(dst []byte, s *scanner) []byte {
	text := s.number()
	if s.err != nil {
		return dst
	}
	f, err := strconv.ParseFloat(string(text), 64)
	switch {
	case math.IsInf(f, 0):
		return append(dst, "null"...)
	case err != nil:
		s.fail(errJSON)
		return dst
	case f == 0:
		return append(dst, '0')
	}
	if a := math.Abs(f); a >= 1e-6 && a < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	// Go pads exponents to two digits, JavaScript does not.
	e := strconv.AppendFloat(nil, f, 'e', -1, 64)
	i := bytes.IndexByte(e, 'e')
	dst = append(dst, e[:i+2]...)
	return append(dst, bytes.TrimLeft(e[i+2:], "0")...)
}
