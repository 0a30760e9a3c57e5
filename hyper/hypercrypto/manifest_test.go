package hypercrypto

import (
	"bytes"
	"errors"
	"testing"

	"github.com/tradle/cloudpal/hyper/compact"
	"pgregory.net/rapid"
)

type manifestVector struct {
	Name                       string
	Manifest                   vectorManifest
	Encoded, Key, DiscoveryKey hexBytes
	ID                         string
}

func TestManifestVectors(t *testing.T) {
	var v struct{ Manifests []manifestVector }
	loadVectors(t, "hypercore-manifest.json", &v)
	if len(v.Manifests) != 17 {
		t.Fatalf("%d manifests", len(v.Manifests))
	}
	for _, c := range v.Manifests {
		t.Run(c.Name, func(t *testing.T) {
			built, err := NewManifest(c.Manifest.input())
			if err != nil {
				t.Fatal(err)
			}
			if got := built.AppendTo(nil); !bytes.Equal(got, c.Encoded) {
				t.Fatalf("encoded %x, want %x", got, c.Encoded)
			}
			read, err := DecodeManifest(append(bytes.Clone(c.Encoded), "growth"...))
			if err != nil {
				t.Fatal(err)
			}
			if !read.Equal(built) {
				t.Fatalf("decoded %+v, want %+v", read, built)
			}
			key := read.Key()
			if key != c.Key.key() || key.String() != c.ID || key.Discovery() != DiscoveryKey(c.DiscoveryKey) {
				t.Errorf("key %x, id %s, discovery key %s", key, key, key.Discovery())
			}
			if ok, compat := read.Matches(key); !ok || compat {
				t.Errorf("matches %v, compat %v", ok, compat)
			}
			for n := range c.Encoded {
				if m, err := DecodeManifest(c.Encoded[:n]); !errors.Is(err, ErrManifest) || m != nil {
					t.Fatalf("decoded %d of %d bytes: %v, %v", n, len(c.Encoded), m, err)
				}
			}
		})
	}
}

func TestCorestoreManifestVectors(t *testing.T) {
	var v struct {
		Named []struct {
			ManifestVersion      uint64
			PublicKey, SecretKey hexBytes
			Manifest             hexBytes
			ID                   string
		}
		Manifests []struct {
			Input                      vectorManifest
			Encoded, Key, DiscoveryKey hexBytes
		}
		ContentManifests []struct{ DBManifest, DBKey, BlobsManifest, BlobsKey hexBytes }
	}
	loadVectors(t, "struct-corestore.json", &v)
	if len(v.Named) == 0 || len(v.Manifests) == 0 || len(v.ContentManifests) == 0 {
		t.Fatal("no vectors")
	}
	for i, c := range v.Named {
		kp, err := KeyPairFromSecret(c.SecretKey)
		if err != nil {
			t.Fatalf("key pair %d: %v", i, err)
		}
		m := DefaultManifest(kp.Public)
		m.Version = max(c.ManifestVersion, 1) // a corestore takes 0 for "default"
		if got := m.AppendTo(nil); !bytes.Equal(got, c.Manifest) || m.Key().String() != c.ID {
			t.Errorf("%s: manifest %x, want %x", c.ID, got, c.Manifest)
		}
	}
	for i, c := range v.Manifests {
		m, err := NewManifest(c.Input.input())
		if err != nil {
			t.Fatalf("manifest %d: %v", i, err)
		}
		if got := m.AppendTo(nil); !bytes.Equal(got, c.Encoded) || m.Key() != c.Key.key() {
			t.Errorf("manifest %d: %x, want %x", i, got, c.Encoded)
		}
	}
	for i, c := range v.ContentManifests {
		for _, enc := range []struct{ manifest, key hexBytes }{{c.DBManifest, c.DBKey}, {c.BlobsManifest, c.BlobsKey}} {
			if enc.manifest == nil {
				continue
			}
			m, err := DecodeManifest(enc.manifest)
			if err != nil || m.Key() != enc.key.key() {
				t.Errorf("content manifest %d: %v, key %x, want %x", i, err, m.Key(), enc.key)
			}
		}
	}
}

