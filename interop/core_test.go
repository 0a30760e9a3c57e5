package interop

import (
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercore"
)

// versions are the releases of hypercore that we replicate with.
var versions = []string{Hypercore11, Hypercore1139, Hypercore10}

// forEachPeer runs a test with every version and in every role.
func forEachPeer(t *testing.T, test func(t *testing.T, version string, r link)) {
	for _, v := range versions {
		for _, r := range links {
			t.Run(v+", "+r.String(), func(t *testing.T) { test(t, v, r) })
		}
	}
}

// startCorePeer runs js/core-peer.js and makes sure of its version.
func startCorePeer(t testing.TB, version string, args ...string) *Node {
	t.Helper()
	n := StartNode(t, version, "core-peer.js", args...)
	if got := n.Event(t, "ready").Str("hypercore"); got != version {
		t.Fatalf("hypercore %s runs, want %s", got, version)
	}
	return n
}

// change calls a command on a core of the peer.
func (n *Node) change(t testing.TB, cmd, core string, args Args) Event {
	t.Helper()
	args["core"] = core
	return n.Call(t, cmd, args)
}

func TestReaderFollowsWriterOfPeer(t *testing.T) {
	forEachPeer(t, func(t *testing.T, version string, r link) {
		n := startCorePeer(t, version)
		key := n.Call(t, "open", Args{"core": "a", "seed": seedHex(1), "blocks": 21}).Str("key")
		h := newCoreHub(t)
		c := h.reader(t, key)
		h.connect(t, n, r)

		untilAt(t, c, 21, 0)
		wantBlock(t, c, 7, testBlock(7))
		wantSeek(t, c, 200, 11, 2)
		wantSame(t, n, "a", c)

		n.change(t, "append", "a", Args{"n": 5})
		untilAt(t, c, 26, 0)
		wantBlock(t, c, 25, testBlock(25))

		n.change(t, "truncate", "a", Args{"length": 9})
		n.change(t, "append", "a", Args{"text": "another history"})
		untilAt(t, c, 10, 1)
		wantBlock(t, c, 9, []byte("another history"))
		wantSame(t, n, "a", c)
	})
}

func TestReaderOfPeerFollowsOurWriter(t *testing.T) {
	forEachPeer(t, func(t *testing.T, version string, r link) {
		h := newCoreHub(t)
		c := h.writer(t, 2, 21)
		n := startCorePeer(t, version)
		n.Call(t, "open", Args{"core": "a", "key": c.Key().Hex()})
		h.connect(t, n, r)

		n.Call(t, "wait", Args{"core": "a", "length": 21})
		if e := n.Call(t, "seek", Args{"core": "a", "bytes": 200}); e.Num("block") != 11 || e.Num("offset") != 2 {
			t.Fatalf("the peer finds byte 200 at %v", e)
		}
		wantSame(t, n, "a", c)
		n.Call(t, "wait", Args{"core": "a", "contiguous": 21})

		appendBlocks(t, c, testBlocks(21, 26)...)
		n.Call(t, "wait", Args{"core": "a", "length": 26, "remoteContiguous": 26})
		truncate(t, c, 9)
		appendBlocks(t, c, []byte("another history"))
		n.Call(t, "wait", Args{"core": "a", "length": 10, "fork": 1})
		wantSame(t, n, "a", c)

		// The signature that the peer holds is the one we made.
		if got := n.Call(t, "info", Args{"core": "a"}).Str("signature"); got != hexOf(c.Signature()) {
			t.Fatalf("the peer holds signature %s, we made %x", got, c.Signature())
		}
	})
}

func TestCompatCoreIsRead(t *testing.T) {
	h := newCoreHub(t)
	c := h.open(t, &hypercore.Options{KeyPair: seedPair(3), Compat: true})
	appendBlocks(t, c, testBlocks(0, 30)...)
	n := startCorePeer(t, Hypercore11)
	n.Call(t, "open", Args{"core": "a", "key": c.Key().Hex()})
	key := n.Call(t, "open", Args{"core": "b", "seed": seedHex(4), "compat": true, "blocks": 30}).Str("key")
	theirs := h.reader(t, key)
	h.connect(t, n, dialing)
	n.Call(t, "wait", Args{"core": "a", "length": 30})
	untilAt(t, theirs, 30, 0)
	wantSame(t, n, "a", c)
	wantSame(t, n, "b", theirs)
}

