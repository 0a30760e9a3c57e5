package interop

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/hyper/storage"
)

// coreHub is our counterpart of js/core-peer.js: cores without a store, all attached to every connection.
type coreHub struct {
	*hub
	db *storage.DB

	mu    sync.Mutex
	cores []*hypercore.Core
	muxes map[*protomux.Mux]struct{}
}

func newCoreHub(t testing.TB) *coreHub {
	return newCoreHubAt(t, t.TempDir())
}

func newCoreHubAt(t testing.TB, dir string) *coreHub {
	t.Helper()
	db, err := storage.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close the database: %v", err)
		}
	})
	h := &coreHub{db: db, muxes: map[*protomux.Mux]struct{}{}}
	h.hub = newHub(t, h.serveCores)
	return h
}

func (h *coreHub) serveCores(ctx context.Context, conn *secretstream.Conn) error {
	m := protomux.New(conn, nil)
	h.mu.Lock()
	h.muxes[m] = struct{}{}
	cores := h.cores
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.muxes, m)
		h.mu.Unlock()
	}()
	for _, c := range cores {
		if err := c.Replicate(m); err != nil {
			m.Close()
			return err
		}
	}
	return m.Run(ctx)
}

// shutdown closes everything before the end of the test, so that the folder can be opened again.
func (h *coreHub) shutdown(t testing.TB) {
	t.Helper()
	h.close()
	for _, c := range h.cores {
		c.Close()
	}
	if err := h.db.Close(); err != nil {
		t.Fatal(err)
	}
}

