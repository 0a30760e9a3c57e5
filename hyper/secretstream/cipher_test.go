package secretstream

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"testing"
)

type vectors struct {
	Namespaces   struct{ Initiator, Responder, Send string }
	Secretstream struct {
		Key, Header, StateAfterInit string
		Messages                    []struct {
			Tag                       byte
			Plain, Cipher, StateAfter string
		}
	}
	CounterWrap struct {
		Key, Header, StateBefore, Cipher1, StateAfter, Cipher2, Plain1, Plain2 string
	}
	TCP struct {
		HandshakeFrames                            []struct{ From, Frame string }
		InitiatorID, ResponderID                   string
		InitiatorHeaderFrame, ResponderHeaderFrame string
		InitiatorMessages, ResponderMessages       []struct{ Plain, Frame string }
	}
	Send struct {
		HandshakeHash, InitiatorSecret, ResponderSecret string
		Messages                                        []struct{ From, Counter, Plain, Envelope string }
	}
}

func loadVectors(t testing.TB) *vectors {
	t.Helper()
	b, err := os.ReadFile("testdata/net-secretstream.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return &v
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func stateHex(s *cipherState) string {
	return hex.EncodeToString(s.key[:]) + hex.EncodeToString(s.nonce[:])
}

func newState(t testing.TB, key, header string) *cipherState {
	s := new(cipherState)
	s.init((*[32]byte)(unhex(t, key)), unhex(t, header))
	return s
}

// push returns the encrypted form of plain.
func push(s *cipherState, plain []byte, tag byte) []byte {
	buf := make([]byte, blockSize+len(plain)+macSize)
	copy(buf[blockSize:], plain)
	s.seal(buf, tag)
	return buf[blockSize-1:]
}

// pull reverses push.
func pull(s *cipherState, body []byte) (plain []byte, tag byte, ok bool) {
	buf := append(make([]byte, blockSize-1), body...)
	tag, ok = s.open(buf)
	return buf[blockSize : len(buf)-macSize], tag, ok
}

func TestVectorsOfEveryTag(t *testing.T) {
	v := loadVectors(t).Secretstream
	tx, rx := newState(t, v.Key, v.Header), newState(t, v.Key, v.Header)
	if got := stateHex(tx); got != v.StateAfterInit {
		t.Fatalf("state after init %s, want %s", got, v.StateAfterInit)
	}
	for i, m := range v.Messages {
		c := push(tx, unhex(t, m.Plain), m.Tag)
		if got := hex.EncodeToString(c); got != m.Cipher {
			t.Fatalf("message %d: got %s, want %s", i, got, m.Cipher)
		}
		p, tag, ok := pull(rx, c)
		if !ok || hex.EncodeToString(p) != m.Plain || tag != m.Tag {
			t.Fatalf("message %d: opened to %x, tag %d, %v", i, p, tag, ok)
		}
		if got := stateHex(tx); got != m.StateAfter {
			t.Fatalf("message %d: state of sender %s, want %s", i, got, m.StateAfter)
		}
		if got := stateHex(rx); got != m.StateAfter {
			t.Fatalf("message %d: state of receiver %s, want %s", i, got, m.StateAfter)
		}
	}
}

func TestCounterWrapDerivesNewKey(t *testing.T) {
	v := loadVectors(t).CounterWrap
	tx, rx := newState(t, v.Key, v.Header), newState(t, v.Key, v.Header)
	for _, s := range []*cipherState{tx, rx} {
		binary.LittleEndian.PutUint32(s.nonce[:], 0xffffffff)
		if got := stateHex(s); got != v.StateBefore {
			t.Fatalf("state before %s, want %s", got, v.StateBefore)
		}
	}
	for i, m := range []struct{ plain, cipher string }{{v.Plain1, v.Cipher1}, {v.Plain2, v.Cipher2}} {
		c := push(tx, unhex(t, m.plain), 0)
		if got := hex.EncodeToString(c); got != m.cipher {
			t.Fatalf("message %d: got %s, want %s", i, got, m.cipher)
		}
		if p, _, ok := pull(rx, c); !ok || hex.EncodeToString(p) != m.plain {
			t.Fatalf("message %d: opened to %x, %v", i, p, ok)
		}
		if i == 0 && (stateHex(tx) != v.StateAfter || stateHex(rx) != v.StateAfter) {
			t.Fatalf("state after %s and %s, want %s", stateHex(tx), stateHex(rx), v.StateAfter)
		}
	}
}

// The two ways to encrypt agree for every length of a block and more, and every
// flipped bit is noticed without a change of state.
func TestEveryLengthOpensAndNoFlippedBit(t *testing.T) {
	key := &[32]byte{7}
	header := make([]byte, headerSize)
	var tx, parts, rx cipherState
	for _, s := range []*cipherState{&tx, &parts, &rx} {
		s.init(key, header)
	}
	for n := range 200 {
		plain := make([]byte, n)
		for i := range plain {
			plain[i] = byte(i * 31)
		}
		tag := byte(0)
		if n%50 == 49 {
			tag = tagRekey
		}
		body := push(&tx, plain, tag)

		buf := make([]byte, blockSize+n+macSize)
		buf[0] = tag
		copy(buf[blockSize:], plain)
		parts.sealInParts(buf)
		buf[blockSize-1] = buf[0]
		parts.advance(buf[blockSize+n:], tag)
		if !bytes.Equal(buf[blockSize-1:], body) {
			t.Fatalf("length %d: sealing in parts differs", n)
		}

		before := stateHex(&rx)
		for bit := range 8 * len(body) {
			if n > 40 && bit%7 != 0 {
				continue
			}
			body[bit/8] ^= 1 << (bit % 8)
			if _, _, ok := pull(&rx, body); ok {
				t.Fatalf("length %d: flipped bit %d not noticed", n, bit)
			}
			body[bit/8] ^= 1 << (bit % 8)
		}
		if stateHex(&rx) != before {
			t.Fatalf("length %d: rejected message changed the state", n)
		}
		got, gotTag, ok := pull(&rx, body)
		if !ok || !bytes.Equal(got, plain) || gotTag != tag {
			t.Fatalf("length %d: opened to %x, tag %d, %v", n, got, gotTag, ok)
		}
	}
}

func TestCipherDoesNotAllocate(t *testing.T) {
	var tx, rx cipherState
	tx.init(&[32]byte{1}, make([]byte, headerSize))
	rx.init(&[32]byte{1}, make([]byte, headerSize))
	for _, n := range []int{0, 100, 64, 72, 4096} {
		buf := make([]byte, blockSize+n+macSize)
		if got := testing.AllocsPerRun(50, func() {
			tx.seal(buf, 0)
			if _, ok := rx.open(buf); !ok {
				t.Fatal("not authentic")
			}
		}); got != 0 {
			t.Errorf("length %d: %v allocations", n, got)
		}
	}
}

var benchSizes = []int{100, 1400, 65536, 65543}

func BenchmarkSeal(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var s cipherState
			s.init(&[32]byte{1}, make([]byte, headerSize))
			buf := make([]byte, blockSize+n+macSize)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				s.seal(buf, 0)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var s cipherState
			s.init(&[32]byte{1}, make([]byte, headerSize))
			start := s.nonce
			body := push(&s, make([]byte, n), 0)
			buf := make([]byte, blockSize+n+macSize)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				s.nonce = start
				copy(buf[blockSize-1:], body)
				if _, ok := s.open(buf); !ok {
					b.Fatal("not authentic")
				}
			}
		})
	}
}