func TestEmptyCoreGrowsLater(t *testing.T) {
	h := newCoreHub(t)
	ours := h.writer(t, 5, 0)
	n := startCorePeer(t, Hypercore11)
	n.Call(t, "open", Args{"core": "a", "key": ours.Key().Hex()})
	key := n.Call(t, "open", Args{"core": "b", "seed": seedHex(6)}).Str("key")
	theirs := h.reader(t, key)
	h.connect(t, n, dialing)
	n.Call(t, "wait", Args{"core": "a", "peers": 1})
	n.Call(t, "wait", Args{"core": "b", "peers": 1})
	appendBlocks(t, ours, []byte("first"))
	n.Call(t, "append", Args{"core": "b", "text": "first"})
	n.Call(t, "wait", Args{"core": "a", "length": 1})
	untilAt(t, theirs, 1, 0)
	wantSame(t, n, "a", ours)
	wantSame(t, n, "b", theirs)
}

func TestSparseReadFetchesLittle(t *testing.T) {
	const length, wanted = 5000, 10
	t.Run("from a peer", func(t *testing.T) {
		n := startCorePeer(t, Hypercore11)
		key := n.Call(t, "open", Args{"core": "a", "seed": seedHex(1), "blocks": length}).Str("key")
		h := newCoreHub(t)
		c := h.reader(t, key)
		got := count(t, c, hypercore.EventDownload)
		h.connect(t, n, dialing)
		for i := range uint64(wanted) {
			wantBlock(t, c, i*499, testBlock(i*499))
		}
		if distinct, total := got.counts(t, wanted); distinct != wanted || total != wanted {
			t.Fatalf("%d blocks were downloaded %d times for %d reads", distinct, total, wanted)
		}
		if up := n.Call(t, "counts", Args{"core": "a"}); up.Num("uploads") != wanted {
			t.Fatalf("the peer sent %v blocks for %d reads", up, wanted)
		}
	})
	t.Run("by a peer", func(t *testing.T) {
		h := newCoreHub(t)
		c := h.writer(t, 1, length)
		sent := count(t, c, hypercore.EventUpload)
		n := startCorePeer(t, Hypercore11)
		n.Call(t, "open", Args{"core": "a", "key": c.Key().Hex()})
		h.connect(t, n, dialing)
		n.Call(t, "wait", Args{"core": "a", "length": length})
		for i := range uint64(wanted) {
			if e := n.Call(t, "get", Args{"core": "a", "index": i * 499}); e.Str("hex") != hexOf(testBlock(i*499)) {
				t.Fatalf("the peer reads %q as block %d", e.Str("text"), i*499)
			}
		}
		if distinct, total := sent.counts(t, wanted); distinct != wanted || total != wanted {
			t.Fatalf("%d blocks were sent %d times for %d reads", distinct, total, wanted)
		}
	})
}

func TestSeekFetchesLittle(t *testing.T) {
	const length = 5000
	h := newCoreHub(t)
	ours := h.writer(t, 1, length)
	n := startCorePeer(t, Hypercore11)
	key := n.Call(t, "open", Args{"core": "b", "seed": seedHex(2), "blocks": length}).Str("key")
	n.Call(t, "open", Args{"core": "a", "key": ours.Key().Hex()})
	theirs := h.reader(t, key)
	h.connect(t, n, dialing)
	n.Call(t, "wait", Args{"core": "a", "length": length})
	untilAt(t, theirs, length, 0)

	var offset uint64
	for i := range uint64(length) {
		size := uint64(len(testBlock(i)))
		if i%617 == 5 {
			e := n.Call(t, "seek", Args{"core": "a", "bytes": offset + size - 1})
			if e.Num("block") != i || e.Num("offset") != size-1 {
				t.Fatalf("the peer finds the last byte of block %d at %v", i, e)
			}
			wantSeek(t, theirs, offset+size-1, i, size-1)
		}
		offset += size
	}
	if n := theirs.Info().BlocksDownloaded; n > 30 {
		t.Fatalf("9 seeks downloaded %d blocks", n)
	}
}

