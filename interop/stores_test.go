package interop

import (
	"context"
	"strconv"
	"testing"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// storeHub is our counterpart of a peer with a corestore: the store replicates on every connection.
type storeHub struct {
	*hub
	*corestore.Store
}

// newStoreHub opens a store. A primary key of 32 equal bytes is used unless it is 0; then it is random.
func newStoreHub(t testing.TB, primary byte) *storeHub {
	t.Helper()
	return openStoreHub(t, t.TempDir(), primary, false)
}

func openStoreHub(t testing.TB, dir string, primary byte, relaxed bool) *storeHub {
	t.Helper()
	opts := &corestore.Options{Relaxed: relaxed}
	if primary != 0 {
		seed := seedPair(primary).Seed()
		opts.PrimaryKey = &seed
	}
	s, err := corestore.Open(context.Background(), dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return &storeHub{
		Store: s,
		hub: newHub(t, func(ctx context.Context, conn *secretstream.Conn) error {
			return s.Replicate(ctx, conn)
		}),
	}
}

// get opens a core of the store for the duration of the test.
func (h *storeHub) get(t testing.TB, o corestore.GetOptions) *hypercore.Core {
	t.Helper()
	c, err := h.Get(testContext(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// startPeer runs a program and waits until it is ready.
func startPeer(t testing.TB, version, script string, args ...string) *Node {
	t.Helper()
	n := StartNode(t, version, script, args...)
	n.Event(t, "ready")
	return n
}

func TestNamesOfOnePrimaryKeyAreTheSameCores(t *testing.T) {
	h := newStoreHub(t, 7)
	n := startPeer(t, Hypercore11, "store-peer.js", "store", seedHex(7))
	for i, namespaces := range [][]string{{}, {"app"}, {"app", "one"}, {"ä", "", "z"}} {
		name := "core-" + strconv.Itoa(i)
		theirs := n.Call(t, "derive", Args{"name": name, "namespaces": namespaces})
		s := h.Session()
		for _, ns := range namespaces {
			s = s.Namespace(ns)
		}
		c, err := s.Get(testContext(t), corestore.GetOptions{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Key(); got.Hex() != theirs.Str("key") || got.String() != theirs.Str("id") {
			t.Errorf("%q in %q has key %s here, %s there", name, namespaces, got.Hex(), theirs.Str("key"))
		}
		if got := hexOf(s.KeyPair(name).Secret()); got != theirs.Str("secretKey") {
			t.Errorf("%q in %q has another key pair here", name, namespaces)
		}
		if got := hexOf(c.Manifest().AppendTo(nil)); got != theirs.Str("manifest") {
			t.Errorf("%q in %q has manifest %s here, %s there", name, namespaces, got, theirs.Str("manifest"))
		}
		c.Close()
	}
}

func TestManyCoresOnOneStream(t *testing.T) {
	const cores, blocks = 300, 3
	for _, r := range links {
		t.Run(r.String(), func(t *testing.T) {
			n := startPeer(t, Hypercore11, "store-peer.js", "store", seedHex(7))
			theirs := n.Call(t, "many", Args{"prefix": "theirs", "count": cores, "blocks": blocks}).List("keys")
			h := newStoreHub(t, 8)
			var ours []string
			for i := range cores {
				name := "ours-" + strconv.Itoa(i)
				c := h.get(t, corestore.GetOptions{Name: name})
				var all [][]byte
				for j := range blocks {
					all = append(all, []byte(name+"-"+strconv.Itoa(j)))
				}
				appendBlocks(t, c, all...)
				ours = append(ours, c.Key().Hex())
				c.Close()
			}
			h.connect(t, n, r)

			// Nobody has the cores open: they are opened because the other side asks for them.
			fetched := n.Go("fetchMany", Args{"keys": ours, "blocks": blocks})
			for i, k := range theirs {
				key := parseKey(t, k.(string))
				c := h.get(t, corestore.GetOptions{Key: &key})
				for j := range uint64(blocks) {
					wantBlock(t, c, j, []byte("theirs-"+strconv.Itoa(i)+"-"+strconv.FormatUint(j, 10)))
				}
			}
			all := fetched.Wait(t).List("blocks")
			if len(all) != cores {
				t.Fatalf("the peer fetched %d cores, want %d", len(all), cores)
			}
			for i, core := range all {
				for j, b := range core.([]any) {
					if want := "ours-" + strconv.Itoa(i) + "-" + strconv.Itoa(j); b != want {
						t.Fatalf("the peer reads %q, want %q", b, want)
					}
				}
			}
			if s := n.Call(t, "streams", nil).Num("streams"); s != 1 {
				t.Fatalf("%d streams are left of 1", s)
			}
		})
	}
}

func TestCoreOpenedLaterIsReplicated(t *testing.T) {
	n := startPeer(t, Hypercore11, "store-peer.js", "store", seedHex(7))
	h := newStoreHub(t, 8)
	h.connect(t, n, dialing)
	n.Event(t, "connect")
	for i := range 5 {
		name := "later-" + strconv.Itoa(i)
		ours := h.get(t, corestore.GetOptions{Name: name})
		appendBlocks(t, ours, testBlocks(0, 10)...)
		n.Call(t, "open", Args{"core": "a" + name, "key": ours.Key().Hex()})
		n.Call(t, "wait", Args{"core": "a" + name, "length": 10})
		wantSame(t, n, "a"+name, ours)

		key := parseKey(t, n.Call(t, "open", Args{"core": name, "blocks": 10}).Str("key"))
		theirs := h.get(t, corestore.GetOptions{Key: &key})
		untilAt(t, theirs, 10, 0)
		wantSame(t, n, name, theirs)
	}
}

// What was opened by key alone before anybody had it is found on the stream as soon as the peer makes it.
func TestCoreRejectedAtFirstIsFoundLater(t *testing.T) {
	n := startPeer(t, Hypercore11, "store-peer.js", "store", seedHex(7))
	h := newStoreHub(t, 8)
	name := "not-there-yet"
	derived := n.Call(t, "derive", Args{"name": "other"})
	ours := h.get(t, corestore.GetOptions{Name: name})
	wanted := ours.Key()
	reader := newStoreHub(t, 9)
	early := reader.get(t, corestore.GetOptions{Key: &wanted})
	known := parseKey(t, derived.Str("key"))
	control := reader.get(t, corestore.GetOptions{Key: &known})
	reader.connect(t, n, dialing)
	n.Call(t, "open", Args{"core": "other", "name": "other", "blocks": 3})
	untilAt(t, control, 3, 0)
	// The peer becomes a holder of the core by reading it from us.
	appendBlocks(t, ours, testBlocks(0, 4)...)
	h.connect(t, n, dialing)
	n.Call(t, "open", Args{"core": "a", "key": wanted.Hex()})
	n.Call(t, "wait", Args{"core": "a", "length": 4})
	n.Call(t, "get", Args{"core": "a", "index": 2})
	untilAt(t, early, 4, 0)
	wantBlock(t, early, 2, testBlock(2))
}
