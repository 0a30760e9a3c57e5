package space

import (
	"bytes"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/autobase"
	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/identitykey"
)

func someClaim() *claim {
	h := newHuman("Ada")
	c := &claim{log: hypercrypto.Key{1}, blobs: hypercrypto.Key{2}, box: hypercrypto.BoxPublicKey{3}, alwaysOn: true, personName: "Ada", deviceName: "laptop"}
	c.proof, _ = h.badge().Attest(c.signedData(hypercrypto.DiscoveryKey{4}))
	return c
}

func someActions() []action {
	c := someClaim()
	i := blindpairing.NewInvite(hypercrypto.Key{5})
	candidate, err := blindpairing.NewCandidate(i, c.appendTo(nil))
	if err != nil {
		panic(err)
	}
	return []action{
		&createAction{true, "home", c}, &admitAction{claim: c}, &admitAction{invite: i.ID(), receipt: candidate.Receipt(), claim: c},
		&removeAction{hypercrypto.PublicKey{1}}, &removeDeviceAction{hypercrypto.Key{1}}, &leaveAction{}, &roleAction{hypercrypto.PublicKey{1}, Editor},
		&renameAction{"Ada"}, &deviceAction{"laptop", true, 1, hypercrypto.PublicKey{}}, &deviceAction{"phone", false, 1, hypercrypto.PublicKey{4}}, &inviteAction{public: i.KeyPair().Public, role: Viewer, expires: 1 << 33, uses: 3, label: "x", data: []byte{1}},
		&revokeAction{i.ID()}, &setAction{"trash-days", []byte{30}}, &indexerAction{300, true, hypercrypto.Key{1}},
		&rotateAction{7, hypercrypto.Hash{1}, []sealedKey[hypercrypto.Key]{{hypercrypto.Key{1}, []byte{1, 2}}}, []sealedKey[hypercrypto.PublicKey]{{hypercrypto.PublicKey{2}, []byte{3}}}},
		&shareAction{3, hypercrypto.Key{1}, []byte{1}}, &lackAction{[]uint32{1, 1 << 31}},
		&recoverAction{c, autobase.Ref{Key: hypercrypto.Key{8}, Length: 9}, []hypercrypto.Key{{7}}, identitykey.AttestDataAsIdentity(newHuman("x").keys.Identity, nil, time.Now())},
		&mirrorAction{hypercrypto.PublicKey{1}, "m"}, &linkAction{hypercrypto.Key{1}, []byte{1}}, &callAction{hypercrypto.Key{1}, "desktop"},
	}
}

func TestActionsAreReadAsTheyWereWritten(t *testing.T) {
	seen := map[uint64]bool{}
	for _, a := range someActions() {
		b := encodeAction(a)
		got, err := decodeAction(b)
		if err != nil {
			t.Fatalf("action %d: %v", a.kind(), err)
		}
		if !bytes.Equal(encodeAction(got), b) {
			t.Errorf("action %d becomes %+v", a.kind(), got)
		}
		seen[a.kind()] = true
		for i := range b {
			if _, err := decodeAction(b[:i]); err == nil {
				t.Errorf("action %d without its end is one", a.kind())
			}
		}
		if _, err := decodeAction(append(bytes.Clone(b), 0)); err == nil {
			t.Errorf("action %d with more is one", a.kind())
		}
	}
	for k := uint64(0); k < 40; k++ {
		if known := newAction(k) != nil; known != seen[k] {
			t.Errorf("action %d is tested: %v", k, seen[k])
		}
	}
}

func FuzzEnvelope(f *testing.F) {
	e := envelope{level: 1, time: 1 << 50, typ: "notes", body: []byte("a=1")}
	f.Add(e.appendTo(nil), uint64(1))
	f.Add([]byte{9, 1, 2}, uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, level uint64) {
		e, err := decodeEnvelope(b, level)
		if err != nil || e.level > level {
			return
		}
		again, err := decodeEnvelope(e.appendTo(nil), level)
		if err != nil || again.typ != e.typ || again.time != e.time || !bytes.Equal(again.body, e.body) {
			t.Fatalf("%+v becomes %+v, %v", e, again, err)
		}
	})
}