func TestClearedBlocksAreServedNoMore(t *testing.T) {
	t.Run("by a peer", func(t *testing.T) {
		// 11.37.1 loses tree nodes on clear, so that its other blocks cannot be had any more.
		n := startCorePeer(t, Hypercore1139)
		key := n.Call(t, "open", Args{"core": "a", "seed": seedHex(1), "blocks": 64}).Str("key")
		h := newCoreHub(t)
		c := h.reader(t, key)
		h.connect(t, n, dialing)
		untilAt(t, c, 64, 0)
		n.Call(t, "clear", Args{"core": "a", "start": 3, "end": 5})
		n.Call(t, "clear", Args{"core": "a", "start": 17, "end": 18})
		n.Call(t, "clear", Args{"core": "a", "start": 40, "end": 64})
		for i := range uint64(40) {
			if i == 3 || i == 4 || i == 17 {
				continue
			}
			wantBlock(t, c, i, testBlock(i))
		}
		// The log goes on, and what was cleared can come from elsewhere.
		n.Call(t, "append", Args{"core": "a", "text": "more"})
		untilAt(t, c, 65, 0)
		wantBlock(t, c, 64, []byte("more"))
	})
	t.Run("by us", func(t *testing.T) {
		h := newCoreHub(t)
		c := h.writer(t, 1, 64)
		n := startCorePeer(t, Hypercore11)
		n.Call(t, "open", Args{"core": "a", "key": c.Key().Hex()})
		h.connect(t, n, dialing)
		n.Call(t, "wait", Args{"core": "a", "length": 64})
		for _, r := range [][2]uint64{{3, 5}, {17, 18}, {40, 64}} {
			if err := c.Clear(testContext(t), r[0], r[1]); err != nil {
				t.Fatal(err)
			}
		}
		for i := range uint64(40) {
			if i == 3 || i == 4 || i == 17 {
				continue
			}
			if e := n.Call(t, "get", Args{"core": "a", "index": i}); e.Str("hex") != hexOf(testBlock(i)) {
				t.Fatalf("the peer reads %q as block %d", e.Str("text"), i)
			}
		}
		appendBlocks(t, c, []byte("more"))
		n.Call(t, "wait", Args{"core": "a", "length": 65})
		if e := n.Call(t, "get", Args{"core": "a", "index": 64}); e.Str("text") != "more" {
			t.Fatalf("the peer reads %q as the new block", e.Str("text"))
		}
	})
}

func TestClearedBlocksAreFetchedBack(t *testing.T) {
	h := newCoreHub(t)
	ours := h.writer(t, 1, 100)
	n := startCorePeer(t, Hypercore1139)
	n.Call(t, "open", Args{"core": "a", "key": ours.Key().Hex()})
	key := n.Call(t, "open", Args{"core": "b", "seed": seedHex(2), "blocks": 100}).Str("key")
	theirs := h.reader(t, key)
	h.connect(t, n, dialing)
	n.Call(t, "wait", Args{"core": "a", "length": 100})
	untilAt(t, theirs, 100, 0)
	wantSame(t, n, "a", ours)
	wantSame(t, n, "b", theirs)

	n.Call(t, "clear", Args{"core": "a", "start": 30, "end": 71})
	if n.Call(t, "has", Args{"core": "a", "start": 50}).Bool("has") {
		t.Fatal("the peer still holds what it cleared")
	}
	if err := theirs.Clear(testContext(t), 30, 71); err != nil {
		t.Fatal(err)
	}
	if theirs.Has(30, 31) || theirs.Has(70, 71) || !theirs.Has(71, 100) {
		t.Fatal("clear did not drop exactly its range")
	}
	wantSame(t, n, "a", ours)
	wantSame(t, n, "b", theirs)
}

func TestEncryptedCore(t *testing.T) {
	for _, version := range []string{Hypercore11, Hypercore10} {
		t.Run(version, func(t *testing.T) {
			h := newCoreHub(t)
			ours := h.open(t, &hypercore.Options{KeyPair: seedPair(1), EncryptionKey: encryptionKey(7)})
			appendBlocks(t, ours, testBlocks(0, 300)...)
			n := startCorePeer(t, version)
			n.Call(t, "open", Args{"core": "a", "key": ours.Key().Hex(), "encryption": seedHex(7)})
			key := parseKey(t, n.Call(t, "open", Args{"core": "b", "seed": seedHex(2), "blocks": 300, "encryption": seedHex(7)}).Str("key"))
			theirs := h.open(t, &hypercore.Options{Key: &key, EncryptionKey: encryptionKey(7)})
			h.connect(t, n, dialing)
			n.Call(t, "wait", Args{"core": "a", "length": 300})
			untilAt(t, theirs, 300, 0)
			// Byte 5000 counts no padding.
			e := n.Call(t, "seek", Args{"core": "a", "bytes": 5000})
			wantSeek(t, theirs, 5000, e.Num("block"), e.Num("offset"))
			wantSeek(t, ours, 5000, e.Num("block"), e.Num("offset"))
			wantBlock(t, theirs, 123, testBlock(123))
			truncate(t, ours, 200)
			appendBlocks(t, ours, []byte("under a new fork"))
			n.Call(t, "truncate", Args{"core": "b", "length": 200})
			n.Call(t, "append", Args{"core": "b", "text": "under a new fork"})
			n.Call(t, "wait", Args{"core": "a", "length": 201, "fork": 1})
			untilAt(t, theirs, 201, 1)
			wantSame(t, n, "a", ours)
			wantSame(t, n, "b", theirs)
		})
	}
}

