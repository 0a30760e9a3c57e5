package autobase

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// reopen closes base i and opens it again with other options.
func (p *pair) reopen(i int, bootstrap *hypercrypto.Key, o Options) error {
	p.t.Helper()
	p.bases[i].Close()
	o.AckInterval, o.NoForward = -1, true
	p.apps[i] = &testApp{}
	b, err := Open(context.Background(), p.stores[i], bootstrap, p.apps[i].handlers(), &o)
	if err != nil {
		return err
	}
	p.bases[i] = b
	p.t.Cleanup(func() { b.Close() })
	return nil
}

func TestTheOwnLogCanBeReplaced(t *testing.T) {
	ctx := context.Background()
	p := newPeers(t, 2, Options{})
	p.append(0, opAdd(p.bases[1].LocalKey(), false))
	p.sync()
	first := p.bases[1].LocalKey()
	r := p.append(1, opLog("by the first log"))[0]
	pair := hypercrypto.KeyPairFromSeed([32]byte{42})
	if err := p.bases[1].SetLocal(ctx, pair); err != nil {
		t.Fatal(err)
	}
	second := p.bases[1].LocalKey()
	if second != hypercrypto.DefaultManifest(pair.Public).Key() {
		t.Fatalf("the own log is %v", second)
	}
	if _, err := p.bases[1].Append(ctx, opLog("too early")); !errors.Is(err, ErrNotMember) {
		t.Fatalf("before it is a member: %v", err)
	}
	p.sync()
	p.append(0, opAdd(second, false), opRemove(first))
	p.sync()
	if o := r.Outcome(); !o.Confirmed || !o.Signed {
		t.Fatalf("the node of the log before: %+v", o)
	}
	p.append(1, opLog("by the second log"))
	if err := p.bases[1].SetLocal(ctx, pair); err != nil {
		t.Fatalf("again the same: %v", err)
	}
	// It is found again with and without the key of the base.
	base := p.bases[0].Key()
	for _, bootstrap := range []*hypercrypto.Key{&base, nil} {
		if err := p.reopen(1, bootstrap, Options{}); err != nil {
			t.Fatal(err)
		}
		if b := p.bases[1]; b.LocalKey() != second || b.Key() != base {
			t.Fatalf("after a restart: log %v of base %v", b.LocalKey(), b.Key())
		}
		p.append(1, opLog("after a restart"))
	}
	// Back to the log before, which is no member any more.
	old := p.stores[1].KeyPair("local")
	if err := p.bases[1].SetLocal(ctx, old); err != nil {
		t.Fatal(err)
	}
	if _, err := p.bases[1].Append(ctx, opLog("removed")); !errors.Is(err, ErrNotMember) {
		t.Fatalf("by a removed log: %v", err)
	}
	if n := p.apps[1].log.Length(); n != 4 {
		t.Fatalf("the view has %d blocks", n)
	}
}

func TestAnIndexerGoesOnInANewLog(t *testing.T) {
	ctx := context.Background()
	p := newPeers(t, 1, Options{})
	p.append(0, opLog("one"))
	old := p.bases[0].LocalKey()
	pair := hypercrypto.KeyPairFromSeed([32]byte{43})
	next := hypercrypto.DefaultManifest(pair.Public).Key()
	p.append(0, opAdd(next, true))
	if err := p.bases[0].SetLocal(ctx, pair); err != nil {
		t.Fatal(err)
	}
	// The new log began by itself, but a majority of both indexers has to confirm.
	if err := p.bases[0].SetLocal(ctx, p.stores[0].KeyPair("local")); err != nil {
		t.Fatal(err)
	}
	p.append(0, opRemove(old))
	if err := p.bases[0].SetLocal(ctx, pair); err != nil {
		t.Fatal(err)
	}
	if err := p.bases[0].Ack(ctx); err != nil {
		t.Fatal(err)
	}
	if err := p.bases[0].SetLocal(ctx, p.stores[0].KeyPair("local")); err != nil {
		t.Fatal(err)
	}
	if err := p.bases[0].Ack(ctx); err != nil {
		t.Fatal(err)
	}
	if err := p.bases[0].SetLocal(ctx, pair); err != nil {
		t.Fatal(err)
	}
	p.append(0, opLog("two"))
	s := p.bases[0].Status()
	if len(s.Indexers) != 1 || s.Indexers[0].Key != next || s.Views[0].Length != 2 || s.Views[0].Signed != 2 {
		t.Fatalf("at the end: %+v", s)
	}
}

