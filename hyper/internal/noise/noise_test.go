package noise

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"filippo.io/edwards25519"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

type handshakeVector struct {
	Prologue                 string
	InitiatorStaticSeed      string
	InitiatorStaticPublic    string
	ResponderStaticSeed      string
	ResponderStaticPublic    string
	InitiatorEphemeralSeed   string
	ResponderEphemeralSeed   string
	DigestAfterInitialise    string
	Messages                 []struct{ From, Payload, Message, DigestAfter string }
	HandshakeHash            string
	InitiatorTx, InitiatorRx string
}

type vectors struct {
	DH         []struct{ Seed, Scalar, Public, PeerPublic, Shared string }
	DHRejected []struct{ Point string }
	XX, IK     handshakeVector
}

func loadVectors(t testing.TB) *vectors {
	t.Helper()
	b, err := os.ReadFile("testdata/net-noise.json")
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

func keyPair(t testing.TB, seed string) *hypercrypto.KeyPair {
	return hypercrypto.KeyPairFromSeed([32]byte(unhex(t, seed)))
}

func TestDHVectors(t *testing.T) {
	for _, v := range loadVectors(t).DH {
		clamped, err := edwards25519.NewScalar().SetBytesWithClamping(unhex(t, v.Scalar))
		if err != nil || seedScalar(unhex(t, v.Seed)).Equal(clamped) != 1 {
			t.Errorf("seed %s: scalar %x", v.Seed, seedScalar(unhex(t, v.Seed)).Bytes())
		}
		key := staticKey(keyPair(t, v.Seed))
		if got := hex.EncodeToString(key.Public); got != v.Public {
			t.Errorf("public %s, want %s", got, v.Public)
		}
		got, err := new(curve).DH(key.Private, unhex(t, v.PeerPublic))
		if err != nil || hex.EncodeToString(got) != v.Shared {
			t.Errorf("shared %x, %v; want %s", got, err, v.Shared)
		}
	}
}

func TestUnusablePointsAreRejected(t *testing.T) {
	v := loadVectors(t)
	if len(v.DHRejected) == 0 {
		t.Fatal("no points")
	}
	private := seedScalar(make([]byte, 32)).Bytes()
	for _, p := range v.DHRejected {
		if out, err := new(curve).DH(private, unhex(t, p.Point)); !errors.Is(err, ErrPoint) {
			t.Errorf("point %s gave %x, %v", p.Point, out, err)
		}
	}
}

// Adding any point of small order to a good one makes it unusable, and so does
// every such point on its own.
func TestEveryTorsionIsRejected(t *testing.T) {
	var order8 *edwards25519.Point
	for _, p := range loadVectors(t).DHRejected {
		q, err := new(edwards25519.Point).SetBytes(unhex(t, p.Point))
		if err != nil {
			continue
		}
		// L*q has small order.
		l := new(edwards25519.Point).VarTimeDoubleScalarBaseMult(minusOne, q, edwards25519.NewScalar())
		l.Add(l, q)
		twice := new(edwards25519.Point).Add(l, l)
		if twice.Add(twice, twice).Equal(edwards25519.NewIdentityPoint()) != 1 {
			order8 = l
		}
	}
	if order8 == nil {
		t.Fatal("vectors hold no point of order 8")
	}
	good := keyPair(t, loadVectors(t).XX.InitiatorStaticSeed).Public
	torsion := edwards25519.NewIdentityPoint()
	for i := range 8 {
		p, err := new(edwards25519.Point).SetBytes(good[:])
		if err != nil {
			t.Fatal(err)
		}
		p.Add(p, torsion)
		_, err = decodePoint(p.Bytes())
		if (err == nil) != (i == 0) {
			t.Errorf("good point plus %d times torsion: %v", i, err)
		}
		if _, err := decodePoint(torsion.Bytes()); !errors.Is(err, ErrPoint) {
			t.Errorf("%d times torsion: %v", i, err)
		}
		torsion.Add(torsion, order8)
	}
}

func TestHandshakeVectors(t *testing.T) {
	v := loadVectors(t)
	t.Run("XX", func(t *testing.T) { checkHandshake(t, NewXX, &v.XX) })
	t.Run("IK", func(t *testing.T) { checkHandshake(t, NewIK, &v.IK) })
}

func checkHandshake(t *testing.T, start func(Config) (*Handshake, error), v *handshakeVector) {
	remote := keyPair(t, v.ResponderStaticSeed).Public
	initiator, err := start(Config{
		Initiator: true,
		Static:    keyPair(t, v.InitiatorStaticSeed),
		Remote:    &remote,
		Prologue:  unhex(t, v.Prologue),
		Random:    bytes.NewReader(unhex(t, v.InitiatorEphemeralSeed)),
	})
	if err != nil {
		t.Fatal(err)
	}
	responder, err := start(Config{
		Static:   keyPair(t, v.ResponderStaticSeed),
		Prologue: unhex(t, v.Prologue),
		Random:   bytes.NewReader(unhex(t, v.ResponderEphemeralSeed)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(initiator.state.ChannelBinding()); got != v.DigestAfterInitialise {
		t.Errorf("first digest %s, want %s", got, v.DigestAfterInitialise)
	}
	for i, m := range v.Messages {
		from, to := initiator, responder
		if m.From == "responder" {
			from, to = to, from
		}
		msg, err := from.Write(nil, unhex(t, m.Payload))
		if err != nil || hex.EncodeToString(msg) != m.Message {
			t.Fatalf("message %d: %x, %v; want %s", i, msg, err, m.Message)
		}
		payload, err := to.Read(nil, msg)
		if err != nil || hex.EncodeToString(payload) != m.Payload {
			t.Fatalf("message %d: payload %x, %v; want %s", i, payload, err, m.Payload)
		}
		for _, h := range []*Handshake{from, to} {
			if got := hex.EncodeToString(h.state.ChannelBinding()); got != m.DigestAfter {
				t.Errorf("message %d: digest %s, want %s", i, got, m.DigestAfter)
			}
		}
	}
	if !initiator.Done() || !responder.Done() {
		t.Fatal("not done")
	}
	a, b := initiator.Keys(), responder.Keys()
	if hex.EncodeToString(a.TX[:]) != v.InitiatorTx || hex.EncodeToString(a.RX[:]) != v.InitiatorRx {
		t.Errorf("initiator keys %x, %x", a.TX, a.RX)
	}
	if a.TX != b.RX || a.RX != b.TX {
		t.Error("keys of the sides do not match")
	}
	if hex.EncodeToString(a.Hash[:]) != v.HandshakeHash || a.Hash != b.Hash {
		t.Errorf("hashes %x, %x", a.Hash, b.Hash)
	}
	if hex.EncodeToString(a.Remote[:]) != v.ResponderStaticPublic || hex.EncodeToString(b.Remote[:]) != v.InitiatorStaticPublic {
		t.Errorf("remote keys %s, %s", a.Remote, b.Remote)
	}
}

func pair(t testing.TB, start func(Config) (*Handshake, error)) (initiator, responder *Handshake) {
	static := hypercrypto.NewKeyPair()
	initiator, err := start(Config{Initiator: true, Static: hypercrypto.NewKeyPair(), Remote: &static.Public})
	if err != nil {
		t.Fatal(err)
	}
	responder, err = start(Config{Static: static})
	if err != nil {
		t.Fatal(err)
	}
	return initiator, responder
}

func TestAnyChangedBitFailsForGood(t *testing.T) {
	initiator, _ := pair(t, NewIK)
	msg, err := initiator.Write(nil, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	_, responder := pair(t, NewIK)
	if _, err := responder.Read(nil, msg); !errors.Is(err, ErrHandshake) {
		t.Errorf("message for another key: %v", err)
	}
	for i := range msg {
		initiator, responder := pair(t, NewIK)
		msg, err := initiator.Write(nil, []byte("hello"))
		if err != nil {
			t.Fatal(err)
		}
		good := bytes.Clone(msg)
		msg[i] ^= 1
		if _, err := responder.Read(nil, msg); !errors.Is(err, ErrHandshake) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := responder.Read(nil, good); !errors.Is(err, ErrHandshake) {
			t.Errorf("good message after a bad one: %v", err)
		}
	}
}

func TestWrongTurnAndWrongSizesFail(t *testing.T) {
	initiator, responder := pair(t, NewXX)
	if _, err := responder.Write(nil, nil); !errors.Is(err, ErrHandshake) {
		t.Errorf("responder wrote first: %v", err)
	}
	if _, err := initiator.Read(nil, make([]byte, MaxMessage+1)); !errors.Is(err, ErrHandshake) {
		t.Errorf("huge message: %v", err)
	}
	for n := range 32 {
		_, responder := pair(t, NewXX)
		if _, err := responder.Read(nil, make([]byte, n)); !errors.Is(err, ErrHandshake) {
			t.Errorf("message of %d bytes: %v", n, err)
		}
	}
	if _, err := NewIK(Config{Initiator: true, Static: hypercrypto.NewKeyPair()}); err == nil {
		t.Error("IK initiator without remote key accepted")
	}
}

func FuzzRead(f *testing.F) {
	v := loadVectors(f)
	for _, m := range append(v.XX.Messages, v.IK.Messages...) {
		f.Add(unhex(f, m.Message))
	}
	static := keyPair(f, v.XX.ResponderStaticSeed)
	f.Fuzz(func(t *testing.T, msg []byte) {
		for _, start := range []func(Config) (*Handshake, error){NewXX, NewIK} {
			h, err := start(Config{Static: static, Prologue: unhex(t, v.IK.Prologue)})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := h.Read(nil, msg); err == nil {
				// What was accepted can be answered, or its point is unusable.
				if _, err := h.Write(nil, nil); err != nil && !errors.Is(err, ErrPoint) {
					t.Fatal(err)
				}
			}
		}
	})
}

func BenchmarkHandshake(b *testing.B) {
	for _, p := range []struct {
		name  string
		start func(Config) (*Handshake, error)
	}{{"XX", NewXX}, {"IK", NewIK}} {
		b.Run(p.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				from, to := pair(b, p.start)
				for !from.Done() || !to.Done() {
					msg, err := from.Write(nil, nil)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := to.Read(nil, msg); err != nil {
						b.Fatal(err)
					}
					from, to = to, from
				}
			}
		})
	}
}

func BenchmarkDH(b *testing.B) {
	key, remote := staticKey(hypercrypto.NewKeyPair()), hypercrypto.NewKeyPair().Public
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			if _, err := decodePoint(remote[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("multiply", func(b *testing.B) {
		var c curve
		for b.Loop() {
			if _, err := c.DH(key.Private, remote[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
