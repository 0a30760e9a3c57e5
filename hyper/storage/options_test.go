package storage

import (
	"bytes"
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var update = flag.Bool("update", false, "write the golden store anew")

func TestNegativeSizesAreRefused(t *testing.T) {
	if _, err := Open("s", &Options{FS: vfs.NewMem(), CacheSize: -1}); err == nil {
		t.Fatal("no error")
	}
}

func TestDatabaseMessagesGoToTheLog(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	db := openTest(t, "s", &Options{FS: vfs.NewMem(), Log: log})
	pebbleLog{db}.Errorf("trouble %d", 7)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "trouble 7") {
		t.Fatal(out.String())
	}
}

func TestFatalDatabaseErrorStopsChanges(t *testing.T) {
	db := openTest(t, "s", &Options{FS: vfs.NewMem()})
	c := createTest(t, db, 1)
	pebbleLog{db}.Fatalf("manifest: %v", errInjected)
	b := db.NewBatch()
	b.SetHead(c, Head{Length: 1})
	if err := b.Commit(Durable); !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "manifest") {
		t.Fatal(err)
	}
	if err := db.Flush(); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
	if err := db.Close(); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
}

const goldenDir = "testdata/format-1"

// writeGolden makes the contents of the golden store.
func writeGolden(t *testing.T, dir string) {
	t.Helper()
	db, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := createTest(t, db, 1)
	commit(t, db, Durable, func(b *Batch) {
		for i := range uint64(40) {
			b.PutBlock(c, i, testBlock(i, 20))
			b.PutNodes(c, appendNodes(nil, i))
		}
		b.PutBlock(c, 50, testBlock(50, largeBlock))
		b.SetHead(c, Head{Fork: 2, Length: 60, ByteLength: 1234, Signature: []byte("signature")})
		b.SetAuth(c, Auth{Key: [32]byte{1}, Manifest: []byte("manifest")})
		b.SetUserData(c, "name", []byte("value"))
		b.SetSeed([32]byte{7})
		b.SetAlias(Alias{Name: "alias"}, dkOf(1))
	})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestStoreOfFormat1StillOpens opens a copy of a store written by the first
// version of the format.
func TestStoreOfFormat1StillOpens(t *testing.T) {
	if *update {
		if err := os.RemoveAll(goldenDir); err != nil {
			t.Fatal(err)
		}
		writeGolden(t, goldenDir)
	}
	dir := filepath.Join(t.TempDir(), "s")
	if err := os.CopyFS(dir, os.DirFS(goldenDir)); err != nil {
		t.Fatal(err)
	}
	db := openTest(t, dir, nil)
	c, err := db.Core(dkOf(1))
	if err != nil {
		t.Fatal(err)
	}
	if h := c.Head(); h.Fork != 2 || h.Length != 60 || h.ByteLength != 1234 || h.Contiguous != 40 || string(h.Signature) != "signature" {
		t.Fatalf("%+v", h)
	}
	for i := range uint64(60) {
		want := testBlock(i, 20)
		if i == 50 {
			want = testBlock(i, largeBlock)
		}
		got, err := c.Block(i, nil)
		if held := i < 40 || i == 50; !held {
			if !errors.Is(err, ErrNotFound) {
				t.Fatal(i, err)
			}
		} else if err != nil || !bytes.Equal(got, want) {
			t.Fatal(i, err)
		}
		if i >= 40 {
			continue
		}
		for _, n := range appendNodes(nil, i) {
			if got, err := c.Node(n.Index); err != nil || got != n {
				t.Fatal(n.Index, err)
			}
		}
	}
	if v, err := c.UserData("name"); err != nil || string(v) != "value" {
		t.Fatal(v, err)
	}
	if s, err := db.Seed(); err != nil || s != [32]byte{7} {
		t.Fatal(s, err)
	}
	if dk, err := db.Alias(Alias{Name: "alias"}); err != nil || dk != dkOf(1) {
		t.Fatal(dk, err)
	}
	if err := checkAll(db); err != nil {
		t.Fatal(err)
	}
}
