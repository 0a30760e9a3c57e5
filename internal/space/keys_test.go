package space

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
)

// until waits until something holds.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// waitRemoved waits until a device reads that it was removed.
func waitRemoved(t testing.TB, s *Space) {
	t.Helper()
	until(t, "to be removed", func() bool { return roleOf(t, s) == 0 })
}

// lengthAt returns how much of a log is known at a device.
func lengthAt(t testing.TB, s *Space, log hypercrypto.Key) uint64 {
	t.Helper()
	c, err := s.store.Get(t.Context(), corestore.GetOptions{Key: &log, Passive: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.Length()
}

// waitLog waits until a space has all that another device wrote.
func waitLog(t testing.TB, s, of *Space) {
	t.Helper()
	until(t, "a log", func() bool { return lengthAt(t, s, of.Log()) == lengthAt(t, of, of.Log()) })
	if err := s.Update(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func epochOf(t testing.TB, s *Space) uint64 {
	t.Helper()
	k, err := s.keyState(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return k.epoch
}

// readable tells whether any stored block of some machines has a text, for somebody with
// the encryption key of a space and the keys of a ring.
func readable(t testing.TB, s *Space, keys hypercrypto.KeyRing, text string, machines ...*machine) bool {
	t.Helper()
	base, secret := s.Key(), *s.Record().Encryption
	var zero [][32]byte
	for _, name := range []string{viewName, "_system", "_encryption"} {
		ns := hypercrypto.Namespace("autobase", 1)
		zero = append(zero, hypercrypto.Sum(ns[:], base[:], secret[:], []byte(name)))
	}
	devices, err := s.Devices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range devices {
		for _, k := range []hypercrypto.Key{d.Log, d.Blobs} {
			zero = append(zero, hypercrypto.DeriveBlockKey(secret, k, false))
		}
	}
	var schemes []hypercrypto.BlockEncryption
	for _, z := range zero {
		none := func() uint32 { return 0 }
		schemes = append(schemes, hypercrypto.BlockKeyEncryption(z), hypercrypto.EpochEncryption(z, keys, none))
	}
	for _, m := range machines {
		for dk, err := range m.store.List() {
			if err != nil {
				t.Fatal(err)
			}
			c, err := m.store.Get(t.Context(), corestore.GetOptions{DiscoveryKey: &dk, Passive: true})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for i := range c.Length() {
				if !c.Has(i, i+1) {
					continue
				}
				b, err := c.GetRaw(t.Context(), i)
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Contains(b, []byte(text)) {
					return true
				}
				for _, e := range schemes {
					plain := bytes.Clone(b)
					if e.Decrypt(i, plain) == nil && bytes.Contains(plain, []byte(text)) {
						return true
					}
				}
			}
		}
	}
	return false
}

func TestRemovalChangesTheKeys(t *testing.T) {
	ada, bob, cyd := newHuman("Ada"), newHuman("Bob"), newHuman("Cyd")
	a, b, c := newMachine(t, ada, "laptop"), newMachine(t, bob, "phone"), newMachine(t, cyd, "pc")
	s := a.create("plans")
	connect(t, a, b, c)
	x, y := b.joinRole(s, Editor), c.joinRole(s, Viewer)
	write(t, x, "b=1")
	agree(t, s, x, y)
	if _, err := s.BlobLog().Append(t.Context(), []byte("contents from before")); err != nil {
		t.Fatal(err)
	}
	if n := s.base.KeyEpoch(); n != 0 {
		t.Fatalf("epoch %d before anybody is removed", n)
	}
	if err := s.Remove(t.Context(), bob.key()); err != nil {
		t.Fatal(err)
	}
	if epochOf(t, s) != 1 || s.base.KeyEpoch() == 0 {
		t.Fatalf("epoch %d", epochOf(t, s))
	}
	write(t, s, "secret=after")
	blob, err := s.BlobLog().Append(t.Context(), []byte("contents from after"))
	if err != nil {
		t.Fatal(err)
	}
	agree(t, s, y)
	wantNotes(t, y, "b=1", "secret=after")
	contents, err := y.BlobLogOf(t.Context(), s.BlobLog().Key())
	if err != nil {
		t.Fatal(err)
	}
	defer contents.Close()
	if got, err := contents.Get(patient(t), blob-1); err != nil || string(got) != "contents from after" {
		t.Fatalf("%q, %v", got, err)
	}
	// The one who was removed has everything and reads nothing of it.
	waitRemoved(t, x)
	waitLog(t, x, s)
	wantNotes(t, x, "b=1")
	contents, err = x.BlobLogOf(t.Context(), s.BlobLog().Key())
	if err != nil {
		t.Fatal(err)
	}
	defer contents.Close()
	for i, want := range []bool{true, false} {
		got, err := contents.Get(patient(t), uint64(i))
		var unknown *hypercrypto.UnknownKeyError
		if want != (err == nil) || !want && !errors.As(err, &unknown) {
			t.Errorf("contents %d: %q, %v", i, got, err)
		}
	}
	_, err = x.Append(t.Context(), "notes", []byte("c=1"))
	wantKind(t, err, fault.Permission)
	// Restarts.
	for _, m := range []*machine{a, b, c} {
		m.restart()
	}
	connect(t, a, b, c)
	s, x, y = a.get("plans"), b.get("plans"), c.get("plans")
	write(t, s, "later=1")
	if err := y.Rename(t.Context(), "another name"); err != nil {
		t.Fatal(err)
	}
	agree(t, s, y)
	wantNotes(t, y, "b=1", "later=1", "secret=after")
	wantNotes(t, x, "b=1")
	// With the keys of the one who was removed nothing of it is readable anywhere.
	for text, before := range map[string]bool{"b=1": true, "contents from before": true,
		"secret": false, "after": false, "later": false, "contents from after": false, "another name": false} {
		for _, r := range []struct {
			*Space
			reads bool
		}{{s, true}, {x, before}} {
			if got := readable(t, s, r.ring, text, a, b, c); got != r.reads {
				t.Errorf("%q is readable with %d keys: %v", text, r.ring.len(), got)
			}
		}
	}
}

func TestADeviceThatComesLaterGetsAllKeys(t *testing.T) {
	ada, bob, cyd, dan := newHuman("Ada"), newHuman("Bob"), newHuman("Cyd"), newHuman("Dan")
	a, b, c, d := newMachine(t, ada, "laptop"), newMachine(t, bob, "phone"), newMachine(t, cyd, "pc"), newMachine(t, dan, "tablet")
	s := a.create("plans")
	connect(t, a, b, c, d)
	for i, m := range []*machine{b, c} {
		m.joinRole(s, Editor)
		write(t, s, string(rune('a'+i))+"=1")
		if err := s.Remove(t.Context(), []*human{bob, cyd}[i].key()); err != nil {
			t.Fatal(err)
		}
	}
	write(t, s, "z=1")
	if n := epochOf(t, s); n != 2 {
		t.Fatalf("epoch %d", n)
	}
	y := d.joinRole(s, Editor)
	agree(t, s, y)
	wantNotes(t, y, "a=1", "b=1", "z=1")
	write(t, y, "y=1")
	agree(t, s, y)
	// Who comes back is let in again.
	if err := b.Forget(t.Context(), b.get("plans")); err != nil {
		t.Fatal(err)
	}
	x := b.joinRole(s, Editor)
	agree(t, s, x, y)
	wantNotes(t, x, "a=1", "b=1", "y=1", "z=1")
	d.restart()
	connect(t, a, d)
	agree(t, s, d.get("plans"))
}

// Owners who are apart remove different people at once. In the end nobody who was
// removed has the key.
func TestRemovalsApartEndInOneEpoch(t *testing.T) {
	ada, bob, cyd, dan := newHuman("Ada"), newHuman("Bob"), newHuman("Cyd"), newHuman("Dan")
	a, b, c, d := newMachine(t, ada, "laptop"), newMachine(t, bob, "phone"), newMachine(t, cyd, "pc"), newMachine(t, dan, "tablet")
	s := a.create("plans")
	cut := connect(t, a, b, c, d)
	x := b.joinRole(s, Owner)
	y, z := c.joinRole(s, Viewer), d.joinRole(s, Viewer)
	agree(t, s, x, y, z)
	cut()
	if err := s.Remove(t.Context(), cyd.key()); err != nil {
		t.Fatal(err)
	}
	write(t, s, "a=1")
	if err := x.Remove(t.Context(), dan.key()); err != nil {
		t.Fatal(err)
	}
	write(t, x, "b=1")
	connect(t, a, b, c, d)
	until(t, "a common epoch", func() bool {
		k, err := s.keyState(t.Context())
		return err == nil && !k.due && len(k.devices) == 2 && k.epoch > 1
	})
	agree(t, s, x)
	wantNotes(t, x, "a=1", "b=1")
	write(t, s, "c=1")
	agree(t, s, x)
	wantNotes(t, x, "a=1", "b=1", "c=1")
	epoch := s.base.KeyEpoch()
	for _, gone := range []*Space{y, z} {
		waitLog(t, gone, s)
		if _, ok := gone.ring.Key(epoch); ok {
			t.Error("somebody who was removed has the key")
		}
		if slices.Contains(dump(t, gone.View("notes")), "c=1") {
			t.Error("somebody who was removed reads")
		}
	}
}

// What an owner writes who was made an editor meanwhile, and changed the keys before
// knowing, is read.
func TestAnOwnerWhoIsNoneMeanwhileIsRead(t *testing.T) {
	for range 3 { // the order depends on random keys
		ada, bob, cyd, dan := newHuman("Ada"), newHuman("Bob"), newHuman("Cyd"), newHuman("Dan")
		a, b, c, d := newMachine(t, ada, "laptop"), newMachine(t, bob, "phone"), newMachine(t, cyd, "pc"), newMachine(t, dan, "tablet")
		s := a.create("plans")
		cut := connect(t, a, b, c)
		x := b.joinRole(s, Owner)
		y := c.joinRole(s, Viewer)
		agree(t, s, x, y)
		cut()
		if err := s.SetRole(t.Context(), bob.key(), Editor); err != nil {
			t.Fatal(err)
		}
		write(t, s, "a=1")
		if err := x.Remove(t.Context(), cyd.key()); err != nil {
			t.Fatal(err)
		}
		write(t, x, "b=1")
		connect(t, a, b, d)
		agree(t, s, x)
		wantNotes(t, s, "a=1", "b=1")
		write(t, x, "b=2")
		agree(t, s, x)
		wantNotes(t, s, "a=1", "b=2")
		z := d.joinRole(s, Editor)
		agree(t, s, x, z)
		wantNotes(t, z, "a=1", "b=2")
	}
}

// A member lets somebody in and does not know that the keys changed.
func TestAnInviteMayCrossAChangeOfKeys(t *testing.T) {
	ada, bob, cyd, dan := newHuman("Ada"), newHuman("Bob"), newHuman("Cyd"), newHuman("Dan")
	a, b, c, d := newMachine(t, ada, "laptop"), newMachine(t, bob, "phone"), newMachine(t, cyd, "pc"), newMachine(t, dan, "tablet")
	s := a.create("plans")
	cut := connect(t, a, b, c)
	x := b.joinRole(s, Editor)
	c.joinRole(s, Viewer)
	i := inviteTo(t, s, InviteOptions{Role: Editor})
	agree(t, s, x)
	cut()
	if err := s.Remove(t.Context(), cyd.key()); err != nil {
		t.Fatal(err)
	}
	write(t, s, "a=1")
	connect(t, b, d)
	y := d.join(i)
	write(t, y, "y=1")
	agree(t, x, y)
	connect(t, a, b, d)
	agree(t, s, x, y)
	wantNotes(t, y, "a=1", "y=1")
	write(t, y, "z=1")
	agree(t, s, x, y)
}

func TestTheNextDeviceOfAPersonReadsAfterAChangeOfKeys(t *testing.T) {
	ada, bob, cyd := newHuman("Ada"), newHuman("Bob"), newHuman("Cyd")
	a, b, c := newMachine(t, ada, "laptop"), newMachine(t, bob, "phone"), newMachine(t, cyd, "pc")
	bobs := b.badge.vouch(t)
	b2 := newMachineOf(t, bob, bobs, "tablet")
	s := a.create("plans")
	connect(t, a, b, c, b2)
	c.joinRole(s, Viewer)
	if err := s.Remove(t.Context(), cyd.key()); err != nil {
		t.Fatal(err)
	}
	home, err := b.CreateHome(t.Context(), "home")
	if err != nil {
		t.Fatal(err)
	}
	// The person joins when there is a key already, so that the home has to have it.
	x := b.joinRole(s, Editor)
	agree(t, s, x)
	b2.joinRole(home, Owner)
	until(t, "the space to come by the home", func() bool { _, err := b2.Get("plans"); return err == nil })
	y := b2.get("plans")
	if err := y.WaitMember(patient(t)); err != nil {
		t.Fatal(err)
	}
	write(t, y, "y=1")
	agree(t, s, x, y)
}

// All devices of the owners are lost after the keys changed. Copies that others have,
// who cannot help, and the phrase are enough.
func TestThePhraseOpensTheKeys(t *testing.T) {
	ada, bob, cyd := newHuman("Ada"), newHuman("Bob"), newHuman("Cyd")
	a, b, c := newMachine(t, ada, "laptop"), newMachine(t, bob, "phone"), newMachine(t, cyd, "pc")
	s := a.create("plans")
	write(t, s, "a=1")
	cut := connect(t, a, b, c)
	x := b.joinRole(s, Viewer)
	for range 2 {
		z := c.joinRole(s, Viewer)
		if err := s.Remove(t.Context(), cyd.key()); err != nil {
			t.Fatal(err)
		}
		if err := c.Forget(t.Context(), z); err != nil {
			t.Fatal(err)
		}
	}
	write(t, s, "a=2")
	agree(t, s, x)
	cut()
	a.close()

	ada.at = ada.at.Add(5e9)
	n := newMachine(t, ada, "new laptop")
	connect(t, b, n)
	y, err := n.add(t.Context(), Record{Name: "plans", Key: x.Key(), Encryption: x.Record().Encryption, namespace: "n"})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "a key to be missing", func() bool { return len(y.base.Status().Missing) > 0 })
	lost := s.Log()
	until(t, "the log of the lost device", func() bool { return lengthAt(t, y, lost) == lengthAt(t, x, lost) })
	if err := y.Unlock(patient(t), ada.keys); err != nil {
		t.Fatal(err)
	}
	agree2(t, x, y)
	if err := y.Recover(patient(t), ada.keys, []hypercrypto.Key{lost}); err != nil {
		t.Fatal(err)
	}
	wantNotes(t, y, "a=2")
	write(t, y, "n=1")
	agree(t, x, y)
	wantNotes(t, x, "a=2", "n=1")
	// The device that was lost gets nothing any more.
	until(t, "another epoch", func() bool { return epochOf(t, y) == 3 })
	write(t, y, "n=2")
	agree(t, x, y)
	n.restart()
	connect(t, b, n)
	y = n.get(y.Key().String())
	write(t, y, "n=3")
	agree(t, x, y)
}

func TestALinkHasTheKeys(t *testing.T) {
	ada, bob, cyd := newHuman("Ada"), newHuman("Bob"), newHuman("Cyd")
	a, b, c := newMachine(t, ada, "laptop"), newMachine(t, bob, "phone"), newMachine(t, cyd, "pc")
	s := a.create("plans")
	connect(t, a, b, c)
	b.joinRole(s, Viewer)
	if err := s.Remove(t.Context(), bob.key()); err != nil {
		t.Fatal(err)
	}
	write(t, s, "a=1")
	y, err := c.OpenLink(t.Context(), s.Link(), "", false)
	if err != nil {
		t.Fatal(err)
	}
	agree(t, s, y)
	wantNotes(t, y, "a=1")
	for _, text := range []string{"", "cloudpal://space/yb", s.Link()[:60], "hyper://abc"} {
		if _, err := c.OpenLink(t.Context(), text, "x", false); fault.KindOf(err) != fault.Usage {
			t.Errorf("link %q: %v", text, err)
		}
	}
}

func TestKeysAreKept(t *testing.T) {
	ctx := context.Background()
	store, err := corestore.Open(ctx, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	core, err := store.Get(ctx, corestore.GetOptions{Name: "blobs"})
	if err != nil {
		t.Fatal(err)
	}
	defer core.Close()
	open := func() *ring {
		r, err := openRing(core, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := open()
	learned := 0
	r.learn = func() { learned++ }
	keys := []hypercrypto.EncryptionKey{newEpochKey(), newEpochKey(), newEpochKey()}
	number := func(i int) uint32 { return epochNumber(epochHash(keys[i])) }
	r.offer(keys[0])
	if _, ok := r.Key(number(0)); ok || learned != 0 {
		t.Fatal("a key counts that nobody wants")
	}
	r.want(epochHash(keys[0]))
	r.want(epochHash(keys[1]))
	if _, ok := r.Key(number(1)); ok {
		t.Fatal("a key that nobody has")
	}
	r.offer(keys...)
	if err := r.add(keys[0], keys[1]); err != nil || learned != 2 {
		t.Fatalf("learned %d times, %v", learned, err)
	}
	for _, r := range []*ring{r, open()} {
		if got := r.all(); !slices.Equal(got, keys[:2]) {
			t.Fatalf("%d keys", len(got))
		}
		for i := range 3 {
			if k, ok := r.Key(number(i)); ok != (i < 2) || ok && k != keys[i] {
				t.Errorf("key %d: %v", i, ok)
			}
		}
	}
}

func FuzzKeys(f *testing.F) {
	f.Add(appendKeyList([]byte{keysVersion}, []hypercrypto.EncryptionKey{{1}, {2}}))
	f.Add([]byte{1, 255, 255, 255, 255, 255, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := decodeKeys(b)
		if err != nil {
			return
		}
		again, err := decodeKeys(appendKeyList([]byte{keysVersion}, keys))
		if err != nil || !slices.Equal(again, keys) {
			t.Fatalf("%d keys became %d, %v", len(keys), len(again), err)
		}
	})
}

func FuzzKeyActions(f *testing.F) {
	box := hypercrypto.NewBoxKeyPair()
	devices := []named[hypercrypto.Key, device]{{hypercrypto.Key{1}, &device{box: box.Public}}}
	f.Add(encodeAction(newRotation(2, devices, []hypercrypto.PublicKey{hypercrypto.NewKeyPair().Public})))
	f.Add(encodeAction(&shareAction{epoch: 3, log: hypercrypto.Key{4}, box: []byte("box")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		act, err := decodeAction(b)
		if err != nil {
			return
		}
		switch act.(type) {
		case *rotateAction, *shareAction:
			again := encodeAction(act)
			if twice, err := decodeAction(again); err != nil || !bytes.Equal(encodeAction(twice), again) {
				t.Fatalf("%x became %x, %v", b, again, err)
			}
		}
	})
}

// A rotation that does not count, because its author had not heard of somebody who was let
// in before it, is for all others. Who was let in asks for the key.
func TestWhoARotationForgotAsksForTheKey(t *testing.T) {
	ada, bob, cyd, dan := newHuman("Ada"), newHuman("Bob"), newHuman("Cyd"), newHuman("Dan")
	a, b, c, d := newMachine(t, ada, "laptop"), newMachine(t, bob, "phone"), newMachine(t, cyd, "pc"), newMachine(t, dan, "tablet")
	s := a.create("plans")
	cut := connect(t, a, b, c)
	x := b.joinRole(s, Owner)
	y := c.joinRole(s, Viewer)
	i := inviteTo(t, s, InviteOptions{Role: Editor})
	agree(t, s, x, y)
	cut()
	if err := x.Remove(t.Context(), cyd.key()); err != nil {
		t.Fatal(err)
	}
	write(t, x, "b=1")
	connect(t, a, d)
	z := d.join(i) // the laptop confirms: this comes first
	connect(t, a, b, d)
	until(t, "the same notes", func() bool { return len(dump(t, z.View("notes"))) == 1 })
	agree(t, s, x, z)
	wantNotes(t, z, "b=1")
	write(t, x, "b=2")
	agree(t, s, x, z)
	wantNotes(t, z, "b=2")
}

// An owner changed the keys and was removed meanwhile. What others wrote with the new key,
// who had not heard of that, is read.
func TestTheKeyOfAnOwnerWhoWasRemovedIsKnown(t *testing.T) {
	ada, bob, cyd, eve := newHuman("Ada"), newHuman("Bob"), newHuman("Cyd"), newHuman("Eve")
	a, b, c, e := newMachine(t, ada, "laptop"), newMachine(t, bob, "phone"), newMachine(t, cyd, "pc"), newMachine(t, eve, "tablet")
	a.SetDevice("laptop", true)
	s := a.create("plans")
	cut := connect(t, a, b, c, e)
	x, y, z := b.joinRole(s, Owner), c.joinRole(s, Viewer), e.joinRole(s, Viewer)
	agree(t, s, x, y, z)
	if err := s.SetRole(t.Context(), eve.key(), Editor); err != nil {
		t.Fatal(err)
	}
	agree(t, s, x, y, z)
	cut()
	if err := x.Remove(t.Context(), cyd.key()); err != nil {
		t.Fatal(err)
	}
	cut = connect(t, b, e)
	agree(t, x, z)
	write(t, z, "e=1")
	agree(t, x, z)
	cut()
	if err := s.Remove(patient(t), bob.key()); err != nil {
		t.Fatal(err)
	}
	connect(t, a, e)
	agree(t, s, z)
	wantNotes(t, s, "e=1")
	wantNotes(t, z, "e=1")
	if st := s.base.Status(); len(st.Missing) > 0 {
		t.Errorf("keys are missing: %+v", st.Missing)
	}
}

// A device that was removed and opens the space again does not write in vain.
func TestARemovedDeviceDoesNotTryToEnter(t *testing.T) {
	ada := newHuman("Ada")
	a := newMachine(t, ada, "laptop")
	b := newMachineOf(t, ada, a.badge.vouch(t), "phone")
	s := a.create("plans")
	connect(t, a, b)
	x := b.joinRole(s, Owner)
	agree(t, s, x)
	if err := s.RemoveDevice(patient(t), x.Log()); err != nil {
		t.Fatal(err)
	}
	if err := b.Forget(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	x, err := b.OpenLink(t.Context(), s.Link(), "plans", false)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the removal", func() bool { return x.Version() >= s.Version() })
	before := lengthAt(t, x, x.Log())
	for range 3 {
		if err := (&steward{s: x, due: make(map[string]time.Time)}).enter(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := lengthAt(t, x, x.Log()); n != before {
		t.Errorf("%d nodes in vain", n-before)
	}
}
