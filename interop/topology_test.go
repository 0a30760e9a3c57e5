package interop

import (
	"context"
	"fmt"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercore"
)

func TestReconnectWithKnownLength(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			h := newCoreHub(t)
			ours := h.writer(t, 1, 20)
			n := startCorePeer(t, version)
			n.Call(t, "open", Args{"core": "a", "key": ours.Key().Hex()})
			key := n.Call(t, "open", Args{"core": "b", "seed": seedHex(2), "blocks": 20}).Str("key")
			theirs := h.reader(t, key)
			for round, r := range links {
				h.connect(t, n, r)
				length, fork := ours.Length(), ours.Fork()
				n.Call(t, "wait", Args{"core": "a", "length": length, "fork": fork})
				untilAt(t, theirs, length, fork)
				if round%2 == 0 {
					h.cut()
				} else {
					n.Call(t, "cut", nil)
				}
				n.Event(t, "stream-close")
				if round == 1 { // the fork moves on while nobody looks
					truncate(t, ours, length-7)
					n.Call(t, "truncate", Args{"core": "b", "length": length - 7})
				}
				appendBlocks(t, ours, testBlocks(ours.Length(), ours.Length()+9)...)
				n.Call(t, "append", Args{"core": "b", "n": 9})
			}
			h.connect(t, n, dialing)
			n.Call(t, "wait", Args{"core": "a", "length": ours.Length(), "fork": ours.Fork()})
			untilAt(t, theirs, ours.Length(), ours.Fork())
			wantSame(t, n, "a", ours)
			wantSame(t, n, "b", theirs)
		})
	}
}

func TestStoredCopiesGoOnAfterRestart(t *testing.T) {
	ourDir, theirDir := t.TempDir(), t.TempDir()
	h := newCoreHubAt(t, ourDir)
	ours := h.writer(t, 1, 50)
	n := startCorePeer(t, Hypercore11, theirDir)
	n.Call(t, "open", Args{"core": "a", "key": ours.Key().Hex()})
	key := n.Call(t, "open", Args{"core": "b", "seed": seedHex(2), "blocks": 50}).Str("key")
	theirs := h.reader(t, key)
	h.connect(t, n, dialing)
	n.Call(t, "wait", Args{"core": "a", "length": 50})
	untilAt(t, theirs, 50, 0)
	for i := uint64(0); i < 50; i += 2 {
		wantBlock(t, theirs, i, testBlock(i))
		n.Call(t, "get", Args{"core": "a", "index": i})
	}
	appendBlocks(t, ours, testBlocks(50, 60)...)
	n.Call(t, "append", Args{"core": "b", "n": 10})
	h.shutdown(t)
	n.Stop()

	h = newCoreHubAt(t, ourDir)
	ours = h.writer(t, 1, 60)
	theirs = h.reader(t, key)
	if !theirs.Has(48, 49) || theirs.Has(49, 50) {
		t.Fatal("the blocks held are not those held before the restart")
	}
	n = startCorePeer(t, Hypercore11, theirDir)
	n.Call(t, "open", Args{"core": "a", "key": ours.Key().Hex()})
	n.Call(t, "open", Args{"core": "b", "seed": seedHex(2)})
	got := count(t, theirs, hypercore.EventDownload)
	h.connect(t, n, link{weListen: true})
	n.Call(t, "wait", Args{"core": "a", "length": 60})
	untilAt(t, theirs, 60, 0)
	wantSame(t, n, "a", ours)
	wantSame(t, n, "b", theirs)
	if distinct, total := got.counts(t, 35); distinct != 35 || total != 35 {
		t.Fatalf("%d blocks were downloaded %d times where 35 were missing", distinct, total)
	}
}