// open opens a core and attaches it to all connections, present and future.
func (h *coreHub) open(t testing.TB, opts *hypercore.Options) *hypercore.Core {
	t.Helper()
	c, err := hypercore.Open(context.Background(), h.db, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	h.mu.Lock()
	h.cores = append(h.cores, c)
	muxes := slices.Collect(maps.Keys(h.muxes))
	h.mu.Unlock()
	for _, m := range muxes {
		if err := c.Replicate(m); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// reader opens a core by its key in hexadecimal digits.
func (h *coreHub) reader(t testing.TB, key string) *hypercore.Core {
	t.Helper()
	k := parseKey(t, key)
	return h.open(t, &hypercore.Options{Key: &k})
}

// writer opens a core of the seed with the first n test blocks.
func (h *coreHub) writer(t testing.TB, seed byte, n uint64) *hypercore.Core {
	t.Helper()
	c := h.open(t, &hypercore.Options{KeyPair: seedPair(seed)})
	appendBlocks(t, c, testBlocks(c.Length(), n)...)
	return c
}

// seedPair returns the key pair of a seed of 32 equal bytes; seedHex is the same for a peer.
func seedPair(b byte) *hypercrypto.KeyPair {
	var seed [32]byte
	for i := range seed {
		seed[i] = b
	}
	return hypercrypto.KeyPairFromSeed(seed)
}

func seedHex(b byte) string {
	seed := make([]byte, 32)
	for i := range seed {
		seed[i] = b
	}
	return hex.EncodeToString(seed)
}

func encryptionKey(b byte) *hypercrypto.EncryptionKey {
	var k hypercrypto.EncryptionKey
	for i := range k {
		k[i] = b
	}
	return &k
}

func parseKey(t testing.TB, s string) hypercrypto.Key {
	t.Helper()
	k, err := hypercrypto.ParseKey(s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// testContext returns a context that ends long after a healthy step would have.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func appendBlocks(t testing.TB, c *hypercore.Core, blocks ...[]byte) {
	t.Helper()
	if len(blocks) == 0 {
		return
	}
	if _, err := c.Append(testContext(t), blocks...); err != nil {
		t.Fatal(err)
	}
}

func truncate(t testing.TB, c *hypercore.Core, length uint64) {
	t.Helper()
	if err := c.Truncate(testContext(t), length, nil); err != nil {
		t.Fatal(err)
	}
}

func describe(c *hypercore.Core) string {
	text := fmt.Sprintf("length %d, fork %d, contiguous %d, remote contiguous %d", c.Length(), c.Fork(), c.ContiguousLength(), c.RemoteContiguousLength())
	for _, p := range c.Peers() {
		text += fmt.Sprintf(", peer %+v", p.Stats())
	}
	return text
}

// until waits until cond holds. It looks after every event of the core, and now and then in between: what a peer says
// of itself is not always an event.
func until(t testing.TB, c *hypercore.Core, what string, cond func() bool) {
	t.Helper()
	if err := waitUntil(testContext(t), c, cond); err != nil {
		t.Fatalf("waiting for %s: %v; we are at %s", what, err, describe(c))
	}
}

func waitUntil(ctx context.Context, c *hypercore.Core, cond func() bool) error {
	changed := make(chan struct{}, 1)
	cancel := c.Events(func(hypercore.Event) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// untilAt waits until the core has the length and fork.
func untilAt(t testing.TB, c *hypercore.Core, length, fork uint64) {
	t.Helper()
	until(t, c, fmt.Sprintf("length %d, fork %d", length, fork), func() bool { return c.Length() == length && c.Fork() == fork })
}

func wantBlock(t testing.TB, c *hypercore.Core, i uint64, want []byte) {
	t.Helper()
	b, err := c.Get(testContext(t), i)
	if err != nil {
		t.Fatalf("get block %d: %v; we are at %s", i, err, describe(c))
	}
	if string(b) != string(want) {
		t.Fatalf("block %d is %.60q, want %.60q", i, b, want)
	}
}

func wantSeek(t testing.TB, c *hypercore.Core, bytes, block, offset uint64) {
	t.Helper()
	b, o, err := c.Seek(testContext(t), bytes)
	if err != nil {
		t.Fatalf("seek to byte %d: %v", bytes, err)
	}
	if b != block || o != offset {
		t.Fatalf("byte %d is in block %d at %d, want block %d at %d", bytes, b, o, block, offset)
	}
}

// digestOf reads blocks [start, end), from peers if needed, and sums them up as the digest command of a peer does.
func digestOf(t testing.TB, c *hypercore.Core, start, end uint64) string {
	t.Helper()
	s, err := digest(testContext(t), c, start, end)
	if err != nil {
		t.Fatalf("%v; we are at %s", err, describe(c))
	}
	return s
}

func digest(ctx context.Context, c *hypercore.Core, start, end uint64) (string, error) {
	d := c.Download(hypercore.Range{Start: start, End: end})
	defer d.Close()
	h := sha256.New()
	for i := start; i < end; i++ {
		b, err := c.Get(ctx, i)
		if err != nil {
			return "", fmt.Errorf("get block %d: %w", i, err)
		}
		h.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(b))))
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// wantSame fails unless the peer's core and ours have the same head and the same blocks [start, end of the log).
func wantSame(t testing.TB, n *Node, name string, c *hypercore.Core) {
	t.Helper()
	info := n.Call(t, "info", Args{"core": name})
	if got, want := c.TreeHash().String(), info.Str("treeHash"); got != want || c.Length() != info.Num("length") || c.Fork() != info.Num("fork") {
		t.Fatalf("we are at %s with tree hash %s, the peer at length %d, fork %d, with %s", describe(c), got, info.Num("length"), info.Num("fork"), want)
	}
	if got, want := c.ByteLength(), info.Num("byteLength"); got != want {
		t.Fatalf("we count %d bytes, the peer %d", got, want)
	}
	theirs := n.Call(t, "digest", Args{"core": name}).Str("digest")
	if ours := digestOf(t, c, 0, c.Length()); ours != theirs {
		t.Fatalf("the contents differ: ours sum up to %s, the peer's to %s", ours, theirs)
	}
}

// counter counts the events of one type, by block.
type counter struct {
	mu     sync.Mutex
	blocks map[uint64]int
	total  int
}

func count(t testing.TB, c *hypercore.Core, typ hypercore.EventType) *counter {
	n := &counter{blocks: map[uint64]int{}}
	t.Cleanup(c.Events(func(e hypercore.Event) {
		if e.Type == typ {
			n.mu.Lock()
			n.blocks[e.Index]++
			n.total++
			n.mu.Unlock()
		}
	}))
	return n
}

// counts returns how many events came. It waits until they are as many as are wanted: who waits for a block may have it
// before the event that tells of it, and a peer may have it before we say that it was sent.
func (n *counter) counts(t testing.TB, wanted int) (distinct, total int) {
	t.Helper()
	for ctx := testContext(t); ; time.Sleep(time.Millisecond) {
		n.mu.Lock()
		distinct, total = len(n.blocks), n.total
		n.mu.Unlock()
		if total >= wanted || ctx.Err() != nil {
			return distinct, total
		}
	}
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }
