package interop

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// openBee opens the bee of a name or, by key, one of a peer.
func (h *storeHub) openBee(t testing.TB, o corestore.GetOptions, opts *hyperbee.Options) *hyperbee.Tree {
	t.Helper()
	b := hyperbee.New(h.get(t, o), opts)
	t.Cleanup(func() { b.Close() })
	return b
}

func (h *storeHub) remoteBee(t testing.TB, key string, opts *hyperbee.Options) *hyperbee.Tree {
	t.Helper()
	k := parseKey(t, key)
	return h.openBee(t, corestore.GetOptions{Key: &k}, opts)
}

func beeKey(i int) []byte { return fmt.Appendf(nil, "key-%08d", i) }

func beeValue(i, size int) []byte {
	b := fmt.Appendf(nil, "value-%d-", i)
	for len(b) < size {
		b = append(b, 'v')
	}
	return b
}

// fillBee does what the fill command of a peer does.
func fillBee(t testing.TB, b *hyperbee.Tree, start, n, batch, size int) {
	t.Helper()
	ctx := testContext(t)
	for i := start; i < start+n; i += batch {
		w := b.Batch()
		for j := i; j < min(start+n, i+batch); j++ {
			if err := w.Put(ctx, beeKey(j), beeValue(j, size), nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// sumRange sums entries up as js/bee-peer.js does.
func sumRange(t testing.TB, b *hyperbee.Tree, r hyperbee.Range) (n int, digest string) {
	t.Helper()
	h := sha256.New()
	u32 := func(x uint32) { h.Write(binary.LittleEndian.AppendUint32(nil, x)) }
	for e, err := range b.Entries(testContext(t), r) {
		if err != nil {
			t.Fatalf("range after %d entries: %v", n, err)
		}
		n++
		u32(uint32(e.Seq))
		u32(uint32(len(e.Key)))
		h.Write(e.Key)
		if e.Value == nil {
			u32(0xffffffff)
			continue
		}
		u32(uint32(len(e.Value)))
		h.Write(e.Value)
	}
	return n, hex.EncodeToString(h.Sum(nil))
}

// peerRange turns a range into the arguments of a peer.
func peerRange(core string, r hyperbee.Range) Args {
	a := Args{"core": core, "reverse": r.Reverse}
	for name, b := range map[string][]byte{"gt": r.GT, "gte": r.GTE, "lt": r.LT, "lte": r.LTE} {
		if b != nil {
			a[name] = hex.EncodeToString(b)
		}
	}
	if r.Limit != 0 {
		a["limit"] = r.Limit
	}
	return a
}

var beeRanges = []hyperbee.Range{
	{},
	{Limit: 7},
	{Reverse: true, Limit: 20},
	{GTE: beeKey(100), LT: beeKey(200)},
	{GT: beeKey(100), LTE: beeKey(200), Reverse: true},
	{GT: []byte("key-00000100"), LT: []byte("key-00000100")},
	{GTE: []byte("a"), LT: []byte("key-00000003x")},
	{GT: []byte("zzz")},
}

func wantSameRanges(t *testing.T, n *Node, core string, b *hyperbee.Tree) {
	t.Helper()
	for _, r := range beeRanges {
		want := n.Call(t, "range", peerRange(core, r))
		got, digest := sumRange(t, b, r)
		if uint64(got) != want.Num("count") || digest != want.Str("digest") {
			t.Errorf("range %+v: %d entries here, %d there", r, got, want.Num("count"))
		}
	}
}

func TestBeeIsReadFromPeer(t *testing.T) {
	for _, r := range links {
		t.Run(r.String(), func(t *testing.T) {
			n := startPeer(t, Hypercore11, "bee-peer.js", "bees", seedHex(7))
			key := n.Call(t, "bee", Args{"core": "b"}).Str("key")
			n.Call(t, "fill", Args{"core": "b", "n": 500, "batch": 20, "size": 40})
			n.Call(t, "put", Args{"core": "b", "key": hexOf([]byte("null")), "value": nil})
			n.Call(t, "put", Args{"core": "b", "key": hexOf([]byte("empty")), "value": ""})
			n.Call(t, "del", Args{"core": "b", "key": hexOf(beeKey(33))})
			h := newStoreHub(t, 0)
			b := h.remoteBee(t, key, nil)
			h.connect(t, n, r)
			untilAt(t, b.Core(), 504, 0)
			ctx := testContext(t)
			if e, ok, err := b.Get(ctx, []byte("null")); err != nil || !ok || e.Value != nil {
				t.Fatalf("the null value reads as %+v, %v, %v", e, ok, err)
			}
			if e, ok, err := b.Get(ctx, []byte("empty")); err != nil || !ok || e.Value == nil || len(e.Value) != 0 {
				t.Fatalf("the empty value reads as %+v, %v, %v", e, ok, err)
			}
			if _, ok, err := b.Get(ctx, beeKey(33)); err != nil || ok {
				t.Fatalf("the deleted key is there: %v, %v", ok, err)
			}
			wantSameRanges(t, n, "b", b)
			var history int
			for _, err := range b.History(ctx, hyperbee.HistoryRange{}) {
				if err != nil {
					t.Fatal(err)
				}
				history++
			}
			if want := n.Call(t, "history", Args{"core": "b"}).Num("count"); uint64(history) != want {
				t.Fatalf("%d operations in the history here, %d there", history, want)
			}
			old, err := b.Checkout(301)
			if err != nil {
				t.Fatal(err)
			}
			defer old.Close()
			count, digest := sumRange(t, old, hyperbee.Range{})
			if want := n.Call(t, "range", Args{"core": "b", "at": 301}); uint64(count) != want.Num("count") || digest != want.Str("digest") {
				t.Fatalf("version 301 has %d entries here, %d there", count, want.Num("count"))
			}
			var changed []string
			for d, err := range b.Diff(ctx, old, hyperbee.Range{}) {
				if err != nil {
					t.Fatal(err)
				}
				changed = append(changed, fmt.Sprint(side(d.Left), " ", side(d.Right)))
			}
			var want []string
			for _, d := range n.Call(t, "diff", Args{"core": "b", "from": 301}).List("diff") {
				e := Event(d.(map[string]any))
				want = append(want, fmt.Sprint(orDash(e.Str("left")), " ", orDash(e.Str("right"))))
			}
			if !slices.Equal(changed, want) {
				t.Fatalf("the difference to version 301 is %q here, %q there", changed, want)
			}
		})
	}
}

func side(e *hyperbee.Entry) string {
	if e == nil {
		return "-"
	}
	return hexOf(e.Key)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func TestOurBeeIsReadByPeer(t *testing.T) {
	for _, r := range links {
		t.Run(r.String(), func(t *testing.T) {
			h := newStoreHub(t, 7)
			b := h.openBee(t, corestore.GetOptions{Name: "b"}, nil)
			fillBee(t, b, 0, 500, 20, 40)
			ctx := testContext(t)
			for _, op := range []error{
				b.Put(ctx, []byte("null"), nil, nil),
				b.Put(ctx, []byte("empty"), []byte{}, nil),
				b.Del(ctx, beeKey(33), nil),
			} {
				if op != nil {
					t.Fatal(op)
				}
			}
			n := startPeer(t, Hypercore11, "bee-peer.js", "bees")
			n.Call(t, "bee", Args{"core": "b", "key": b.Core().Key().Hex()})
			h.connect(t, n, r)
			n.Call(t, "wait", Args{"core": "b", "length": 504})
			wantSameRanges(t, n, "b", b)
			if e := n.Call(t, "beeget", Args{"core": "b", "key": hexOf([]byte("null"))}); !e.Bool("found") || e["value"] != nil {
				t.Fatalf("the peer reads the null value as %v", e)
			}
			if e := n.Call(t, "beeget", Args{"core": "b", "key": hexOf(beeKey(33))}); e.Bool("found") {
				t.Fatalf("the peer finds the deleted key: %v", e)
			}
			wantSame(t, n, "b", b.Core())
		})
	}
}

// A small range of a large bee costs few blocks, and with the extension few round trips.
func TestSparseRangeOfBeeFetchesLittle(t *testing.T) {
	const entries = 5000
	for _, extension := range []bool{true, false} {
		t.Run(fmt.Sprintf("extension %v", extension), func(t *testing.T) {
			n := startPeer(t, Hypercore11, "bee-peer.js", "bees", seedHex(7))
			key := n.Call(t, "bee", Args{"core": "b", "extension": extension}).Str("key")
			n.Call(t, "fill", Args{"core": "b", "n": entries, "batch": 500, "size": 20})
			h := newStoreHub(t, 8)
			theirs := h.remoteBee(t, key, &hyperbee.Options{NoExtension: !extension})
			ours := h.openBee(t, corestore.GetOptions{Name: "ours"}, &hyperbee.Options{NoExtension: !extension})
			fillBee(t, ours, 0, entries, 500, 20)
			n.Call(t, "bee", Args{"core": "ours", "key": ours.Core().Key().Hex(), "extension": extension})
			h.connect(t, n, dialing)
			untilAt(t, theirs.Core(), entries+1, 0)
			n.Call(t, "wait", Args{"core": "ours", "length": entries + 1})

			r := hyperbee.Range{GTE: beeKey(2500), LT: beeKey(2550)}
			want := n.Call(t, "range", peerRange("b", r))
			if got, digest := sumRange(t, theirs, r); got != 50 || digest != want.Str("digest") {
				t.Fatalf("%d entries here, %d there", got, want.Num("count"))
			}
			ourCost := theirs.Core().Info().BlocksDownloaded
			_, wantDigest := sumRange(t, ours, r)
			if e := n.Call(t, "range", peerRange("ours", r)); e.Num("count") != 50 || e.Str("digest") != wantDigest {
				t.Fatalf("the peer reads %d entries", e.Num("count"))
			}
			peer := n.Call(t, "counts", Args{"core": "ours"}).Num("downloaded")
			t.Logf("50 of %d entries: %d blocks fetched by us, %d by the peer", entries, ourCost, peer)
			if ourCost < 50 || ourCost > 400 || peer > 600 {
				t.Fatalf("50 entries cost us %d blocks and the peer %d", ourCost, peer)
			}
		})
	}
}

// Ranges that are read remotely while the bee is written see whole batches, in order and without holes.
func TestBeeIsReadByRangeWhileItIsWritten(t *testing.T) {
	const entries, batch = 3000, 10
	check := func(t *testing.T, count uint64, last string) {
		t.Helper()
		if count%batch != 0 {
			t.Fatalf("a range has %d entries: a batch of %d was seen in part", count, batch)
		}
		if count > 0 && last != string(beeKey(int(count)-1)) {
			t.Fatalf("the last of %d entries is %q", count, last)
		}
	}
	t.Run("at a peer", func(t *testing.T) {
		n := startPeer(t, Hypercore11, "bee-peer.js", "bees", seedHex(7))
		key := n.Call(t, "bee", Args{"core": "b"}).Str("key")
		h := newStoreHub(t, 0)
		b := h.remoteBee(t, key, nil)
		h.connect(t, n, dialing)
		filled := n.Go("fill", Args{"core": "b", "n": entries, "batch": batch, "size": 60})
		ctx := testContext(t)
		reads := 0
		for seen := uint64(0); seen < entries; reads++ {
			var count uint64
			var last string
			for e, err := range b.Entries(ctx, hyperbee.Range{}) {
				if err != nil {
					t.Fatalf("after %d entries of version %d: %v", count, b.Version(), err)
				}
				count++
				last = string(e.Key)
			}
			check(t, count, last)
			if count < seen {
				t.Fatalf("a later range has %d entries after %d", count, seen)
			}
			if seen = count; seen < entries {
				length := b.Core().Length()
				until(t, b.Core(), "more", func() bool { return b.Core().Length() > length || length == entries+1 })
			}
		}
		filled.Wait(t)
		t.Logf("%d ranges were read meanwhile", reads)
		wantSame(t, n, "b", b.Core())
	})
	t.Run("by a peer", func(t *testing.T) {
		h := newStoreHub(t, 7)
		b := h.openBee(t, corestore.GetOptions{Name: "b"}, nil)
		fillBee(t, b, 0, batch, batch, 60)
		n := startPeer(t, Hypercore11, "bee-peer.js", "bees")
		n.Call(t, "bee", Args{"core": "b", "key": b.Core().Key().Hex()})
		h.connect(t, n, dialing)
		n.Call(t, "wait", Args{"core": "b", "length": batch + 1})
		done := make(chan error, 1)
		go func() {
			ctx := context.Background()
			for i := batch; i < entries; i += batch {
				w := b.Batch()
				for j := i; j < i+batch; j++ {
					if err := w.Put(ctx, beeKey(j), beeValue(j, 60), nil); err != nil {
						done <- err
						return
					}
				}
				if err := w.Flush(ctx); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		reads := 0
		for count := uint64(0); count < entries; reads++ {
			e := n.Call(t, "range", Args{"core": "b"})
			count = e.Num("count")
			check(t, count, string(beeKey(int(count)-1)))
			if version := e.Num("version"); version%batch != 1 {
				t.Fatalf("the peer is at version %d", version)
			}
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		t.Logf("%d ranges were read meanwhile", reads)
		wantSame(t, n, "b", b.Core())
	})
}

func TestEncryptedBee(t *testing.T) {
	h := newStoreHub(t, 8)
	var enc hypercrypto.EncryptionKey = *encryptionKey(5)
	ours := h.openBee(t, corestore.GetOptions{Name: "ours", EncryptionKey: &enc}, nil)
	fillBee(t, ours, 0, 200, 10, 30)
	n := startPeer(t, Hypercore11, "bee-peer.js", "bees", seedHex(7))
	key := parseKey(t, n.Call(t, "bee", Args{"core": "b", "encryption": seedHex(5)}).Str("key"))
	n.Call(t, "fill", Args{"core": "b", "n": 200, "batch": 10, "size": 30})
	n.Call(t, "bee", Args{"core": "ours", "key": ours.Core().Key().Hex(), "encryption": seedHex(5)})
	theirs := h.openBee(t, corestore.GetOptions{Key: &key, EncryptionKey: &enc}, nil)
	h.connect(t, n, dialing)
	n.Call(t, "wait", Args{"core": "ours", "length": 201})
	untilAt(t, theirs.Core(), 201, 0)
	wantSameRanges(t, n, "b", theirs)
	wantSameRanges(t, n, "ours", ours)
}

// One side writes, stops, and the other goes on with the same primary key: the log stays one log.
func TestBeeChangesItsWriter(t *testing.T) {
	n := startPeer(t, Hypercore11, "bee-peer.js", "bees", seedHex(7))
	n.Call(t, "bee", Args{"core": "b", "name": "shared"})
	n.Call(t, "fill", Args{"core": "b", "n": 100, "batch": 7, "size": 30})
	h := newStoreHub(t, 7)
	b := h.openBee(t, corestore.GetOptions{Name: "shared"}, nil)
	h.connect(t, n, dialing)
	untilAt(t, b.Core(), 101, 0)
	wantSame(t, n, "b", b.Core())
	fillBee(t, b, 100, 100, 7, 30)
	n.Call(t, "wait", Args{"core": "b", "length": 201})
	n.Call(t, "fill", Args{"core": "b", "start": 200, "n": 50, "batch": 7, "size": 30})
	untilAt(t, b.Core(), 251, 0)
	wantSameRanges(t, n, "b", b)
	wantSame(t, n, "b", b.Core())
}