// A reader that only knows us finds out by our ranges and bitfields what we hold, and gets the rest when we get it.
func TestHalfFilledPeerInTheMiddle(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			const length = 3000
			writer := startCorePeer(t, version)
			key := writer.Call(t, "open", Args{"core": "a", "seed": seedHex(1), "blocks": length}).Str("key")
			h := newCoreHub(t)
			c := h.reader(t, key)
			h.connect(t, writer, dialing)
			untilAt(t, c, length, 0)
			held := []uint64{0, 3, 700, 701, 702, 1999, 2999}
			for _, i := range held {
				wantBlock(t, c, i, testBlock(i))
			}
			reader := startCorePeer(t, Hypercore11)
			reader.Call(t, "open", Args{"core": "a", "key": key})
			h.connect(t, reader, dialing)
			reader.Call(t, "wait", Args{"core": "a", "length": length})
			for _, i := range held {
				if e := reader.Call(t, "get", Args{"core": "a", "index": i}); e.Str("hex") != hexOf(testBlock(i)) {
					t.Fatalf("the reader gets %q as block %d", e.Str("text"), i)
				}
			}
			// A block we lack: the reader's request waits until we have it.
			missing := reader.Go("get", Args{"core": "a", "index": 1234})
			wantBlock(t, c, 1234, testBlock(1234))
			if e := missing.Wait(t); e.Str("hex") != hexOf(testBlock(1234)) {
				t.Fatalf("the reader gets %q as block 1234", e.Str("text"))
			}
			// And what grows passes through us.
			writer.Call(t, "append", Args{"core": "a", "n": 1})
			reader.Call(t, "wait", Args{"core": "a", "length": length + 1})
			wantBlock(t, c, length, testBlock(length))
			if e := reader.Call(t, "get", Args{"core": "a", "index": length}); e.Str("hex") != hexOf(testBlock(length)) {
				t.Fatalf("the reader gets %q as the new block", e.Str("text"))
			}
		})
	}
}

// A peer that holds half of the log and its writer serve a reader together; when the writer goes, the half is still there.
func TestReaderUsesTwoSources(t *testing.T) {
	const length = 2000
	t.Run("our reader", func(t *testing.T) {
		writer, half := startCorePeer(t, Hypercore11), startCorePeer(t, Hypercore11)
		key := writer.Call(t, "open", Args{"core": "a", "seed": seedHex(1), "blocks": length}).Str("key")
		half.Call(t, "open", Args{"core": "a", "key": key})
		port := writer.Call(t, "listen", nil).Num("port")
		half.Call(t, "connect", Args{"port": port})
		half.Call(t, "download", Args{"core": "a", "start": 0, "end": length / 2})

		h := newCoreHub(t)
		c := h.reader(t, key)
		h.connect(t, half, dialing)
		untilAt(t, c, length, 0)
		digestOf(t, c, 100, 200)
		half.Call(t, "cut", nil)
		h.connect(t, half, dialing)
		h.dial(t, port, true)
		wantSame(t, writer, "a", c)
	})
	t.Run("reader of a peer", func(t *testing.T) {
		writer, reader := startCorePeer(t, Hypercore11), startCorePeer(t, Hypercore11)
		key := writer.Call(t, "open", Args{"core": "a", "seed": seedHex(1), "blocks": length}).Str("key")
		h := newCoreHub(t)
		c := h.reader(t, key)
		h.connect(t, writer, dialing)
		untilAt(t, c, length, 0)
		digestOf(t, c, 0, length/2)
		h.cut()
		writer.Event(t, "stream-close")

		reader.Call(t, "open", Args{"core": "a", "key": key})
		h.connect(t, reader, dialing)
		reader.Call(t, "wait", Args{"core": "a", "length": length})
		reader.Call(t, "download", Args{"core": "a", "start": 0, "end": length / 2})
		all := reader.Go("digest", Args{"core": "a"})
		port := writer.Call(t, "listen", nil).Num("port")
		reader.Call(t, "connect", Args{"port": port})
		all.Wait(t)
		wantSame(t, reader, "a", c)
	})
}

// What is sealed passes through a peer that has no key to it.
func TestEncryptedCoreThroughBlindPeer(t *testing.T) {
	writer, reader := startCorePeer(t, Hypercore11), startCorePeer(t, Hypercore11)
	key := writer.Call(t, "open", Args{"core": "a", "seed": seedHex(1), "blocks": 100, "encryption": seedHex(7)}).Str("key")
	want := writer.Call(t, "digest", Args{"core": "a"}).Str("digest")
	h := newCoreHub(t)
	c := h.reader(t, key)
	h.connect(t, writer, dialing)
	untilAt(t, c, 100, 0)
	blind := digestOf(t, c, 0, 100)
	if blind == want {
		t.Fatal("the blind peer reads what is encrypted")
	}
	h.cut()
	writer.Event(t, "stream-close")
	reader.Call(t, "open", Args{"core": "a", "key": key, "encryption": seedHex(7)})
	h.connect(t, reader, dialing)
	reader.Call(t, "wait", Args{"core": "a", "length": 100})
	if got := reader.Call(t, "digest", Args{"core": "a"}).Str("digest"); got != want {
		t.Fatalf("the reader reads %s, the writer wrote %s", got, want)
	}
}

