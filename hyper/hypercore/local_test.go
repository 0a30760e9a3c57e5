package hypercore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/storage"
)

func TestOpenDecidesTheKey(t *testing.T) {
	db := openDB(t)
	kp := seeded(1)
	plain := openCore(t, db, &Options{KeyPair: kp})
	v2 := openCore(t, db, &Options{KeyPair: kp, ManifestVersion: 2})
	compat := openCore(t, db, &Options{KeyPair: kp, Compat: true})
	if plain.Key() == v2.Key() || plain.Key() == compat.Key() {
		t.Error("versions and compat must give different keys")
	}
	if compat.Key() != hypercrypto.Key(kp.Public) {
		t.Error("the key of a compat log is its public key")
	}
	for _, c := range []*Core{plain, v2, compat} {
		mustAppend(t, c, []byte("x"))
	}
	random, other := openCore(t, db, nil), openCore(t, db, nil)
	if random.Key() == other.Key() || !random.Writable() {
		t.Error("new logs are writable and have keys of their own")
	}
}

func TestOpenErrors(t *testing.T) {
	db := openDB(t)
	key := hypercrypto.Key{1, 2, 3}
	dk := key.Discovery()
	enc := hypercrypto.EncryptionKey{1}
	for name, tc := range map[string]struct {
		o    Options
		want error
	}{
		"absent":        {Options{Key: &key, MustExist: true}, ErrNotFound},
		"discovery key": {Options{DiscoveryKey: &dk}, ErrNotFound},
		"wrong manifest": {Options{Key: &key, Manifest: hypercrypto.DefaultManifest(seeded(1).Public)},
			ErrKeyMismatch},
		"two encryptions": {Options{EncryptionKey: &enc, Encryption: hypercrypto.BlockKeyEncryption([32]byte{1})}, nil},
		"version":         {Options{KeyPair: seeded(1), ManifestVersion: 9}, nil},
	} {
		_, err := Open(t.Context(), db, &tc.o)
		if err == nil || tc.want != nil && !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReopenKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	var key hypercrypto.Key
	var hash hypercrypto.Hash
	for round := range 3 {
		db, err := storage.Open(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		o := &Options{KeyPair: seeded(3)}
		if round > 0 {
			o = &Options{Key: &key} // the key pair is stored
		}
		c, err := Open(t.Context(), db, o)
		if err != nil {
			t.Fatal(err)
		}
		if round > 0 && (c.TreeHash() != hash || c.Length() != uint64(10*round)) {
			t.Errorf("round %d: %d blocks, hash %s", round, c.Length(), c.TreeHash())
		}
		mustAppend(t, c, testBlocks(10*round, 10*round+10)...)
		key, hash = c.Key(), c.TreeHash()
		if err := c.SetUserData("k", []byte{byte(round)}); err != nil {
			t.Fatal(err)
		}
		if v, err := c.UserData("k"); err != nil || !bytes.Equal(v, []byte{byte(round)}) {
			t.Errorf("user data %v, %v", v, err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEncryptedBlocks(t *testing.T) {
	for _, compat := range []bool{false, true} {
		t.Run(fmt.Sprintf("compat=%v", compat), func(t *testing.T) {
			key := hypercrypto.EncryptionKey(bytes.Repeat([]byte{7}, 32))
			c := openCore(t, openDB(t), &Options{KeyPair: seeded(1), EncryptionKey: &key, Compat: compat})
			mustAppend(t, c, []byte("first"), nil, []byte("third block"))
			for i, want := range []string{"first", "", "third block"} {
				b, err := c.Get(t.Context(), uint64(i))
				if err != nil || string(b) != want {
					t.Errorf("block %d: %q, %v", i, b, err)
				}
				raw, err := c.GetRaw(t.Context(), uint64(i))
				if err != nil || len(raw) != len(want)+8 || want != "" && bytes.Contains(raw, []byte(want)) {
					t.Errorf("stored block %d: %x, %v", i, raw, err)
				}
			}
			if c.ByteLength() != 16 || c.Padding() != 8 {
				t.Errorf("%d bytes, padding %d", c.ByteLength(), c.Padding())
			}
			for off, want := range map[uint64][2]uint64{0: {0, 0}, 4: {0, 4}, 5: {2, 0}, 15: {2, 10}, 16: {3, 0}} {
				b, o, err := c.Seek(t.Context(), off)
				if err != nil || (b != want[0] && !(off == 5 && b == 1)) || o != want[1] {
					t.Errorf("seek %d: %d %d %v", off, b, o, err)
				}
			}
		})
	}
}

func TestTruncateAndAppendAgain(t *testing.T) {
	c := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, c, testBlocks(0, 30)...)
	want := make(map[uint64]hypercrypto.Hash)
	for n := uint64(30); n > 0; n -= 3 {
		want[n] = c.TreeHash()
		if err := c.Truncate(t.Context(), n-3, nil); err != nil {
			t.Fatal(err)
		}
		if c.Length() != n-3 || c.Has(n-3, n-2) {
			t.Fatalf("length %d", c.Length())
		}
	}
	if c.Fork() != 10 {
		t.Errorf("fork %d", c.Fork())
	}
	for n := uint64(3); n <= 30; n += 3 {
		mustAppend(t, c, testBlocks(int(n)-3, int(n))...)
		if c.TreeHash() != want[n] {
			t.Errorf("tree hash at %d differs", n)
		}
	}
	if err := c.Truncate(t.Context(), 31, nil); !errors.Is(err, ErrOutOfRange) {
		t.Errorf("truncate beyond the end: %v", err)
	}
	if err := c.Truncate(t.Context(), 3, &TruncateOptions{Fork: 4}); err == nil {
		t.Error("a lower fork was accepted")
	}
}

func TestClearDropsBlocksAndKeepsTheRest(t *testing.T) {
	c := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, c, testBlocks(0, 40)...)
	hash := c.TreeHash()
	if err := c.Clear(t.Context(), 10, 20); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(40) {
		_, err := c.GetLocal(i)
		if gone := i >= 10 && i < 20; gone != errors.Is(err, ErrNotAvailable) || !gone && err != nil {
			t.Errorf("block %d: %v", i, err)
		}
	}
	if c.TreeHash() != hash || c.ContiguousLength() != 10 || c.Info().Held != 30 {
		t.Errorf("%+v", c.Info())
	}
	var runs [][2]uint64
	for a, b := range c.Held(0, 100) {
		runs = append(runs, [2]uint64{a, b})
	}
	if fmt.Sprint(runs) != "[[0 10] [20 40]]" {
		t.Errorf("held %v", runs)
	}
	rep, err := c.Audit(t.Context(), nil)
	if err != nil || !rep.OK() || rep.Blocks != 30 {
		t.Errorf("audit %+v, %v", rep, err)
	}
}

func TestSnapshotStays(t *testing.T) {
	c := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, c, testBlocks(0, 10)...)
	s, err := c.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	hash := s.TreeHash()
	mustAppend(t, c, testBlocks(10, 20)...)
	if s.Length() != 10 || s.TreeHash() != hash || s.Writable() {
		t.Error("the snapshot moved")
	}
	if _, err := s.Get(t.Context(), 10); !errors.Is(err, ErrOutOfRange) {
		t.Errorf("block beyond the snapshot: %v", err)
	}
	if err := c.Truncate(t.Context(), 5, nil); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, c, []byte("other"))
	if b, err := s.Get(t.Context(), 4); err != nil || !bytes.Equal(b, testBlock(4)) {
		t.Errorf("block 4: %q %v", b, err)
	}
	if b, err := s.Get(t.Context(), 5); !errors.Is(err, ErrTruncated) {
		t.Errorf("block 5: %q %v", b, err)
	}
	if _, err := s.Append(t.Context(), []byte("x")); !errors.Is(err, ErrNotWritable) {
		t.Errorf("append to a snapshot: %v", err)
	}
	early, err := c.SnapshotAt(3)
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	if early.Length() != 3 || early.ByteLength() != 8+15+22 {
		t.Errorf("early snapshot of %d blocks, %d bytes", early.Length(), early.ByteLength())
	}
}

func TestConcurrentAppendsAreJoined(t *testing.T) {
	c := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	const workers, each = 16, 20
	seen := make([]map[uint64]string, workers)
	var wg sync.WaitGroup
	for w := range workers {
		seen[w] = make(map[uint64]string)
		wg.Go(func() {
			for i := range each {
				text := fmt.Sprintf("%d/%d", w, i)
				n, err := c.Append(t.Context(), []byte(text))
				if err != nil {
					t.Error(err)
					return
				}
				seen[w][n-1] = text
			}
		})
	}
	wg.Wait()
	if c.Length() != workers*each {
		t.Fatalf("%d blocks", c.Length())
	}
	for _, m := range seen {
		for i, text := range m {
			if b, err := c.GetLocal(i); err != nil || string(b) != text {
				t.Errorf("block %d is %q, not %q: %v", i, b, text, err)
			}
		}
	}
	if rep, err := c.Audit(t.Context(), nil); err != nil || !rep.OK() {
		t.Errorf("audit %+v, %v", rep, err)
	}
}

func TestAtomicChange(t *testing.T) {
	db := openDB(t)
	a, b := openCore(t, db, &Options{KeyPair: seeded(1)}), openCore(t, db, &Options{KeyPair: seeded(2)})
	mustAppend(t, a, testBlocks(0, 10)...)
	oops := errors.New("changed my mind")
	err := Atomic(t.Context(), []*Core{a, b}, func(tx *Tx) error {
		if _, err := tx.Append(b, []byte("never")); err != nil {
			return err
		}
		return oops
	})
	if !errors.Is(err, oops) || b.Length() != 0 {
		t.Fatalf("%v, %d blocks", err, b.Length())
	}
	err = Atomic(t.Context(), []*Core{b, a}, func(tx *Tx) error {
		if err := tx.Truncate(a, 4); err != nil {
			return err
		}
		if _, err := tx.Append(a, []byte("four"), []byte("five"), []byte("six")); err != nil {
			return err
		}
		if err := tx.Truncate(a, 6); err != nil {
			return err
		}
		if got, err := tx.Get(a, 5); err != nil || string(got) != "five" {
			return fmt.Errorf("inside: %q, %v", got, err)
		}
		if n, err := tx.Append(b, []byte("b0")); err != nil || n != 1 {
			return fmt.Errorf("append: %d, %v", n, err)
		}
		tx.SetUserData(b, "seen", []byte("yes"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if a.Length() != 6 || a.Fork() != 2 || b.Length() != 1 {
		t.Errorf("a has %d blocks on fork %d, b %d", a.Length(), a.Fork(), b.Length())
	}
	for _, c := range []*Core{a, b} {
		if rep, err := c.Audit(t.Context(), nil); err != nil || !rep.OK() {
			t.Errorf("audit %+v, %v", rep, err)
		}
	}
	if v, _ := b.UserData("seen"); string(v) != "yes" {
		t.Errorf("user data %q", v)
	}
}

func TestBranches(t *testing.T) {
	db := openDB(t)
	c := openCore(t, db, &Options{KeyPair: seeded(1)})
	mustAppend(t, c, testBlocks(0, 10)...)
	ctx := t.Context()
	b, err := c.Branch(ctx, "draft", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	mustAppend(t, b, testBlocks(10, 15)...)
	if c.Length() != 10 || b.Length() != 15 {
		t.Fatalf("log %d, branch %d", c.Length(), b.Length())
	}
	if n, err := c.CommitBranch(ctx, b, 0); err != nil || n != 15 {
		t.Fatalf("commit: %d, %v", n, err)
	}
	same := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, same, testBlocks(0, 15)...)
	if c.TreeHash() != same.TreeHash() {
		t.Error("a committed branch is the same as appending")
	}
	// The branch outlives a truncation of the log.
	if err := c.Truncate(ctx, 3, nil); err != nil {
		t.Fatal(err)
	}
	for i := range 15 {
		if got, err := b.GetLocal(uint64(i)); err != nil || !bytes.Equal(got, testBlock(i)) {
			t.Errorf("branch block %d: %q, %v", i, got, err)
		}
	}
	mustAppend(t, c, []byte("elsewhere"))
	if _, err := c.CommitBranch(ctx, b, 0); !errors.Is(err, ErrBranchMoved) {
		t.Errorf("commit of a branch that moved: %v", err)
	}
	if err := b.Truncate(ctx, 2, nil); err != nil || b.Length() != 2 {
		t.Errorf("truncate branch: %d, %v", b.Length(), err)
	}
	mustAppend(t, b, []byte("two"))
	if got, err := b.GetLocal(2); err != nil || string(got) != "two" {
		t.Errorf("branch block 2: %q, %v", got, err)
	}
	again, err := c.Branch(ctx, "draft", &BranchOptions{Overwrite: true})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.Length() != c.Length() || again.TreeHash() != c.TreeHash() {
		t.Error("an overwritten branch starts from the log")
	}
}

func TestSeveralSigners(t *testing.T) {
	signers := []*hypercrypto.KeyPair{seeded(1), seeded(2), seeded(3)}
	in := hypercrypto.ManifestInput{}
	for _, kp := range signers {
		in.Signers = append(in.Signers, hypercrypto.Signer{PublicKey: kp.Public})
	}
	m, err := hypercrypto.NewManifest(in)
	if err != nil {
		t.Fatal(err)
	}
	c := openCore(t, openDB(t), &Options{Manifest: m})
	state, err := c.Signable([]byte("together"))
	if err != nil {
		t.Fatal(err)
	}
	rules, err := hypercrypto.NewVerifier(m.Key(), m)
	if err != nil {
		t.Fatal(err)
	}
	var parts []hypercrypto.PartialSignature
	for _, kp := range signers[:2] {
		p, err := rules.SignPart(state, kp)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, p)
	}
	if _, err := c.AppendSigned(t.Context(), rules.Assemble(parts[:1]), []byte("together")); !errors.Is(err, merkle.ErrSignature) {
		t.Errorf("one of two signatures: %v", err)
	}
	if n, err := c.AppendSigned(t.Context(), rules.Assemble(parts), []byte("together")); err != nil || n != 1 {
		t.Errorf("two of two signatures: %d, %v", n, err)
	}
	if _, err := c.Append(t.Context(), []byte("alone")); err == nil {
		t.Error("appended without signatures")
	}
	key := m.Key()
	r := openCore(t, openDB(t), &Options{Key: &key})
	replicate(t, c, r)
	if b, err := r.Get(timeout(t), 0); err != nil || string(b) != "together" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestPrologue(t *testing.T) {
	src := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, src, testBlocks(0, 5)...)
	m, err := hypercrypto.NewManifest(hypercrypto.ManifestInput{
		Signers:  []hypercrypto.Signer{{PublicKey: seeded(2).Public}},
		Prologue: &hypercrypto.Prologue{Hash: src.TreeHash(), Length: 5},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := openCore(t, openDB(t), &Options{Manifest: m, KeyPair: seeded(2)})
	if err := c.CopyPrologue(t.Context(), src); err != nil {
		t.Fatal(err)
	}
	key := m.Key()
	early := openCore(t, openDB(t), &Options{Key: &key})
	replicate(t, c, early)
	if b, err := early.Get(timeout(t), 3); err != nil || !bytes.Equal(b, testBlock(3)) {
		t.Errorf("%q, %v", b, err)
	}
	mustAppend(t, c, testBlocks(5, 7)...)
	late := openCore(t, openDB(t), &Options{Key: &key})
	replicate(t, c, late)
	for _, i := range []int{6, 2} {
		if b, err := late.Get(timeout(t), uint64(i)); err != nil || !bytes.Equal(b, testBlock(i)) {
			t.Errorf("block %d: %q, %v", i, b, err)
		}
	}
	if b, err := early.Get(timeout(t), 6); err != nil || !bytes.Equal(b, testBlock(6)) {
		t.Errorf("%q, %v", b, err)
	}
	if err := c.Truncate(t.Context(), 4, nil); !errors.Is(err, ErrOutOfRange) {
		t.Errorf("truncate below the prologue: %v", err)
	}
}

func TestWaitingReads(t *testing.T) {
	c := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan string, 1)
	started := make(chan struct{})
	go func() {
		close(started)
		b, err := c.Get(timeout(t), 0)
		got <- fmt.Sprintf("%s %v", b, err)
	}()
	<-started
	mustAppend(t, c, []byte("here"))
	if s := <-got; s != "here <nil>" {
		t.Error(s)
	}
	cancel()
	if _, err := c.Get(ctx, 99); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled get: %v", err)
	}
	other, err := c.Session(nil)
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 1)
	go func() { _, err := other.Get(context.Background(), 99); errs <- err }()
	other.Close()
	if err := <-errs; !errors.Is(err, ErrClosed) {
		t.Errorf("get on a closed handle: %v", err)
	}
	n := 0
	for b, err := range c.Live(timeout(t), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 3 {
			break
		}
		mustAppend(t, c, append(b, '!'))
	}
	if b, _ := c.GetLocal(2); string(b) != "here!!" {
		t.Errorf("live reader and writer made %q", b)
	}
}