func FuzzAction(f *testing.F) {
	for _, a := range someActions() {
		f.Add(encodeAction(a))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := decodeAction(b)
		if err != nil {
			return
		}
		once := encodeAction(a)
		again, err := decodeAction(once)
		if err != nil || !bytes.Equal(encodeAction(again), once) {
			t.Fatalf("%+v becomes %+v, %v", a, again, err)
		}
	})
}

func FuzzRecords(f *testing.F) {
	f.Add((&person{role: Owner, name: "Ada", epoch: 1, since: 2}).appendTo(nil))
	f.Add((&device{name: "x", level: 1, proof: []byte{1}}).appendTo(nil))
	f.Add((&device{name: "x", level: 1, proof: []byte{1}, node: hypercrypto.PublicKey{2}}).appendTo(nil))
	f.Add((&invite{inviteAction: inviteAction{role: Viewer, label: "x"}, used: 3}).appendTo(nil))
	f.Add(deviceKeys{epoch: 1, lacks: []uint32{2, 3}}.appendTo(nil))
	f.Add((&entry{length: 1, count: 2, time: 3, typ: "notes"}).appendTo(nil))
	f.Add((&Preview{"plans", "Ada", Editor, true}).appendTo(nil))
	f.Add((&spaceLink{name: "plans", epochs: []hypercrypto.EncryptionKey{{1}}}).appendTo(nil))
	f.Add((&Record{Name: "plans", Encryption: &hypercrypto.EncryptionKey{1}, namespace: "x"}).appendTo(nil))
	f.Add(appendKeyList([]byte{keysVersion}, []hypercrypto.EncryptionKey{{1}, {2}}))
	f.Add(someClaim().appendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = decodePerson(b)
		_, _ = decodeDevice(b)
		_, _ = decodeInvite(b)
		_, _ = decodeEntry(b)
		_, _ = decodePreview(b)
		_, _ = decodeRecord(b)
		_, _ = decodeNumber(b)
		_, _ = decodeDeviceKeys(b)
		_, _ = decodeKeys(b)
		if c, err := decodeClaim(b); err == nil {
			if again, err := decodeClaim(c.appendTo(nil)); err != nil || again.log != c.log {
				t.Fatalf("claim: %v", err)
			}
		}
		if k, err := decodeSpaceLink(b); err == nil {
			if again, err := decodeSpaceLink(k.appendTo(nil)); err != nil || len(again.epochs) != len(k.epochs) {
				t.Fatalf("link: %v", err)
			}
		}
	})
}

// Claims of devices that are several devices away from their person fit, without names
// if need be.
func TestClaimsFitIntoRequests(t *testing.T) {
	ada := newHuman("Ada")
	b := ada.badge()
	long := string(bytes.Repeat([]byte("é"), MaxName/2))
	for n := 1; ; n++ {
		c := &claim{personName: long, deviceName: long}
		var err error
		if c.proof, err = b.Attest(c.signedData(hypercrypto.DiscoveryKey{})); err != nil {
			t.Fatal(err)
		}
		if err := c.fit(); err != nil {
			if n < 6 {
				t.Errorf("%d devices do not fit: %v", n, err)
			}
			return
		}
		enc := c.appendTo(nil)
		if len(enc) > blindpairing.MaxUserData {
			t.Errorf("%d devices take %d bytes", n, len(enc))
		}
		if _, err := decodeClaim(enc); err != nil {
			t.Errorf("%d devices: %v", n, err)
		}
		if n == 1 && (c.personName != long || c.deviceName != long) {
			t.Error("names are cut though there is room")
		}
		b = b.vouch(t)
	}
}
