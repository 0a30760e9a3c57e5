package interop

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperdrive"
)

// openDrive opens the drive of a namespace, or one of a peer by its key.
func (h *storeHub) openDrive(t testing.TB, name string, opts *hyperdrive.Options) *hyperdrive.Drive {
	t.Helper()
	s := h.Store
	if opts == nil || opts.Key == nil {
		s = s.Namespace(name)
	}
	d, err := hyperdrive.Open(testContext(t), s, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close drive: %v", err)
		}
	})
	return d
}

func (h *storeHub) remoteDrive(t testing.TB, key string) *hyperdrive.Drive {
	t.Helper()
	k := parseKey(t, key)
	return h.openDrive(t, "", &hyperdrive.Options{Key: &k})
}

func shaHex(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// fileOf describes an entry as the list command of js/drive-peer.js does.
func fileOf(key string, executable bool, link string, size uint64, sha string) string {
	return fmt.Sprintf("%s executable=%v link=%q size=%d %s", key, executable, link, size, sha)
}

// listDrive describes all entries with their contents.
func listDrive(t testing.TB, v *hyperdrive.View) []string {
	t.Helper()
	var all []string
	for e, err := range v.List(testContext(t), "/") {
		if err != nil {
			t.Fatalf("after %d entries: %v", len(all), err)
		}
		var size uint64
		var sha string
		if e.Blob != nil {
			b, err := v.Content(testContext(t), e)
			if err != nil {
				t.Fatal(err)
			}
			size, sha = uint64(len(b)), shaHex(b)
		}
		all = append(all, fileOf(e.Path, e.Executable, e.Linkname, size, sha))
	}
	return all
}

func listPeerDrive(t testing.TB, n *Node, args Args) []string {
	t.Helper()
	args["contents"] = true
	var all []string
	for _, f := range n.Call(t, "list", args).List("entries") {
		e := Event(f.(map[string]any))
		all = append(all, fileOf(e.Str("key"), e.Bool("executable"), e.Str("linkname"), e.Num("size"), e.Str("sha256")))
	}
	return all
}

func wantSameDrive(t testing.TB, n *Node, name string, v *hyperdrive.View) {
	t.Helper()
	ours, theirs := listDrive(t, v), listPeerDrive(t, n, Args{"drive": name})
	for i := range max(len(ours), len(theirs)) {
		if i >= len(ours) || i >= len(theirs) || ours[i] != theirs[i] {
			t.Fatalf("we see %d entries, the peer %d; they differ from number %d on:\n%q\n%q",
				len(ours), len(theirs), i, ours[min(i, len(ours)):min(i+1, len(ours))], theirs[min(i, len(theirs)):min(i+1, len(theirs))])
		}
	}
}

// sampleFiles are the contents of the test drives: names with everything in them, sizes around the limits.
func sampleFiles() map[string][]byte {
	files := map[string][]byte{
		"/a.txt":                  []byte("hello"),
		"/empty":                  {},
		"/folder/b.bin":           prngBytes(1, 65536),
		"/folder/c.bin":           prngBytes(2, 65537),
		"/folder/deep/er/d.bin":   prngBytes(3, 300_000),
		"/großes Ü – 日本.txt":      []byte("names are Unicode"),
		"/with space/\"q\" & <x>": []byte("and may hold anything"),
		"/-dash/.hidden":          []byte("."),
		"/large.bin":              prngBytes(4, 3_500_000),
	}
	for i := range 30 {
		files[fmt.Sprintf("/many/%02d", i)] = prngBytes(100+uint32(i), i*100)
	}
	return files
}

func TestDriveOfPeerIsRead(t *testing.T) {
	for _, r := range links {
		t.Run(r.String(), func(t *testing.T) {
			n := startPeer(t, Hypercore11, "drive-peer.js", "drives", seedHex(7))
			key := n.Call(t, "drive", Args{"drive": "d"}).Str("key")
			for p, b := range sampleFiles() {
				n.Call(t, "put", Args{"drive": "d", "path": p, "hex": hexOf(b), "executable": strings.HasSuffix(p, ".bin"), "metadata": map[string]any{"p": p}})
			}
			n.Call(t, "symlink", Args{"drive": "d", "path": "/link", "to": "/a.txt"})
			n.Call(t, "stream", Args{"drive": "d", "path": "/streamed", "seed": 77, "size": 1_200_000})
			before := n.Call(t, "driveinfo", Args{"drive": "d"}).Num("version")
			n.Call(t, "del", Args{"drive": "d", "path": "/many/03"})
			n.Call(t, "put", Args{"drive": "d", "path": "/a.txt", "text": "hello again"})

			h := newStoreHub(t, 0)
			d := h.remoteDrive(t, key)
			h.connect(t, n, r)
			until(t, d.Core(), "the drive", func() bool { return d.Version() == before+2 })
			wantSameDrive(t, n, "d", d.View)
			ctx := testContext(t)
			if b, err := d.Get(ctx, "/link"); err != nil || string(b) != "hello again" {
				t.Fatalf("the link leads to %q, %v", b, err)
			}
			e, err := d.Entry(ctx, "/a.txt")
			if err != nil {
				t.Fatal(err)
			}
			if string(e.Metadata) != "" && string(e.Metadata) != "null" {
				t.Fatalf("the metadata is %s", e.Metadata)
			}
			if e, err = d.Entry(ctx, "/large.bin"); err != nil || string(e.Metadata) != `{"p":"/large.bin"}` {
				t.Fatalf("the metadata is %s, %v", e.Metadata, err)
			}
			old, err := d.Checkout(before)
			if err != nil {
				t.Fatal(err)
			}
			defer old.Close()
			if b, err := old.Get(ctx, "/a.txt"); err != nil || string(b) != "hello" {
				t.Fatalf("the older version reads %q, %v", b, err)
			}
			if _, err := old.Get(ctx, "/many/03"); err != nil {
				t.Fatalf("the deleted file is missing in the older version: %v", err)
			}
		})
	}
}

func TestOurDriveIsReadByPeer(t *testing.T) {
	for _, r := range links {
		t.Run(r.String(), func(t *testing.T) {
			h := newStoreHub(t, 7)
			d := h.openDrive(t, "d", nil)
			ctx := testContext(t)
			for p, b := range sampleFiles() {
				if err := d.Put(ctx, p, b, &hyperdrive.PutOptions{Executable: strings.HasSuffix(p, ".bin"), Metadata: map[string]any{"p": p}}); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.Symlink(ctx, "/link", "/a.txt", nil); err != nil {
				t.Fatal(err)
			}
			n := startPeer(t, Hypercore11, "drive-peer.js", "drives")
			n.Call(t, "drive", Args{"drive": "d", "key": d.Key().Hex()})
			h.connect(t, n, r)
			n.Call(t, "drivewait", Args{"drive": "d", "version": d.Version()})
			wantSameDrive(t, n, "d", d.View)
			if e := n.Call(t, "get", Args{"drive": "d", "path": "/link", "follow": true}); e.Str("text") != "hello" {
				t.Fatalf("the peer follows the link to %v", e)
			}
			e := n.Call(t, "entry", Args{"drive": "d", "path": "/a.txt"}).Obj("entry").Obj("value").Obj("metadata")
			if e.Str("p") != "/a.txt" {
				t.Fatalf("the peer reads the metadata %v", e)
			}

			// The whole drive into a folder, with mirror-drive.
			out := t.TempDir()
			n.Call(t, "export", Args{"drive": "d", "dir": out})
			for p, want := range sampleFiles() {
				if b, err := os.ReadFile(filepath.Join(out, filepath.FromSlash(p))); err != nil || !slices.Equal(b, want) {
					t.Fatalf("the exported %s has %d bytes, want %d: %v", p, len(b), len(want), err)
				}
			}
			if err := d.Del(ctx, "/many/03"); err != nil {
				t.Fatal(err)
			}
			n.Call(t, "drivewait", Args{"drive": "d", "version": d.Version()})
			wantSameDrive(t, n, "d", d.View)
		})
	}
}

func TestEncryptedDrive(t *testing.T) {
	h := newStoreHub(t, 8)
	ours := h.openDrive(t, "ours", &hyperdrive.Options{EncryptionKey: encryptionKey(5)})
	ctx := testContext(t)
	files := sampleFiles()
	for p, b := range files {
		if err := ours.Put(ctx, p, b, nil); err != nil {
			t.Fatal(err)
		}
	}
	n := startPeer(t, Hypercore11, "drive-peer.js", "drives", seedHex(7))
	key := parseKey(t, n.Call(t, "drive", Args{"drive": "theirs", "encryption": seedHex(5)}).Str("key"))
	for p, b := range files {
		n.Call(t, "put", Args{"drive": "theirs", "path": p, "hex": hexOf(b)})
	}
	n.Call(t, "drive", Args{"drive": "ours", "key": ours.Key().Hex(), "encryption": seedHex(5)})
	theirs := h.openDrive(t, "", &hyperdrive.Options{Key: &key, EncryptionKey: encryptionKey(5)})
	h.connect(t, n, dialing)
	n.Call(t, "drivewait", Args{"drive": "ours", "version": ours.Version()})
	until(t, theirs.Core(), "the drive", func() bool { return theirs.Version() == uint64(len(files))+1 })

	// The middle of a file first: the byte is found by a seek that must not count padding.
	want := files["/large.bin"][2_000_000:2_000_100]
	if e := n.Call(t, "read", Args{"drive": "ours", "path": "/large.bin", "start": 2_000_000, "length": 100}); e.Str("hex") != hexOf(want) {
		t.Fatalf("the peer reads %v from the middle", e)
	}
	if got := readMiddle(t, theirs.View, "/large.bin", 2_000_000, 100); !slices.Equal(got, want) {
		t.Fatal("we read other bytes from the middle")
	}
	wantSameDrive(t, n, "ours", ours.View)
	wantSameDrive(t, n, "theirs", theirs.View)
}

// readMiddle reads a part of a file.
func readMiddle(t testing.TB, v *hyperdrive.View, path string, offset int64, length int) []byte {
	t.Helper()
	r, err := v.Open(testContext(t), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b := make([]byte, length)
	if _, err := r.ReadAt(b, offset); err != nil {
		t.Fatalf("read %d bytes at %d of %s: %v", length, offset, path, err)
	}
	return b
}

func TestOneFileOfDriveFetchesLittle(t *testing.T) {
	const files = 2000
	h := newStoreHub(t, 8)
	ours := h.openDrive(t, "ours", nil)
	ctx := testContext(t)
	fillDrive(t, ours, files, 100)
	n := startPeer(t, Hypercore11, "drive-peer.js", "drives", seedHex(7))
	key := n.Call(t, "drive", Args{"drive": "theirs"}).Str("key")
	n.Call(t, "fill", Args{"drive": "theirs", "n": files, "size": 100, "seed": 1})
	n.Call(t, "drive", Args{"drive": "ours", "key": ours.Key().Hex()})
	theirs := h.remoteDrive(t, key)
	h.connect(t, n, dialing)
	n.Call(t, "drivewait", Args{"drive": "ours", "version": ours.Version()})
	until(t, theirs.Core(), "the drive", func() bool { return theirs.Version() == files+1 })

	const path = "/many/42/1042.bin"
	want := prngBytes(1+1042, 100)
	b, err := theirs.Get(ctx, path)
	if err != nil || !slices.Equal(b, want) {
		t.Fatalf("we read %d bytes, %v", len(b), err)
	}
	blobs, err := theirs.Blobs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	held := 0
	for i := range blobs.Core().Length() {
		if blobs.Core().Has(i, i+1) {
			held++
		}
	}
	names := theirs.Core().Info().BlocksDownloaded
	if held != 1 || names > 60 {
		t.Fatalf("one small file cost %d blocks of names and %d of contents", names, held)
	}
	n.Call(t, "driveinfo", Args{"drive": "ours"}) // opens the contents, to count
	if e := n.Call(t, "get", Args{"drive": "ours", "path": path}); e.Str("sha256") != shaHex(want) {
		t.Fatalf("the peer reads %v", e)
	}
	db := n.Call(t, "counts", Args{"core": "ours/db"}).Num("downloaded")
	content := n.Call(t, "counts", Args{"core": "ours/blobs"}).Num("downloaded")
	// The tree hash in driveinfo costs the last block of each log.
	if content > 2 || db > 100 {
		t.Fatalf("one small file cost the peer %d blocks of names and %d of contents", db, content)
	}
	t.Logf("one of %d files: %d blocks of names fetched by us, %d by the peer", files, names, db)
}

// fillDrive does what the fill command of a peer does with seed 1.
func fillDrive(t testing.TB, d *hyperdrive.Drive, files, size int) {
	t.Helper()
	ctx := testContext(t)
	b := d.Batch()
	defer b.Close()
	for i := range files {
		if err := b.Put(ctx, fmt.Sprintf("/many/%d/%d.bin", i%100, i), prngBytes(1+uint32(i), size), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestTenThousandSmallFiles(t *testing.T) {
	const files, size = 10_000, 1024
	t.Run("from a peer", func(t *testing.T) {
		n := startPeer(t, Hypercore11, "drive-peer.js", "drives", seedHex(7))
		key := n.Call(t, "drive", Args{"drive": "d"}).Str("key")
		n.Call(t, "fill", Args{"drive": "d", "n": files, "size": size, "seed": 1})
		h := newStoreHub(t, 0)
		d := h.remoteDrive(t, key)
		h.connect(t, n, dialing)
		until(t, d.Core(), "the drive", func() bool { return d.Version() == files+1 })
		start := time.Now()
		if err := d.Download(testContext(t), "/"); err != nil {
			t.Fatal(err)
		}
		t.Logf("10,000 files were downloaded in %v", time.Since(start).Round(time.Millisecond))
		checkFill(t, d, files, size)
	})
	t.Run("by a peer", func(t *testing.T) {
		h := newStoreHub(t, 7)
		d := h.openDrive(t, "d", nil)
		start := time.Now()
		fillDrive(t, d, files, size)
		t.Logf("10,000 files were written in %v", time.Since(start).Round(time.Millisecond))
		n := startPeer(t, Hypercore11, "drive-peer.js", "drives")
		n.Call(t, "drive", Args{"drive": "d", "key": d.Key().Hex()})
		h.connect(t, n, dialing)
		n.Call(t, "drivewait", Args{"drive": "d", "version": d.Version()})
		start = time.Now()
		out := t.TempDir()
		n.Call(t, "export", Args{"drive": "d", "dir": out})
		t.Logf("the peer mirrored 10,000 files in %v", time.Since(start).Round(time.Millisecond))
		for i := range files {
			b, err := os.ReadFile(filepath.Join(out, "many", fmt.Sprint(i%100), fmt.Sprintf("%d.bin", i)))
			if err != nil || !slices.Equal(b, prngBytes(1+uint32(i), size)) {
				t.Fatalf("file %d has %d bytes: %v", i, len(b), err)
			}
		}
	})
}

func checkFill(t testing.TB, d *hyperdrive.Drive, files, size int) {
	t.Helper()
	ctx := testContext(t)
	seen := 0
	for e, err := range d.List(ctx, "/many") {
		if err != nil {
			t.Fatal(err)
		}
		var folder, i int
		if _, err := fmt.Sscanf(e.Path, "/many/%d/%d.bin", &folder, &i); err != nil {
			t.Fatalf("unexpected file %s", e.Path)
		}
		b, err := d.Content(ctx, e)
		if err != nil || !slices.Equal(b, prngBytes(1+uint32(i), size)) {
			t.Fatalf("%s has %d bytes: %v", e.Path, len(b), err)
		}
		seen++
	}
	if seen != files {
		t.Fatalf("%d files are listed, want %d", seen, files)
	}
}

// A folder is mirrored with dedup, changed a little and mirrored again: little is added, and both sides read it.
func TestDriveMirroredWithDedup(t *testing.T) {
	src := t.TempDir()
	big := prngBytes(5, 6_000_000)
	write := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(src, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("big.bin", big)
	write("copy.bin", big)
	write("small.txt", []byte("small"))
	n := startPeer(t, Hypercore11, "drive-peer.js", "drives", seedHex(7))
	first := n.Call(t, "drive", Args{"drive": "d"})
	before := n.Call(t, "import", Args{"drive": "d", "dir": src, "dedup": true})
	h := newStoreHub(t, 0)
	d := h.remoteDrive(t, first.Str("key"))
	h.connect(t, n, dialing)
	until(t, d.Core(), "the drive", func() bool { return d.Version() == before.Num("version") })
	wantSameDrive(t, n, "d", d.View)

	changed := slices.Insert(slices.Clone(big), 3_000_000, []byte("a few bytes in the middle")...)
	write("big.bin", changed)
	if err := os.Remove(filepath.Join(src, "small.txt")); err != nil {
		t.Fatal(err)
	}
	after := n.Call(t, "import", Args{"drive": "d", "dir": src, "dedup": true})
	if grown := after.Num("blobsByteLength") - before.Num("blobsByteLength"); grown > 3_000_000 {
		t.Fatalf("a change of 25 bytes added %d to the contents", grown)
	}
	until(t, d.Core(), "the change", func() bool { return d.Version() == after.Num("version") })
	b, err := d.Get(testContext(t), "/big.bin")
	if err != nil || !slices.Equal(b, changed) {
		t.Fatalf("the changed file has %d bytes, want %d: %v", len(b), len(changed), err)
	}
	wantSameDrive(t, n, "d", d.View)

	// The same at ours: a peer reads what we shared between two versions.
	ours := h.openDrive(t, "ours", nil)
	ctx := testContext(t)
	if err := ours.Put(ctx, "/big.bin", big, nil); err != nil {
		t.Fatal(err)
	}
	blobs, err := ours.Blobs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	size := blobs.Core().ByteLength()
	if err := ours.Put(ctx, "/big.bin", changed, nil); err != nil {
		t.Fatal(err)
	}
	if grown := blobs.Core().ByteLength() - size; grown > 3_000_000 {
		t.Fatalf("a change of 25 bytes added %d to our contents", grown)
	}
	n.Call(t, "drive", Args{"drive": "ours", "key": ours.Key().Hex()})
	n.Call(t, "drivewait", Args{"drive": "ours", "version": ours.Version()})
	if e := n.Call(t, "get", Args{"drive": "ours", "path": "/big.bin"}); e.Str("sha256") != shaHex(changed) {
		t.Fatalf("the peer reads %v", e)
	}
	if e := n.Call(t, "read", Args{"drive": "ours", "path": "/big.bin", "start": 2_999_990, "length": 50}); e.Str("hex") != hexOf(changed[2_999_990:3_000_040]) {
		t.Fatalf("the peer reads %v from the middle", e)
	}
	if got := readMiddle(t, d.View, "/big.bin", 2_999_990, 50); !slices.Equal(got, changed[2_999_990:3_000_040]) {
		t.Fatal("we read other bytes from the middle of the mirrored file")
	}
}

func TestDriveIsWatched(t *testing.T) {
	h := newStoreHub(t, 8)
	ours := h.openDrive(t, "ours", nil)
	n := startPeer(t, Hypercore11, "drive-peer.js", "drives", seedHex(7))
	key := n.Call(t, "drive", Args{"drive": "theirs"}).Str("key")
	n.Call(t, "put", Args{"drive": "theirs", "path": "/first", "text": "1"})
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	if err := ours.Put(ctx, "/first", []byte("1"), nil); err != nil {
		t.Fatal(err)
	}
	theirs := h.remoteDrive(t, key)
	n.Call(t, "drive", Args{"drive": "ours", "key": ours.Key().Hex()})
	h.connect(t, n, dialing)
	until(t, theirs.Core(), "the drive", func() bool { return theirs.Version() == 2 })
	n.Call(t, "drivewait", Args{"drive": "ours", "version": ours.Version()})
	n.Call(t, "watch", Args{"drive": "ours"})

	changes := make(chan string, 100)
	watching := make(chan error, 1)
	go func() {
		for u, err := range theirs.Watch(ctx, "/") {
			if err != nil {
				watching <- err
				return
			}
			if u.Previous == nil {
				continue // where the watch starts
			}
			for d, err := range u.Current.Diff(ctx, u.Previous, "/") {
				if err != nil {
					watching <- err
					return
				}
				changes <- d.Path
			}
		}
	}()
	// Watch starts from the version of its start: a file that exists is written until it is seen.
	for i, seen := 0, false; !seen; i++ {
		n.Call(t, "put", Args{"drive": "theirs", "path": "/marker", "text": fmt.Sprint(i)})
		select {
		case p := <-changes:
			seen = p == "/marker"
		case <-time.After(200 * time.Millisecond): // not a rendezvous: the next round asks again
		case err := <-watching:
			t.Fatal(err)
		}
	}
	n.Call(t, "put", Args{"drive": "theirs", "path": "/second", "text": "2"})
	for p := ""; p != "/second"; {
		select {
		case p = <-changes:
		case err := <-watching:
			t.Fatal(err)
		case <-ctx.Done():
			t.Fatal("the change was not seen")
		}
	}
	if err := ours.Put(ctx, "/second", []byte("2"), nil); err != nil {
		t.Fatal(err)
	}
	n.Next(t, "the change of /second", func(e Event) bool {
		b, _ := json.Marshal(e["diff"])
		return e.Str("event") == "changed" && strings.Contains(string(b), "/second")
	})
}

func TestDriveGoesBack(t *testing.T) {
	h := newStoreHub(t, 8)
	ours := h.openDrive(t, "ours", nil)
	ctx := testContext(t)
	n := startPeer(t, Hypercore11, "drive-peer.js", "drives", seedHex(7))
	key := n.Call(t, "drive", Args{"drive": "theirs"}).Str("key")
	for i := range 5 {
		n.Call(t, "put", Args{"drive": "theirs", "path": fmt.Sprintf("/%d", i), "seed": 50 + i, "size": 70_000})
		if err := ours.Put(ctx, fmt.Sprintf("/%d", i), prngBytes(50+uint32(i), 70_000), nil); err != nil {
			t.Fatal(err)
		}
	}
	theirs := h.remoteDrive(t, key)
	n.Call(t, "drive", Args{"drive": "ours", "key": ours.Key().Hex()})
	h.connect(t, n, dialing)
	until(t, theirs.Core(), "the drive", func() bool { return theirs.Version() == 6 })
	n.Call(t, "drivewait", Args{"drive": "ours", "version": ours.Version()})
	wantSameDrive(t, n, "ours", ours.View)
	wantSameDrive(t, n, "theirs", theirs.View)

	// The same path, size and place in the log, but other content: the entry is the same, byte for byte.
	n.Call(t, "truncate", Args{"drive": "theirs", "version": 5})
	n.Call(t, "put", Args{"drive": "theirs", "path": "/4", "seed": 99, "size": 70_000})
	version := ours.Version()
	last, err := ours.Entry(ctx, "/3")
	if err != nil {
		t.Fatal(err)
	}
	if err := ours.Truncate(ctx, last.Seq+1); err != nil {
		t.Fatal(err)
	}
	if err := ours.Put(ctx, "/4", prngBytes(99, 70_000), nil); err != nil {
		t.Fatal(err)
	}
	if ours.Version() != version {
		t.Fatalf("after going back and on the version is %d, want %d", ours.Version(), version)
	}
	untilAt(t, theirs.Core(), 6, 1)
	blobs, err := theirs.Blobs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	until(t, blobs.Core(), "the fork of the contents", func() bool { return blobs.Core().Fork() == 1 && blobs.Core().Length() == 10 })
	n.Call(t, "drivewait", Args{"drive": "ours", "version": ours.Version(), "fork": 1})
	n.Call(t, "wait", Args{"core": "ours/blobs", "fork": 1, "length": 10})
	wantSameDrive(t, n, "ours", ours.View)
	wantSameDrive(t, n, "theirs", theirs.View)
}
