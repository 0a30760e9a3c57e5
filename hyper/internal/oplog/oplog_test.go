package oplog

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// vectors are from multi-encodings.json, made by autobase 7.28.1.
type vectors struct {
	Oplog []struct {
		Name, Hex string
		Decoded   decodedBlock
	}
	System []struct {
		Name, Hex string
		Decoded   json.RawMessage
	}
}

type decodedRef struct {
	Key    string
	Length uint64
}

type decodedSigned struct {
	Checkpointer uint64
	Checkpoint   *struct {
		Signature string
		Length    uint64
	}
}

type decodedBlock struct {
	Version uint64
	Node    struct {
		Heads []decodedRef
		Batch uint64
		Value *string
	}
	Checkpoint *struct {
		System, Encryption *decodedSigned
		User               []decodedSigned
	}
	Digest *struct {
		Pointer uint64
		Key     string
	}
	Optimistic bool
	Trace      any
}

func load(t testing.TB) *vectors {
	t.Helper()
	b, err := os.ReadFile("testdata/multi-encodings.json")
	if err != nil {
		t.Fatal(err)
	}
	v := new(vectors)
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
	return v
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (d *decodedSigned) want(t *testing.T) *Signed {
	if d == nil {
		return nil
	}
	s := &Signed{Pointer: d.Checkpointer}
	if d.Checkpoint != nil {
		s.Signature, s.Length = [64]byte(unhex(t, d.Checkpoint.Signature)), d.Checkpoint.Length
	}
	return s
}

func (d *decodedBlock) want(t *testing.T) *Block {
	k := &Block{Heads: refs(t, d.Node.Heads), Batch: d.Node.Batch, Optimistic: d.Optimistic}
	if d.Node.Value != nil {
		k.Value = unhex(t, *d.Node.Value)
	}
	if c := d.Checkpoint; c != nil {
		k.Checkpoint = &Checkpoint{System: c.System.want(t), Encryption: c.Encryption.want(t)}
		if c.User != nil {
			k.Checkpoint.User = []Signed{}
		}
		for _, u := range c.User {
			k.Checkpoint.User = append(k.Checkpoint.User, *u.want(t))
		}
	}
	if d.Digest != nil {
		k.Digest = &Digest{Pointer: d.Digest.Pointer}
		if d.Digest.Key != "" {
			k.Digest.Key = hypercrypto.Key(unhex(t, d.Digest.Key))
		}
	}
	return k
}

func refs(t *testing.T, list []decodedRef) (out []Ref) {
	for _, r := range list {
		out = append(out, Ref{hypercrypto.Key(unhex(t, r.Key)), r.Length})
	}
	return out
}

func TestBlocksOfTheOtherStack(t *testing.T) {
	for _, c := range load(t).Oplog {
		t.Run(c.Name, func(t *testing.T) {
			b := unhex(t, c.Hex)
			k, err := Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			if want := c.Decoded.want(t); !reflect.DeepEqual(k, want) {
				t.Errorf("\n got %+v\nwant %+v", k, want)
			}
			if c.Decoded.Version == Version && c.Decoded.Trace == nil {
				if got := hex.EncodeToString(k.AppendTo(nil)); got != c.Hex {
					t.Errorf("encoded again: %s", got)
				}
			}
			for n := range b { // older versions have something optional at the end, and a trace is not looked at
				if _, err := Decode(b[:n]); err == nil && c.Decoded.Version == Version && c.Decoded.Trace == nil {
					t.Errorf("accepted %d of %d bytes", n, len(b))
				}
			}
		})
	}
}

func TestSystemEntriesOfTheOtherStack(t *testing.T) {
	for _, c := range load(t).System {
		t.Run(c.Name, func(t *testing.T) {
			b := unhex(t, c.Hex)
			switch {
			case c.Name == "bee key of info":
				if string(InfoKey()) != string(b) {
					t.Errorf("%x", InfoKey())
				}
			case strings.HasPrefix(c.Name, "bee key of member"):
				if got := MemberKey(hypercrypto.Key(b[2:])); string(got) != string(b) {
					t.Errorf("%x", got)
				}
			case strings.HasPrefix(c.Name, "info"):
				var d struct {
					Version, Members       uint64
					PendingIndexers        []string
					Indexers, Heads, Views []decodedRef
					EncryptionLength       uint64
					Entropy                *string
				}
				if err := json.Unmarshal(c.Decoded, &d); err != nil {
					t.Fatal(err)
				}
				want := &Info{Version: d.Version, Members: d.Members, Indexers: refs(t, d.Indexers), Heads: refs(t, d.Heads), Views: refs(t, d.Views), EncryptionLength: d.EncryptionLength}
				for _, p := range d.PendingIndexers {
					want.Pending = append(want.Pending, hypercrypto.Key(unhex(t, p)))
				}
				if d.Entropy != nil {
					e := [32]byte(unhex(t, *d.Entropy))
					want.Entropy = &e
				}
				got, err := DecodeInfo(b)
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
				}
				if got := hex.EncodeToString(want.AppendTo(nil)); got != c.Hex {
					t.Errorf("encoded again: %s", got)
				}
			default:
				var d struct {
					IsIndexer, IsRemoved bool
					Length               uint64
				}
				if err := json.Unmarshal(c.Decoded, &d); err != nil {
					t.Fatal(err)
				}
				want := Member{d.IsIndexer, d.IsRemoved, d.Length}
				if got, err := DecodeMember(b); err != nil || got != want || hex.EncodeToString(want.AppendTo(nil)) != c.Hex {
					t.Errorf("%+v, %v", got, err)
				}
			}
		})
	}
}

func TestUnknownVersionsAreNamed(t *testing.T) {
	if _, err := Decode([]byte{3, 0, 1, 0, 0}); !errors.Is(err, ErrBlock) || !strings.Contains(err.Error(), "version 3") {
		t.Error(err)
	}
	if _, err := DecodeInfo([]byte{3}); !errors.Is(err, ErrNewer) {
		t.Error(err)
	}
	if _, err := Decode([]byte{2, 0, 0, 0, 0}); !errors.Is(err, ErrBlock) {
		t.Errorf("batch 0: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	v := load(f)
	for _, c := range v.Oplog {
		f.Add(unhex(f, c.Hex))
	}
	for _, c := range v.System {
		f.Add(unhex(f, c.Hex))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := Decode(b); err == nil {
			again, err := Decode(k.AppendTo(nil))
			if err != nil || !reflect.DeepEqual(again, k) {
				t.Fatalf("%v\n got %+v\nwant %+v", err, again, k)
			}
		}
		if i, err := DecodeInfo(b); err == nil {
			again, err := DecodeInfo(i.AppendTo(nil))
			if err != nil || !reflect.DeepEqual(again, i) {
				t.Fatalf("%v\n got %+v\nwant %+v", err, again, i)
			}
		}
		if m, err := DecodeMember(b); err == nil {
			if again, err := DecodeMember(m.AppendTo(nil)); err != nil || again != m {
				t.Fatalf("%v, %v", again, err)
			}
		}
	})
}