func TestNewManifestDefaults(t *testing.T) {
	a, b, c := testKeyPair(1).Public, testKeyPair(2).Public, testKeyPair(3).Public
	m, err := NewManifest(ManifestInput{Signers: []Signer{{PublicKey: a}}})
	if err != nil || !m.Equal(DefaultManifest(a)) {
		t.Errorf("plain: %+v, %v", m, err)
	}
	for n, want := range []uint64{0, 1, 2, 2} {
		signers := []Signer{{PublicKey: a}, {PublicKey: b}, {PublicKey: c}}[:n]
		if m, err := NewManifest(ManifestInput{Signers: signers}); err != nil || m.Quorum != want || m.Version != 1 {
			t.Errorf("%d signers: %+v, %v", n, m, err)
		}
	}
	m, err = NewManifest(ManifestInput{UserData: []byte{}, Linked: []Key{}})
	if err != nil || m.Version != 2 || m.UserData == nil || m.Linked != nil {
		t.Errorf("empty user data and linked: %+v, %v", m, err)
	}
	m, err = NewManifest(ManifestInput{Linked: []Key{{1}}})
	if err != nil || m.Version != 2 || len(m.Linked) != 1 {
		t.Errorf("linked: %+v, %v", m, err)
	}
}

func TestNewManifestKeepsNothingOfItsInput(t *testing.T) {
	in := ManifestInput{
		Signers:  []Signer{{PublicKey: PublicKey{1}}},
		Prologue: &Prologue{Length: 1},
		Linked:   []Key{{2}},
		UserData: []byte{3},
	}
	m, err := NewManifest(in)
	if err != nil {
		t.Fatal(err)
	}
	before := m.Key()
	in.Signers[0].PublicKey[0], in.Prologue.Length, in.Linked[0][0], in.UserData[0] = 9, 9, 9, 9
	if m.Key() != before {
		t.Error("manifest changed with its input")
	}
}