func TestUnknownCoreIsRejectedAndOthersGoOn(t *testing.T) {
	h := newCoreHub(t)
	ours := h.writer(t, 1, 10)
	stranger := hypercore.Options{KeyPair: seedPair(9)}
	h.open(t, &stranger)
	n := startCorePeer(t, Hypercore11)
	n.Call(t, "open", Args{"core": "unknown", "seed": seedHex(8)})
	n.Call(t, "open", Args{"core": "a", "key": ours.Key().Hex()})
	key := n.Call(t, "open", Args{"core": "b", "seed": seedHex(2), "blocks": 10}).Str("key")
	theirs := h.reader(t, key)
	h.connect(t, n, dialing)
	n.Call(t, "wait", Args{"core": "a", "length": 10})
	untilAt(t, theirs, 10, 0)
	if peers := n.Call(t, "info", Args{"core": "unknown"}).List("peers"); len(peers) != 0 {
		t.Fatalf("the peer believes that we have its core: %v", peers)
	}
	// A core that both sides open later gets its channel on the same stream.
	later := h.writer(t, 5, 3)
	n.Call(t, "open", Args{"core": "later", "key": later.Key().Hex()})
	n.Call(t, "wait", Args{"core": "later", "length": 3})
	wantSame(t, n, "later", later)
	if e := n.Call(t, "streams", nil); e.Num("streams") != 1 {
		t.Fatalf("%v streams are left of 1", e)
	}
}

func TestExtensionMessages(t *testing.T) {
	h := newCoreHub(t)
	c := h.writer(t, 1, 1)
	received := make(chan string, 10)
	ext := c.RegisterExtension("greeting", func(p *hypercore.Peer, payload []byte) { received <- string(payload) })
	defer ext.Close()
	n := startCorePeer(t, Hypercore11)
	n.Call(t, "open", Args{"core": "a", "key": c.Key().Hex()})
	n.Call(t, "extension", Args{"core": "a", "name": "greeting"})
	n.Call(t, "extension", Args{"core": "a", "name": "unknown to us"})
	h.connect(t, n, dialing)
	n.Call(t, "wait", Args{"core": "a", "length": 1})
	for _, text := range []string{"hello", "again"} { // the second leaves out the name on the wire
		ext.Broadcast([]byte(text))
		if e := n.Event(t, "extension"); e.Str("text") != text || e.Str("name") != "greeting" {
			t.Fatalf("the peer received %v", e)
		}
	}
	n.Call(t, "broadcast", Args{"core": "a", "name": "greeting", "text": "one"})
	n.Call(t, "broadcast", Args{"core": "a", "name": "unknown to us", "text": "lost"})
	n.Call(t, "broadcast", Args{"core": "a", "name": "greeting", "text": "two"})
	n.Call(t, "broadcast", Args{"core": "a", "name": "greeting", "text": "three"})
	ctx := testContext(t)
	for _, want := range []string{"one", "two", "three"} {
		select {
		case got := <-received:
			if got != want {
				t.Fatalf("we received %q, want %q", got, want)
			}
		case <-ctx.Done():
			t.Fatalf("%q did not arrive", want)
		}
	}
}

func TestUpdateTellsWhetherThereIsNews(t *testing.T) {
	h := newCoreHub(t)
	ours := h.writer(t, 1, 5)
	n := startCorePeer(t, Hypercore11)
	n.Call(t, "open", Args{"core": "a", "key": ours.Key().Hex()})
	key := parseKey(t, n.Call(t, "open", Args{"core": "b", "seed": seedHex(2), "blocks": 5}).Str("key"))
	theirs := h.open(t, &hypercore.Options{Key: &key, NoEagerUpgrade: true})
	h.connect(t, n, dialing)
	n.Call(t, "wait", Args{"core": "a", "length": 5})
	if n.Call(t, "update", Args{"core": "a"}).Bool("changed") {
		t.Fatal("the peer's update tells of news where there are none")
	}
	done := theirs.FindingPeers()
	until(t, theirs, "the peer", func() bool { return len(theirs.Peers()) == 1 })
	done()
	for length := uint64(5); length < 8; length++ {
		changed, err := theirs.Update(testContext(t))
		if err != nil || !changed || theirs.Length() != length {
			t.Fatalf("update says %v, %v; we are at %s, want length %d", changed, err, describe(theirs), length)
		}
		changed, err = theirs.Update(testContext(t))
		if err != nil || changed {
			t.Fatalf("a second update says %v, %v", changed, err)
		}
		n.Call(t, "append", Args{"core": "b", "text": "more"})
		// It tells that it has the block, and then that the log is longer.
		eventually(t, "the announcement", func() bool { return theirs.Peers()[0].Stats().RemoteLength == length+1 })
	}
}

