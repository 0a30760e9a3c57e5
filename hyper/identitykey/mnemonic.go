package identitykey

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrMnemonic is the error of a phrase that is none: a wrong number of words, a
// word that is not in the list, or words that do not belong together. The text
// says which, and never repeats more than the one word that is wrong.
var ErrMnemonic = errors.New("identitykey: not a recovery phrase")

// Mnemonic is a phrase of 12, 15, 18, 21 or 24 English words after BIP39, the
// last of which checks the others. It is the secret that everything follows
// from: whoever reads it is that person.
type Mnemonic struct{ words []string }

//go:embed english.txt
var english string

// wordList returns the 2048 words in their order, which is alphabetic.
func wordList() []string { return strings.Fields(english) }

const (
	bitsPerWord  = 11
	minWords     = 12
	maxWords     = 24
	defaultWords = 24
)

// NewMnemonic makes a random phrase of 24 words.
func NewMnemonic() Mnemonic {
	var entropy [defaultWords * bitsPerWord * 32 / 33 / 8]byte
	rand.Read(entropy[:]) // never fails
	return fromEntropy(entropy[:])
}

// MnemonicOf returns the phrase that stands for 16, 20, 24, 28 or 32 random bytes.
// It reverses [Mnemonic.Entropy].
func MnemonicOf(entropy []byte) (Mnemonic, error) {
	if n := len(entropy); n < 16 || n > 32 || n%4 != 0 {
		return Mnemonic{}, fmt.Errorf("%w: no phrase stands for %d bytes", ErrMnemonic, n)
	}
	return fromEntropy(entropy), nil
}

// fromEntropy writes down entropy, whose size is a multiple of 4 bytes, followed
// by one bit of its hash for every 4 bytes.
func fromEntropy(entropy []byte) Mnemonic {
	sum := sha256.Sum256(entropy)
	bits := append(slices.Clone(entropy), sum[0])
	list := wordList()
	words := make([]string, len(entropy)*8*33/32/bitsPerWord)
	for i := range words {
		n := 0
		for b := i * bitsPerWord; b < (i+1)*bitsPerWord; b++ {
			n = n<<1 | int(bits[b/8]>>(7-b%8)&1)
		}
		words[i] = list[n]
	}
	return Mnemonic{words}
}

// ParseMnemonic reads a phrase. Case and space do not matter. The error wraps
// [ErrMnemonic].
func ParseMnemonic(text string) (Mnemonic, error) {
	words := strings.Fields(strings.ToLower(text))
	if len(words) < minWords || len(words) > maxWords || len(words)%3 != 0 {
		return Mnemonic{}, fmt.Errorf("%w: it has %d words instead of 12, 15, 18, 21 or 24", ErrMnemonic, len(words))
	}
	list := wordList()
	for i, w := range words {
		if _, ok := slices.BinarySearch(list, w); !ok {
			return Mnemonic{}, fmt.Errorf("%w: word %d, %q, is not in the list%s", ErrMnemonic, i+1, w, suggestion(list, w))
		}
	}
	m := Mnemonic{words}
	if !slices.Equal(fromEntropy(m.Entropy()).words, words) {
		return Mnemonic{}, fmt.Errorf("%w: the words do not belong together; is one of them wrong, or their order?", ErrMnemonic)
	}
	return m, nil
}

// Entropy returns the random bytes that the phrase stands for: 4 for every 3 words.
func (m Mnemonic) Entropy() []byte {
	list := wordList()
	bits := make([]byte, (len(m.words)*bitsPerWord+7)/8)
	for i, w := range m.words {
		n, _ := slices.BinarySearch(list, w)
		for k := range bitsPerWord {
			at := i*bitsPerWord + k
			bits[at/8] |= byte(n>>(bitsPerWord-1-k)&1) << (7 - at%8)
		}
	}
	// 33 bits in 3 words: 32 of entropy and one to check.
	return bits[:len(m.words)/3*4]
}

// suggestion names the only word with the same first four letters, which are
// different in all words.
func suggestion(list []string, w string) string {
	if len(w) < 4 {
		return ""
	}
	i, _ := slices.BinarySearch(list, w[:4])
	if i < len(list) && strings.HasPrefix(list[i], w[:4]) {
		return fmt.Sprintf("; did you mean %q?", list[i])
	}
	return ""
}

// Words returns the words in order.
func (m Mnemonic) Words() []string { return slices.Clone(m.words) }

// Reveal returns the phrase in one line. It is not called String, so that a
// phrase cannot get into a log by accident.
func (m Mnemonic) Reveal() string { return strings.Join(m.words, " ") }

// String tells only how long the phrase is.
func (m Mnemonic) String() string { return fmt.Sprintf("phrase of %d words", len(m.words)) }

// GoString is String.
func (m Mnemonic) GoString() string { return m.String() }

// Seed returns the 64 bytes that keys are derived from. It takes about a
// millisecond.
func (m Mnemonic) Seed() [64]byte {
	key, err := pbkdf2.Key(sha512.New, m.Reveal(), []byte("mnemonic"), 2048, 64)
	if err != nil {
		panic("identitykey: " + err.Error()) // only for lengths that cannot be
	}
	return [64]byte(key)
}