func TestNewManifestRefuses(t *testing.T) {
	one := []Signer{{PublicKey: PublicKey{1}}}
	for name, in := range map[string]ManifestInput{
		"version":               {Version: new(uint64(4)), Signers: one},
		"quorum":                {Quorum: new(uint64(2)), Signers: one},
		"linked in version 1":   {Version: new(uint64(1)), Linked: []Key{{}}},
		"user data in v1":       {Version: new(uint64(1)), UserData: []byte{}},
		"v0 prologue + signers": {Version: new(uint64(0)), Signers: one, Prologue: &Prologue{}},
	} {
		if _, err := NewManifest(in); !errors.Is(err, ErrManifest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDecodeManifestRefusesUnknownValues(t *testing.T) {
	plain := DefaultManifest(PublicKey{1}).AppendTo(nil)
	v0 := (&Manifest{Quorum: 1, Signers: []Signer{{}}}).AppendTo(nil)
	for name, c := range map[string]struct {
		base []byte
		at   int
		to   byte
	}{
		"version":           {plain, 0, 4},
		"hash type":         {plain, 2, 1},
		"signature type":    {plain, 5, 1},
		"v0 hash type":      {v0, 1, 1},
		"v0 layout":         {v0, 2, 3},
		"v0 signature type": {v0, 3, 1},
		"signer count":      {plain, 4, 2},
	} {
		b := bytes.Clone(c.base)
		b[c.at] = c.to
		if m, err := DecodeManifest(b); !errors.Is(err, ErrManifest) || m != nil {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

func TestMatchesHashesTheCanonicalForm(t *testing.T) {
	pub := testKeyPair(1).Public
	signer := append(append([]byte{0}, nsDefaultNamespace[:]...), pub[:]...)
	single := &Manifest{Quorum: 1, Signers: []Signer{{Namespace: nsDefaultNamespace, PublicKey: pub}}}
	wire := map[string][]byte{
		"layout multi that fits single": append([]byte{0, 0, 2, 0, 1, 1}, signer...),
		"over-long integers":            append([]byte{0, 0, 0xfd, 1, 0}, signer...),
		"unknown flag bits":             append([]byte{0, 0, 2, 0x7e, 1, 1}, signer...),
	}
	for name, b := range wire {
		m, err := DecodeManifest(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if ok, compat := m.Matches(single.Key()); !ok || compat {
			t.Errorf("%s: %v, %v", name, ok, compat)
		}
	}
	empty := append([]byte{2, manifestLinked, 0, 1, 1}, signer...)
	empty = append(empty, 0)
	m, err := DecodeManifest(empty)
	if err != nil || m.Linked == nil {
		t.Fatalf("empty linked list: %+v, %v", m, err)
	}
	withList, without := Key(Sum(nsManifest[:], empty)), *m
	without.Linked = nil
	if ok, _ := m.Matches(withList); !ok {
		t.Error("an empty linked list does not stay present")
	}
	if ok, _ := m.Matches(without.Key()); ok {
		t.Error("an empty linked list is the same as none")
	}
}

func TestMatchesCompat(t *testing.T) {
	pub := testKeyPair(1).Public
	m := DefaultManifest(pub)
	if ok, compat := m.Matches(Key(pub)); !ok || !compat {
		t.Errorf("public key: %v, %v", ok, compat)
	}
	if ok, _ := m.Matches(Key{}); ok {
		t.Error("zero key matches")
	}
	m.Signers = append(m.Signers, Signer{})
	if ok, compat := m.Matches(Key(pub)); ok || compat {
		t.Errorf("two signers: %v, %v", ok, compat)
	}
}

func TestReadManifestLeavesTheRest(t *testing.T) {
	b := append(DefaultManifest(PublicKey{7}).AppendTo(nil), 42)
	r := compact.NewReader(b)
	if m := ReadManifest(&r); m == nil || r.Byte() != 42 || r.Err() != nil {
		t.Errorf("%+v, %v", m, r.Err())
	}
	if m := ReadManifest(&r); m != nil || !errors.Is(r.Err(), compact.ErrOutOfBounds) || !errors.Is(r.Err(), ErrManifest) {
		t.Errorf("past the end: %+v, %v", m, r.Err())
	}
	if m := ReadManifest(&r); m != nil {
		t.Errorf("after an error: %+v", m)
	}
}

// drawManifest draws any manifest that can be encoded without loss.
func drawManifest(t *rapid.T) *Manifest {
	m := &Manifest{
		Version:    rapid.Uint64Range(0, MaxManifestVersion).Draw(t, "version"),
		AllowPatch: rapid.Bool().Draw(t, "allowPatch"),
		Quorum:     rapid.Uint64Range(0, 300).Draw(t, "quorum"),
	}
	for range rapid.IntRange(0, 4).Draw(t, "signers") {
		s := Signer{}
		copy(s.PublicKey[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))
		copy(s.Namespace[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "namespace"))
		m.Signers = append(m.Signers, s)
	}
	if m.Version == 0 {
		return m
	}
	if rapid.Bool().Draw(t, "prologue") {
		m.Prologue = &Prologue{Length: rapid.Uint64Range(0, compact.MaxUint).Draw(t, "length")}
	}
	if rapid.Bool().Draw(t, "linked") {
		m.Linked = make([]Key, rapid.IntRange(0, 3).Draw(t, "count"))
	}
	if rapid.Bool().Draw(t, "userData") {
		m.UserData = append([]byte{}, rapid.SliceOf(rapid.Byte()).Draw(t, "data")...)
	}
	return m
}

func TestManifestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawManifest(t)
		read, err := DecodeManifest(m.AppendTo(nil))
		if err != nil {
			t.Fatal(err)
		}
		if !read.Equal(m) || read.Key() != m.Key() || (read.Linked == nil) != (m.Linked == nil) || (read.UserData == nil) != (m.UserData == nil) {
			t.Fatalf("%+v became %+v", m, read)
		}
	})
}

func FuzzDecodeManifest(f *testing.F) {
	var v struct{ Manifests []manifestVector }
	loadVectors(f, "hypercore-manifest.json", &v)
	for _, c := range v.Manifests {
		f.Add([]byte(c.Encoded))
	}
	f.Add([]byte{1, 0, 0, 1, 0xfe, 0, 0, 16, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeManifest(b)
		if err != nil {
			return
		}
		if n := len(m.Signers)*signerSize + len(m.Linked)*32 + len(m.UserData); n > len(b) {
			t.Fatalf("%d bytes decoded from %d", n, len(b))
		}
		enc := m.AppendTo(nil)
		again, err := DecodeManifest(enc)
		if err != nil || !bytes.Equal(again.AppendTo(nil), enc) {
			t.Fatalf("%x does not survive: %v", enc, err)
		}
	})
}