// Appends and truncates at random under peers that download everything, with connections that are cut: in the end all
// hold what the writer has. JavaScript drops connections by itself now and then when a log is cut. A JavaScript
// reader that forks overtake can be stuck for good, among its own kind as well: it counts answers that it does not like
// and pauses the peer, or waits for a request that it has forgotten. So readers are opened anew when the load is over.
func TestRandomAppendsAndTruncatesUnderLoad(t *testing.T) {
	for seed := range uint32(2) {
		t.Run(fmt.Sprintf("writer at a peer, seed %d", seed), func(t *testing.T) {
			writer, reader := startCorePeer(t, Hypercore1139), startCorePeer(t, Hypercore11)
			key := writer.Call(t, "open", Args{"core": "a", "seed": seedHex(1), "blocks": 50}).Str("key")
			h := newCoreHub(t)
			c := h.reader(t, key)
			d := c.Download(hypercore.Range{Live: true})
			defer d.Close()
			h.keep(writer.Call(t, "listen", nil).Num("port"), true)
			reader.Call(t, "open", Args{"core": "a", "key": key, "download": true})
			reader.Call(t, "connect", Args{"port": h.listen(t, false), "keep": true})
			untilAt(t, c, 50, 0)
			load := writer.Go("load", Args{"core": "a", "seed": 11 + seed, "ops": 150, "truncates": true})
			h.cut()
			end := load.Wait(t)
			writer.Call(t, "mark", Args{"core": "a"})
			length, fork := end.Num("length")+1, end.Num("fork")
			until(t, c, "the last state", func() bool { return c.Length() == length && c.Fork() == fork && c.ContiguousLength() == length })
			wantSame(t, writer, "a", c)
			reopen(t, reader, c)
			wantSame(t, reader, "a", c)
		})
		t.Run(fmt.Sprintf("our writer, seed %d", seed), func(t *testing.T) {
			readers := []*Node{startCorePeer(t, Hypercore11), startCorePeer(t, Hypercore10)}
			h := newCoreHub(t)
			c := h.writer(t, 1, 50)
			for _, n := range readers {
				n.Call(t, "open", Args{"core": "a", "key": c.Key().Hex(), "download": true})
				h.keep(n.Call(t, "listen", nil).Num("port"), true)
			}
			// The readers serve each other as well.
			readers[1].Call(t, "connect", Args{"port": readers[0].Call(t, "listen", nil).Num("port"), "keep": true})
			for _, n := range readers {
				n.Call(t, "wait", Args{"core": "a", "length": 50})
			}
			load(t, c, 21+seed, 150)
			for _, n := range readers {
				reopen(t, n, c)
				wantSame(t, n, "a", c)
			}
		})
	}
}

// reopen closes a peer's copy of c and opens it again, with what it has stored, until it has caught up.
func reopen(t testing.TB, n *Node, c *hypercore.Core) {
	t.Helper()
	n.Call(t, "close", Args{"core": "a"})
	n.Call(t, "open", Args{"core": "a", "key": c.Key().Hex(), "download": true})
	n.Call(t, "wait", Args{"core": "a", "length": c.Length(), "fork": c.Fork()})
}

// load does what the load command of a peer does, without the pauses, and ends with a marker.
func load(t testing.TB, c *hypercore.Core, seed uint32, ops int) {
	t.Helper()
	r := newPRNG(seed)
	ctx := context.Background()
	for range ops {
		if c.Length() > 2 && r.below(5) == 0 {
			if err := c.Truncate(ctx, c.Length()-1-uint64(r.below(min(uint32(c.Length())-1, 12))), nil); err != nil {
				t.Fatal(err)
			}
			continue
		}
		var blocks [][]byte
		for range 1 + r.below(8) {
			blocks = append(blocks, prngBytes(1+r.next()%1000000, int(r.below(300))))
		}
		appendBlocks(t, c, blocks...)
	}
	appendBlocks(t, c, []byte("the end"))
}