// What is left of a log of which something was cleared is still found by who knows that all of
// it was here.
func TestPeerFindsWhatIsLeftAfterAClear(t *testing.T) {
	forEachPeer(t, func(t *testing.T, version string, r link) {
		h := newCoreHub(t)
		ours := h.writer(t, 1, 20)
		n := startCorePeer(t, version)
		n.Call(t, "open", Args{"core": "a", "key": ours.Key().Hex()})
		h.connect(t, n, r)
		n.Call(t, "wait", Args{"core": "a", "length": 20})
		asked := n.Go("get", Args{"core": "a", "index": 20}) // it asks what we have once
		appendBlocks(t, ours, []byte("asked for"))
		asked.Wait(t)
		for _, cleared := range [][2]uint64{{3, 5}, {9, 11}, {0, 1}} {
			if err := ours.Clear(testContext(t), cleared[0], cleared[1]); err != nil {
				t.Fatal(err)
			}
		}
		appendBlocks(t, ours, []byte("behind"))
		n.Call(t, "wait", Args{"core": "a", "length": 22}) // it has heard of all that
		for _, i := range []int{2, 7, 15, 21} {
			n.Call(t, "get", Args{"core": "a", "index": i})
		}
	})
}

func TestLargeBlocks(t *testing.T) {
	const size, blocks = 4 << 20, 6 // several requests at once for blocks this large must not overrun a frame
	h := newCoreHub(t)
	ours := h.writer(t, 1, 0)
	for i := range uint32(blocks) {
		appendBlocks(t, ours, prngBytes(100+i, size))
	}
	n := startCorePeer(t, Hypercore11)
	n.Call(t, "open", Args{"core": "a", "key": ours.Key().Hex()})
	key := n.Call(t, "open", Args{"core": "b", "seed": seedHex(2)}).Str("key")
	n.Call(t, "append", Args{"core": "b", "random": 100, "n": blocks, "size": size})
	n.Call(t, "append", Args{"core": "b", "random": 500, "n": 1, "size": 15<<20 - 1024})
	appendBlocks(t, ours, prngBytes(500, 15<<20-1024))
	theirs := h.reader(t, key)
	h.connect(t, n, dialing)
	n.Call(t, "wait", Args{"core": "a", "length": blocks + 1})
	untilAt(t, theirs, blocks+1, 0)
	wantSame(t, n, "a", ours)
	wantSame(t, n, "b", theirs)
}

func TestSignerOfTwoHistoriesFreezesTheCore(t *testing.T) {
	h := newCoreHub(t)
	a, b := startCorePeer(t, Hypercore11), startCorePeer(t, Hypercore11)
	key := a.Call(t, "open", Args{"core": "a", "seed": seedHex(1)}).Str("key")
	b.Call(t, "open", Args{"core": "a", "seed": seedHex(1)})
	for i := range 5 {
		a.Call(t, "append", Args{"core": "a", "random": 1 + i, "n": 1, "size": 10})
		b.Call(t, "append", Args{"core": "a", "random": 100 + i, "n": 1, "size": 10})
	}
	b.Call(t, "append", Args{"core": "a", "text": "longer"})
	c := h.reader(t, key)
	conflict := make(chan struct{}, 10)
	defer c.Events(func(e hypercore.Event) {
		if e.Type == hypercore.EventConflict {
			conflict <- struct{}{}
		}
	})()
	h.connect(t, a, dialing)
	untilAt(t, c, 5, 0)
	h.connect(t, b, dialing)
	select {
	case <-conflict:
	case <-testContext(t).Done():
		t.Fatal("the second history went unnoticed")
	}
	// We tell the first peer, which freezes its copy too.
	a.Event(t, "conflict")
}
