package spoken

import (
	"crypto/rand"
	_ "embed"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

//go:embed words.txt
var list string

// words holds the 256 words in the order of the alphabet. Their places are not
// part of any format: a code is compared as text.
var words = strings.Fields(list)

// The numbers of codes, all of four digits.
const (
	minNumber = 1000
	maxNumber = 9999
)

// Code is a number and two words. The zero value is no code.
type Code struct {
	// Number is public: whoever listens to the network may learn it.
	Number int
	// Words are the secret.
	Words [2]string
}

// New returns a random code.
func New() Code {
	var b [10]byte
	rand.Read(b[:]) // never fails
	// The remainder of 64 bits is biased by less than 2^-50.
	n := minNumber + binary.LittleEndian.Uint64(b[2:])%(maxNumber-minNumber+1)
	return Code{Number: int(n), Words: [2]string{words[b[0]], words[b[1]]}}
}

// String is the canonical form: "4821-guitar-lantern".
func (c Code) String() string { return fmt.Sprintf("%d-%s-%s", c.Number, c.Words[0], c.Words[1]) }

// Secret is what both sides put into the key exchange.
func (c Code) Secret() []byte { return []byte(c.String()) }

// ParseError says what is wrong with a code.
type ParseError struct {
	// Word is the part that is wrong; empty if something is missing.
	Word string
	// Suggestions are words that may be meant instead, the likeliest first.
	Suggestions []string
	problem     string
}

func (e *ParseError) Error() string { return e.problem }

// maxText limits what Parse looks at.
const maxText = 256

// Parse reads a code, in any case, with anything but letters and digits between
// its parts or nothing. The error is a [ParseError].
func Parse(s string) (Code, error) {
	if len(s) > maxText {
		return Code{}, &ParseError{problem: "a code is a number and two words"}
	}
	digits, letters := split(strings.ToLower(s))
	var c Code
	switch {
	case digits == "":
		return c, &ParseError{problem: "the number is missing; a code looks like 4821-guitar-lantern"}
	case len(digits) != 4 || digits[0] == '0':
		return c, &ParseError{Word: digits, problem: fmt.Sprintf("%q is not the number of a code; it has four digits and does not begin with 0", digits)}
	}
	c.Number, _ = strconv.Atoi(digits)
	if len(letters) == 1 {
		if a, b, ok := halves(letters[0]); ok {
			letters = []string{a, b}
		}
	}
	for _, w := range letters {
		if !known(w) {
			return Code{}, &ParseError{Word: w, Suggestions: suggest(w), problem: fmt.Sprintf("%q is not a word of a code", w)}
		}
	}
	if len(letters) != 2 {
		return Code{}, &ParseError{problem: fmt.Sprintf("a code has two words, not %d; it looks like 4821-guitar-lantern", len(letters))}
	}
	c.Words = [2]string(letters)
	return c, nil
}

// split separates the digits, all of them, from the words.
func split(s string) (digits string, letters []string) {
	var word strings.Builder
	end := func() {
		if word.Len() > 0 {
			letters = append(letters, word.String())
			word.Reset()
		}
	}
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			digits += string(r)
			end()
		case r == ' ' || r == '-' || r == '_' || r == '.' || r == ',' || r == '\t' || r == '\n' || r == '\r' || r == '\u2010' || r == '\u2011' || r == '\u2013' || r == '\u00a0':
			end()
		default:
			word.WriteRune(r)
		}
	}
	end()
	return digits, letters
}

// halves splits two words that are written as one. No two pairs are written the
// same.
func halves(s string) (a, b string, ok bool) {
	for i := range s {
		if known(s[:i]) && known(s[i:]) {
			return s[:i], s[i:], true
		}
	}
	return "", "", false
}