func TestUserDataIsKept(t *testing.T) {
	p := newPeers(t, 1, Options{})
	if err := p.bases[0].SetUserData("app/name", []byte("mine")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"referrer", "autobase/local", "autobase/encryption", "cloudpal/boot"} {
		if err := p.bases[0].SetUserData(name, []byte("x")); !errors.Is(err, ErrReserved) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := p.reopen(0, nil, Options{}); err != nil {
		t.Fatal(err)
	}
	if v, err := p.bases[0].UserData("app/name"); err != nil || string(v) != "mine" {
		t.Fatalf("after a restart: %q, %v", v, err)
	}
	if err := p.bases[0].SetUserData("app/name", nil); err != nil {
		t.Fatal(err)
	}
	if v, err := p.bases[0].UserData("app/name"); err != nil || v != nil {
		t.Fatalf("after it was removed: %q, %v", v, err)
	}
}

// xorGuard seals by a number, and finds what another number sealed stale.
type xorGuard struct {
	kind   uint64
	opened int
}

func (g *xorGuard) Seal(_ context.Context, key hypercrypto.EncryptionKey) (uint64, []byte, error) {
	for i := range key {
		key[i] ^= byte(g.kind)
	}
	return g.kind, key[:], nil
}

func (g *xorGuard) Open(_ context.Context, kind uint64, sealed []byte) (key hypercrypto.EncryptionKey, stale bool, err error) {
	if len(sealed) != len(key) {
		return key, false, errors.New("not a sealed key")
	}
	g.opened++
	for i := range key {
		key[i] = sealed[i] ^ byte(kind)
	}
	return key, kind != g.kind, nil
}

func TestTheEncryptionKeyIsRemembered(t *testing.T) {
	key := hypercrypto.EncryptionKey{7}
	p := newPeers(t, 1, Options{EncryptionKey: &key})
	p.append(0, opLog("secret"))
	kept := func(name string) []byte {
		t.Helper()
		c, err := p.stores[0].Get(context.Background(), corestore.GetOptions{Name: "local"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		v, err := c.UserData(name)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if !bytes.Equal(kept(plainKey), key[:]) {
		t.Fatal("the key is not beside the log")
	}
	must := func(o Options) {
		t.Helper()
		if err := p.reopen(0, nil, o); err != nil {
			t.Fatal(err)
		}
		if k := p.bases[0].EncryptionKey(); k == nil || *k != key || p.apps[0].log.Length() != 1 {
			t.Fatalf("opened with key %v, %d blocks", k, p.apps[0].log.Length())
		}
	}
	must(Options{})
	if err := p.reopen(0, nil, Options{EncryptionKey: &hypercrypto.EncryptionKey{8}}); !errors.Is(err, ErrOtherKey) {
		t.Fatalf("with another key: %v", err)
	}
	one := &xorGuard{kind: 1}
	must(Options{Guard: one})
	if kept(plainKey) != nil || bytes.Contains(kept(sealedKey), key[:]) {
		t.Fatal("the key is still readable")
	}
	must(Options{Guard: one})
	if one.opened != 1 {
		t.Fatalf("the guard was asked %d times", one.opened)
	}
	two := &xorGuard{kind: 2}
	must(Options{Guard: two})
	if kept(sealedKey)[0] != 2 {
		t.Fatal("what was stale is not sealed anew")
	}
	if err := p.reopen(0, nil, Options{}); !errors.Is(err, ErrSealed) {
		t.Fatalf("without the guard: %v", err)
	}
	must(Options{EncryptionKey: &key})
	// A new log takes it along.
	if err := p.bases[0].SetLocal(context.Background(), hypercrypto.KeyPairFromSeed([32]byte{44})); err != nil {
		t.Fatal(err)
	}
	must(Options{Guard: two})
}

func TestTheStoreDerivesAnEncryptionKey(t *testing.T) {
	p := newPeers(t, 1, Options{Encrypt: true})
	want := p.stores[0].KeyPair("autobase/encryption").Seed()
	if k := p.bases[0].EncryptionKey(); k == nil || *k != hypercrypto.EncryptionKey(want) {
		t.Fatalf("key %v", k)
	}
}

// What is not signed is computed again, and nothing is lost.
func TestAJumpByHandKeepsNodes(t *testing.T) {
	p := newPeers(t, 2, Options{})
	p.append(0, opAdd(p.bases[1].LocalKey(), true))
	p.sync()
	for _, b := range p.bases {
		if err := b.Ack(context.Background()); err != nil {
			t.Fatal(err)
		}
		p.sync()
	}
	p.append(0, opLog("one"))
	p.append(1, opLog("two"), opPut("k", "v"))
	p.sync()
	before := p.bases[1].Status()
	if before.Tip == before.Signed {
		t.Fatal("everything is signed")
	}
	if err := p.bases[1].FastForward(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.bases[1].Update(context.Background()); err != nil {
		t.Fatal(err)
	}
	if after := p.bases[1].Status(); after.Hash != before.Hash || after.Signed != before.Signed {
		t.Fatalf("%+v became %+v", before, after)
	}
	p.append(1, opLog("three"))
	p.sync()
	if p.bases[0].Status().Hash != p.bases[1].Status().Hash {
		t.Fatal("peers differ")
	}
}
