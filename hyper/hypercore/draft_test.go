package hypercore

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/storage"
)

func draftStore(t testing.TB) *storage.DB {
	t.Helper()
	db, err := storage.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func openDraftLog(t testing.TB, db *storage.DB, o *Options) *Core {
	t.Helper()
	c, err := Open(context.Background(), db, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestDraftBehavesLikeALog(t *testing.T) {
	db := draftStore(t)
	rapid.Check(t, func(rt *rapid.T) {
		ctx := context.Background()
		core := openDraftLog(t, db, nil)
		var want []string
		for i := range rapid.IntRange(0, 9).Draw(rt, "stored") {
			want = append(want, fmt.Sprint("stored", i))
			if _, err := core.Append(ctx, []byte(want[i])); err != nil {
				rt.Fatal(err)
			}
		}
		d, err := core.Draft(core.Length())
		if err != nil {
			rt.Fatal(err)
		}
		for step := range rapid.IntRange(1, 20).Draw(rt, "steps") {
			if rapid.Bool().Draw(rt, "cut") {
				n := rapid.IntRange(0, len(want)).Draw(rt, "to")
				if err := d.Truncate(ctx, uint64(n), nil); err != nil {
					rt.Fatal(err)
				}
				want = want[:n]
			} else {
				b := fmt.Sprint("block", step)
				if _, err := d.Append(ctx, []byte(b)); err != nil {
					rt.Fatal(err)
				}
				want = append(want[:len(want):len(want)], b)
			}
			twin := openDraftLog(t, db, nil)
			for _, b := range want {
				if _, err := twin.Append(ctx, []byte(b)); err != nil {
					rt.Fatal(err)
				}
			}
			if d.Length() != twin.Length() || d.TreeHash() != twin.TreeHash() {
				rt.Fatalf("draft of %d blocks has another tree than a log of the same %d blocks", d.Length(), twin.Length())
			}
			snap, err := d.Snapshot()
			if err != nil {
				rt.Fatal(err)
			}
			for i, b := range want {
				if got, err := snap.Get(ctx, uint64(i)); err != nil || string(got) != b {
					rt.Fatalf("block %d is %q (%v), not %q", i, got, err, b)
				}
			}
		}
	})
}

func TestCommittedDraftIsTheLog(t *testing.T) {
	ctx := context.Background()
	db := draftStore(t)
	pairs := []*hypercrypto.KeyPair{hypercrypto.NewKeyPair(), hypercrypto.NewKeyPair(), hypercrypto.NewKeyPair()}
	m := &hypercrypto.Manifest{Version: 1, AllowPatch: true, Quorum: 2}
	for _, kp := range pairs {
		m.Signers = append(m.Signers, hypercrypto.Signer{Namespace: hypercrypto.DefaultNamespace(), PublicKey: kp.Public})
	}
	core := openDraftLog(t, db, &Options{Manifest: m})
	d, err := core.Draft(0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 9 {
		if _, err := d.Append(ctx, []byte(fmt.Sprint("block", i))); err != nil {
			t.Fatal(err)
		}
	}
	part := func(signer int, signed, at uint64) hypercrypto.PartialSignature {
		st, err := d.TreeAt(signed)
		if err != nil {
			t.Fatal(err)
		}
		msg := st.Signable(core.Key())
		p := hypercrypto.PartialSignature{Signer: uint64(signer), Signature: pairs[signer].Sign(msg[:]), Patch: signed - at}
		if signed > at {
			if p.Nodes, err = d.Growth(at, signed); err != nil {
				t.Fatal(err)
			}
		}
		return p
	}
	sig := hypercrypto.Assemble([]hypercrypto.PartialSignature{part(0, 5, 5), part(2, 8, 5)})
	bad := append([]byte(nil), sig...)
	bad[20] ^= 1
	if err := CommitDrafts(ctx, []DraftCommit{{Draft: d, Length: 5, Signature: bad}}); err == nil {
		t.Fatal("a wrong signature was taken")
	}
	if err := CommitDrafts(ctx, []DraftCommit{{Draft: d, Length: 5, Signature: sig}}, UserRecord{Core: core, Key: "k", Value: []byte("v")}); err != nil {
		t.Fatal(err)
	}
	if v, err := core.UserData("k"); err != nil || string(v) != "v" {
		t.Fatalf("the record is %q, %v", v, err)
	}
	if core.Length() != 5 || d.Length() != 9 {
		t.Fatalf("the log has %d blocks and the draft %d", core.Length(), d.Length())
	}
	for i := range uint64(9) {
		if b, err := d.Get(ctx, i); err != nil || string(b) != fmt.Sprint("block", i) {
			t.Fatalf("block %d of the draft is %q, %v", i, b, err)
		}
		if b, err := core.GetLocal(i); i < 5 && (err != nil || string(b) != fmt.Sprint("block", i)) {
			t.Fatalf("block %d of the log is %q, %v", i, b, err)
		}
	}
	r, err := core.Audit(ctx, nil)
	if err != nil || !r.OK() {
		t.Fatalf("audit: %+v, %v", r, err)
	}
	// The rest goes to a log whose prologue it is.
	next := &hypercrypto.Manifest{Version: 1, AllowPatch: true, Quorum: 1, Signers: m.Signers[:1],
		Prologue: &hypercrypto.Prologue{Hash: d.TreeHash(), Length: d.Length()}}
	to := openDraftLog(t, db, &Options{Manifest: next})
	if err := d.Rebase(ctx, to); err != nil {
		t.Fatal(err)
	}
	if to.Length() != 9 || to.TreeHash() != d.TreeHash() || d.Key() != to.Key() {
		t.Fatalf("the new log has %d blocks", to.Length())
	}
	if r, err := to.Audit(ctx, nil); err != nil || !r.OK() {
		t.Fatalf("audit of the new log: %+v, %v", r, err)
	}
	if _, err := d.Append(ctx, []byte("more")); err != nil {
		t.Fatal(err)
	}
	if b, err := d.Get(ctx, 3); err != nil || string(b) != "block3" {
		t.Fatalf("block 3 is %q, %v", b, err)
	}
	// Another content under a prologue is refused.
	if err := d.Rebase(ctx, to); !errors.Is(err, ErrKeyMismatch) {
		t.Fatalf("a draft of other blocks was put on the log: %v", err)
	}
}

// A peer sent a longer head than the draft has, and no blocks. As long as nothing tells
// whether the draft is a part of that, neither it nor what comes with it is stored: a
// record must not name a length whose roots are not there.
func TestADraftBehindItsLogIsCommittedLater(t *testing.T) {
	ctx := t.Context()
	db := draftStore(t)
	w := openDraftLog(t, draftStore(t), nil)
	key := w.Key()
	core := openDraftLog(t, db, &Options{Key: &key})
	d, err := core.Draft(0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 11 {
		if _, err := w.Append(ctx, fmt.Append(nil, "block", i)); err != nil {
			t.Fatal(err)
		}
	}
	defer join(t, core, w)()
	if _, err := core.Get(ctx, 10); err != nil {
		t.Fatal(err)
	}
	commit := func(length uint64) error {
		return CommitDrafts(ctx, []DraftCommit{{Draft: d, Length: length, Checked: true}}, UserRecord{Core: core, Key: "k", Value: []byte("v")})
	}
	for i := range 11 {
		if _, err := d.Append(ctx, fmt.Append(nil, "block", i)); err != nil {
			t.Fatal(err)
		}
		if i != 6 {
			continue
		}
		if err := commit(7); !errors.Is(err, ErrDraftBehind) {
			t.Fatalf("7 of 11 blocks: %v", err)
		}
		if v, err := core.UserData("k"); err != nil || v != nil {
			t.Fatalf("the record is %q, %v", v, err)
		}
	}
	if err := commit(7); err != nil {
		t.Fatal(err)
	}
	again, err := core.Draft(7)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := again.GetRaw(WithoutPeers(ctx, func(*MissingError) {}), 3); err != nil || string(b) != "block3" {
		t.Fatalf("block 3 is %q, %v", b, err)
	}
}
