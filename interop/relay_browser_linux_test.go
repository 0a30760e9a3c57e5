package interop

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
)

// findBrowser returns the path of Chromium; a test without one fails.
func findBrowser(t testing.TB) string {
	t.Helper()
	for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	t.Fatal("the browser tests need Chromium: install it, or name it in the variable CHROMIUM")
	return ""
}

// startBrowser opens the page of js/browser.
func startBrowser(t testing.TB, path string) *Node {
	t.Helper()
	b := StartNode(t, "", "relay-browser.js", path)
	t.Log("Chromium", b.Event(t, "ready").Str("version"))
	return b
}

// serveStore replicates a store with whoever connects to a server of ours.
func serveStore(t testing.TB, d *hyperdht.DHT, store *corestore.Store) (key string) {
	t.Helper()
	s, err := d.Listen(t.Context(), hypercrypto.NewKeyPair(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		s.Close()
	})
	wg.Go(func() {
		for {
			c, err := s.Accept(ctx)
			if err != nil {
				return
			}
			wg.Go(func() {
				if err := store.Replicate(ctx, c); err != nil && ctx.Err() == nil {
					t.Logf("connection: %v", err)
				}
			})
		}
	})
	public := s.PublicKey()
	return fmt.Sprintf("%x", public[:])
}

// A page in a real browser fetches a file from a share of ours: a HyperDHT
// connection through the relay, a drive replicated over it, every block checked.
func TestRelayBrowserFetchesFile(t *testing.T) {
	path := findBrowser(t)
	if !alone(t) {
		return
	}
	l := newRelayLab(t)
	hub := newStoreHub(t, 0)
	drive := hub.openDrive(t, "site", nil)
	content := prngBytes(7, 2<<20)
	for name, b := range map[string][]byte{"/film.bin": content, "/hello.txt": []byte("hello")} {
		if err := drive.Put(t.Context(), name, b, nil); err != nil {
			t.Fatal(err)
		}
	}
	peer := serveStore(t, l.node(t), hub.Store)
	browser := startBrowser(t, path)
	key := drive.Key()
	for _, mode := range relayModes {
		t.Run(mode, func(t *testing.T) {
			for name, want := range map[string][]byte{"/hello.txt": []byte("hello"), "/film.bin": content} {
				got := browser.Call(t, "fetch", Args{"relay": l.url, "peer": peer, "drive": fmt.Sprintf("%x", key[:]), "path": name,
					"custodial": mode == "custodial"})
				if got.Num("size") != uint64(len(want)) || got.Str("sha256") != fmt.Sprintf("%x", sha256.Sum256(want)) {
					t.Errorf("%s: got %v", name, got)
				}
				if list := texts(got.List("entries")); !slices.Equal(list, []string{"/film.bin", "/hello.txt"}) {
					t.Errorf("entries %v", list)
				}
			}
		})
	}
}

// The same with nothing but the program: what "share" offers, a page finds by its
// link over "dht relay".
func TestBrowserFetchesFromShare(t *testing.T) {
	path := findBrowser(t)
	if !alone(t) {
		return
	}
	b := newBench(t)
	boot := b.network()
	src, big := folder(t, 1<<20)
	link := b.cloudpal(b.machine(), t.TempDir(), boot, "share", src).said(t, "shared").Str("link")
	url := b.cloudpal("", t.TempDir(), boot, "dht", "relay", "--http", "127.0.0.1:0", "--listen", bridgeIP+":0").said(t, "relay").Str("url")
	key, err := hypercrypto.ParseKey(strings.TrimPrefix(link, "hyper://"))
	if err != nil {
		t.Fatalf("link %s: %v", link, err)
	}
	browser := startBrowser(t, path)
	for _, mode := range relayModes {
		got := browser.Call(t, "fetch", Args{"relay": url, "drive": key.Hex(), "path": "/big.bin", "custodial": mode == "custodial"})
		if got.Num("size") != uint64(len(big)) || got.Str("sha256") != shaHex(big) {
			t.Errorf("%s: got %v", mode, got)
		}
	}
}
