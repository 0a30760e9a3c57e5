package hyperdrive

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"slices"
	"testing"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

type vectorCore struct {
	Key, TreeHash, HeadSignature string
	Length                       uint64
	Blocks                       []string
}

type vectorDrive struct {
	Name, ID, EncryptionKey string
	Version                 uint64
	DB, Blobs               vectorCore
	List                    []struct {
		Seq   uint64
		Key   string
		Value json.RawMessage
	}
	Log struct {
		ReaddirRoot, ReaddirDocs          []string
		DiffFrom4                         [][]*string
		FollowDocsRel                     string
		GetBlobsLength, GetBlobsLengthAt3 uint64
	}
}

func vectorDriveOf(t *testing.T, name string) vectorDrive {
	t.Helper()
	var v struct{ Cases []vectorDrive }
	readJSON(t, "struct-drive.json", &v)
	for _, c := range v.Cases {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no vector %q", name)
	return vectorDrive{}
}

// vectorStore returns the store the vectors were made in.
func vectorStore(t *testing.T) *corestore.Store {
	primary := [32]byte(bytes.Repeat([]byte{7}, 32))
	return newStore(t, &corestore.Options{PrimaryKey: &primary})
}

func checkVectorCore(t *testing.T, name string, core *hypercore.Core, want vectorCore) {
	t.Helper()
	if got := core.Key().Hex(); got != want.Key {
		t.Errorf("%s: key %s, want %s", name, got, want.Key)
	}
	for i, block := range want.Blocks {
		got, err := core.GetRaw(t.Context(), uint64(i))
		if err != nil || hex.EncodeToString(got) != block {
			t.Errorf("%s: block %d is %x, %v, want %s", name, i, got, err, block)
		}
	}
	if got := core.TreeHash().String(); core.Length() != want.Length || got != want.TreeHash {
		t.Errorf("%s: %d blocks, tree hash %s, want %d, %s", name, core.Length(), got, want.Length, want.TreeHash)
	}
	if got := hex.EncodeToString(core.Signature()); got != want.HeadSignature {
		t.Errorf("%s: signature %s, want %s", name, got, want.HeadSignature)
	}
}

func checkVectorDrive(t *testing.T, d *Drive, v vectorDrive) {
	t.Helper()
	blobs, err := d.Blobs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	checkVectorCore(t, v.Name+" names", d.Core(), v.DB)
	checkVectorCore(t, v.Name+" contents", blobs.Core(), v.Blobs)
	i := 0
	for e, err := range d.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		var value bytes.Buffer
		if err := json.Compact(&value, v.List[i].Value); err != nil {
			t.Fatal(err)
		}
		want, err := appendStringified(nil, value.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if got := appendEntry(nil, e); e.Path != v.List[i].Key || e.Seq != v.List[i].Seq || !bytes.Equal(got, want) {
			t.Errorf("entry %s at %d: %s, want %s", e.Path, e.Seq, got, want)
		}
		i++
	}
	if i != len(v.List) {
		t.Errorf("%d entries, want %d", i, len(v.List))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestDriveMatchesJavaScript(t *testing.T) {
	ctx := t.Context()
	v := vectorDriveOf(t, "main")
	d := openDrive(t, vectorStore(t).Namespace("main"), &Options{NoTimes: true})
	must(t, d.Put(ctx, "/hello.txt", []byte("hello world"), nil))
	must(t, d.Put(ctx, "bin/run.sh", []byte("#!/bin/sh\necho hi\n"), &PutOptions{Executable: true}))
	must(t, d.Put(ctx, "/docs/a.md", []byte("# A"), &PutOptions{Metadata: json.RawMessage(`{"mtime":1700000000000,"tags":["x","<b>&\""],"10":1,"2":2,"n":1e21}`)}))
	must(t, d.Put(ctx, "/docs/empty", nil, nil))
	must(t, d.Symlink(ctx, "/latest", "/docs/a.md", nil))
	must(t, d.Symlink(ctx, "/docs/rel", "../../hello.txt", nil))
	must(t, d.Put(ctx, "/hello.txt", []byte("hello again"), nil))
	must(t, d.Del(ctx, "/docs/empty"))
	must(t, d.Del(ctx, "/not-there"))
	hello, err := d.Entry(ctx, "/hello.txt")
	must(t, err)
	must(t, d.PutEntry(ctx, &Entry{Path: "/copy.txt", Blob: hello.Blob}))
	b := d.Batch()
	must(t, b.Put(ctx, "/batch/1", []byte("one"), nil))
	must(t, b.Put(ctx, "/batch/2", []byte("two"), nil))
	must(t, b.Del("/latest"))
	must(t, b.Flush(ctx))
	// Two writes are two blocks there; here blocks are cut by size.
	blobs, err := d.Blobs(ctx)
	must(t, err)
	id := hyperblobs.ID{BlockOffset: blobs.Core().Length(), BlockLength: 2, ByteOffset: blobs.Core().ByteLength(), ByteLength: 16}
	_, err = blobs.Core().Append(ctx, []byte("chunk-1;"), []byte("chunk-2;"))
	must(t, err)
	must(t, d.PutEntry(ctx, &Entry{Path: "/stream.bin", Blob: &id}))

	checkVectorDrive(t, d, v)
	if d.Version() != v.Version || d.Key().String() != v.ID {
		t.Errorf("version %d of %s, want %d of %s", d.Version(), d.Key(), v.Version, v.ID)
	}
	if got := get(t, d.View, "stream.bin"); got != "chunk-1;chunk-2;" {
		t.Errorf("stream.bin holds %q", got)
	}
	for folder, want := range map[string][]string{"/": v.Log.ReaddirRoot, "/docs": v.Log.ReaddirDocs} {
		var got []string
		for e, err := range d.ReadDir(ctx, folder) {
			must(t, err)
			got = append(got, e.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s holds %q, want %q", folder, got, want)
		}
	}
	old, err := d.Checkout(4)
	must(t, err)
	defer old.Close()
	i := 0
	for diff, err := range d.Diff(ctx, old, "/") {
		must(t, err)
		want := v.Log.DiffFrom4[i]
		if (diff.New == nil) != (want[0] == nil) || (diff.Old == nil) != (want[1] == nil) || diff.Path != *want[0] {
			t.Errorf("difference %d: %+v", i, diff)
		}
		i++
	}
	if i != len(v.Log.DiffFrom4) {
		t.Errorf("%d differences, want %d", i, len(v.Log.DiffFrom4))
	}
	if e, err := d.Follow(ctx, "/docs/rel"); err != nil || e.Path != v.Log.FollowDocsRel {
		t.Errorf("/docs/rel leads to %v, %v", e, err)
	}
	at3, err := d.Checkout(3)
	must(t, err)
	defer at3.Close()
	for view, want := range map[*View]uint64{d.View: v.Log.GetBlobsLength, at3: v.Log.GetBlobsLengthAt3} {
		if n, err := view.BlobsLength(ctx); err != nil || n != want {
			t.Errorf("version %d needs %d blocks, %v, want %d", view.Version(), n, err, want)
		}
	}
}

func TestEncryptedDriveMatchesJavaScript(t *testing.T) {
	v := vectorDriveOf(t, "encrypted")
	key := hypercrypto.EncryptionKey(bytes.Repeat([]byte{0x42}, 32))
	d := openDrive(t, vectorStore(t).Namespace("encrypted"), &Options{NoTimes: true, EncryptionKey: &key})
	put(t, d, "/a.txt", "secret a")
	put(t, d, "/b.txt", "secret b")
	checkVectorDrive(t, d, v)
	if get(t, d.View, "b.txt") != "secret b" {
		t.Error("encrypted content differs")
	}
}

func TestMappedBlobsOfJavaScriptAreRead(t *testing.T) {
	ctx := t.Context()
	v := vectorDriveOf(t, "dedup")
	d := openDrive(t, vectorStore(t).Namespace("dedup"), &Options{NoTimes: true})
	blobs, err := d.Blobs(ctx)
	must(t, err)
	for i, b := range v.Blobs.Blocks {
		raw, err := hex.DecodeString(b)
		must(t, err)
		_, err = blobs.Core().Append(ctx, raw)
		must(t, err)
		switch i {
		case 2:
			must(t, d.PutEntry(ctx, &Entry{Path: "/f", Blob: &hyperblobs.ID{BlockOffset: 2, ByteOffset: 8, BlockLength: 1, ByteLength: 8, BlockMap: true}}))
		case 4:
			must(t, d.PutEntry(ctx, &Entry{Path: "/f", Blob: &hyperblobs.ID{BlockOffset: 4, ByteOffset: 20, BlockLength: 1, ByteLength: 6, BlockMap: true}}))
		}
	}
	checkVectorDrive(t, d, v)
	if got := get(t, d.View, "f"); got != "bbbbcccc" {
		t.Errorf("f holds %q", got)
	}
	if e, err := d.Entry(ctx, "f"); err != nil || e.Meta().HasSize {
		t.Errorf("entry %+v, %v", e, err)
	}
	if n, err := d.Size(ctx, &Entry{Blob: &hyperblobs.ID{BlockOffset: 2, ByteOffset: 8, BlockLength: 1, ByteLength: 8, BlockMap: true}}); err != nil || n != 12 {
		t.Errorf("size %d, %v", n, err)
	}
}

func TestLegacyDriveMatchesJavaScript(t *testing.T) {
	v := vectorDriveOf(t, "legacy")
	kp := hypercrypto.KeyPairFromSeed([32]byte(bytes.Repeat([]byte{3}, 32)))
	store := vectorStore(t).Namespace("legacy")
	d, err := Open(context.Background(), store, &Options{NoTimes: true, Compat: true, KeyPair: kp})
	must(t, err)
	put(t, d, "/x", "legacy")
	checkVectorCore(t, "legacy names", d.Core(), v.DB)
	blobs, err := d.Blobs(t.Context())
	must(t, err)
	checkVectorCore(t, "legacy contents", blobs.Core(), v.Blobs)
	must(t, d.Close())
	// By key only: the header tells where the contents are.
	key := hypercrypto.Key(kp.Public)
	again := openDrive(t, store, &Options{Key: &key})
	if got := get(t, again.View, "x"); got != "legacy" {
		t.Errorf("x holds %q", got)
	}
}
