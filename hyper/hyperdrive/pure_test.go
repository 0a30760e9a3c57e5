package hyperdrive

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

func readJSON(t testing.TB, name string, into any) {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}

func TestPathsMatchJavaScript(t *testing.T) {
	var v struct{ Paths, Resolve [][]string }
	readJSON(t, "paths.json", &v)
	for _, c := range v.Paths {
		got, err := Clean(c[0])
		if strings.HasPrefix(c[1], "error") {
			if !errors.Is(err, ErrPath) {
				t.Errorf("Clean(%q) = %q, %v, want an error", c[0], got, err)
			}
		} else if err != nil || got != c[1] {
			t.Errorf("Clean(%q) = %q, %v, want %q", c[0], got, err, c[1])
		}
	}
	for _, c := range v.Resolve {
		if got, err := resolve(c[0], c[1]); err != nil || got != c[2] {
			t.Errorf("resolve(%q, %q) = %q, %v, want %q", c[0], c[1], got, err, c[2])
		}
	}
}

func TestFoldersAreCleaned(t *testing.T) {
	for name, want := range map[string]string{"": "", "/": "", "/a/": "/a", "a/b": "/a/b", "/a/..": ""} {
		if got, err := CleanFolder(name); err != nil || got != want {
			t.Errorf("CleanFolder(%q) = %q, %v, want %q", name, got, err, want)
		}
	}
}

func TestUnstorableNamesAreRefused(t *testing.T) {
	for _, name := range []string{"a\x00b", "a\xff", strings.Repeat("a/", 3000), "", "/", "../x"} {
		if got, err := cleanNew(name); !errors.Is(err, ErrPath) {
			t.Errorf("cleanNew(%q) = %q, %v", name, got, err)
		}
	}
}

func TestStringifyMatchesJavaScript(t *testing.T) {
	var v struct{ Cases []struct{ In, Out string } }
	readJSON(t, "stringify.json", &v)
	if len(v.Cases) < 30 {
		t.Fatalf("%d cases", len(v.Cases))
	}
	for _, c := range v.Cases {
		if got, err := appendStringified(nil, []byte(c.In)); err != nil || string(got) != c.Out {
			t.Errorf("%s: %s, %v, want %s", c.In, got, err, c.Out)
		}
	}
	for _, bad := range []string{"", "{", "[1,]", `{"a":1,}`, "01", "1.", "nul", `"\x"`, "\"\n\"", "1 2", `"\u12"`, "+1", strings.Repeat("[", 1000)} {
		if got, err := appendStringified(nil, []byte(bad)); err == nil {
			t.Errorf("%.20q is accepted as %.20q", bad, got)
		}
	}
}

func TestEntriesRoundTrip(t *testing.T) {
	for _, e := range []Entry{
		{},
		{Executable: true, Blob: &hyperblobs.ID{BlockOffset: 1, BlockLength: 2, ByteOffset: 3, ByteLength: 4}},
		{Blob: &hyperblobs.ID{BlockOffset: 1<<53 - 1, BlockMap: true}, Metadata: json.RawMessage(`{"mtime":1}`)},
		{Linkname: "../\"x\"\n<é>"},
	} {
		raw := appendEntry(nil, &e)
		var back Entry
		if err := decodeEntry(raw, &back); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		if again := appendEntry(nil, &back); !bytes.Equal(raw, again) {
			t.Errorf("%s became %s", raw, again)
		}
	}
}

func TestForeignEntriesAreRead(t *testing.T) {
	var e Entry
	loose := ` { "new":[1,{}], "metadata" : {"a": 1}, "blob":{"byteLength":4,"x":1,"blockLength":1,"blockOffset":2,"byteOffset":3},"linkname":null} `
	if err := decodeEntry([]byte(loose), &e); err != nil {
		t.Fatal(err)
	}
	if want := (hyperblobs.ID{BlockOffset: 2, BlockLength: 1, ByteOffset: 3, ByteLength: 4}); e.Executable || *e.Blob != want || string(e.Metadata) != `{"a": 1}` {
		t.Errorf("read as %+v", e)
	}
	for _, bad := range []string{``, `null`, `[]`, `{"blob":5}`, `{"blob":{"blockOffset":-1}}`, `{"blob":{"blockOffset":1e3}}`, `{"blob":{"blockOffset":99999999999999999999}}`, `{"linkname":7}`, `{} {}`, `{"metadata":}`} {
		if err := decodeEntry([]byte(bad), &e); !errors.Is(err, ErrEntry) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestContentManifestsMatchJavaScript(t *testing.T) {
	var v struct {
		Drives []struct {
			DbManifest, Key, BlobsManifest, ContentKey string
		}
		ContentManifests []struct {
			DbManifest, DbKey       string
			BlobsManifest, BlobsKey *string
		}
	}
	readJSON(t, "manifests.json", &v)
	check := func(dbManifest, dbKey string, blobsManifest, blobsKey *string) {
		t.Helper()
		raw, err := hex.DecodeString(dbManifest)
		if err != nil {
			t.Fatal(err)
		}
		m, err := hypercrypto.DecodeManifest(raw)
		if err != nil {
			t.Fatal(err)
		}
		key := m.Key()
		if key.Hex() != dbKey {
			t.Errorf("db key %s, want %s", key.Hex(), dbKey)
		}
		c := ContentManifest(m, key)
		if blobsManifest == nil {
			if c != nil {
				t.Errorf("version %d has a content manifest", m.Version)
			}
			return
		}
		if got := hex.EncodeToString(c.AppendTo(nil)); got != *blobsManifest {
			t.Errorf("content manifest %s, want %s", got, *blobsManifest)
		}
		if got := c.Key().Hex(); got != *blobsKey {
			t.Errorf("content key %s, want %s", got, *blobsKey)
		}
	}
	for _, d := range v.Drives {
		check(d.DbManifest, d.Key, &d.BlobsManifest, &d.ContentKey)
	}
	for _, d := range v.ContentManifests {
		check(d.DbManifest, d.DbKey, d.BlobsManifest, d.BlobsKey)
	}
	compat := hypercrypto.DefaultManifest(hypercrypto.PublicKey{1})
	if ContentManifest(compat, hypercrypto.Key{1}) != nil {
		t.Error("a compat core has a content manifest")
	}
}

func FuzzEntry(f *testing.F) {
	f.Add([]byte(`{"executable":false,"linkname":null,"blob":{"blockOffset":0,"byteOffset":0,"blockLength":1,"byteLength":11,"blockMap":true},"metadata":{"mtime":1e3}}`))
	f.Add([]byte(`{"linkname":"\ud83d\ude00\n"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var e Entry
		if err := decodeEntry(raw, &e); err != nil {
			return
		}
		m, err := encodeMetadata(e.Metadata)
		if err != nil {
			if errors.Is(err, errJSONDepth) {
				return
			}
			t.Fatalf("metadata %q: %v", e.Metadata, err)
		}
		e.Metadata = m
		out := appendEntry(nil, &e)
		var back Entry
		if err := decodeEntry(out, &back); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		if again := appendEntry(nil, &back); !bytes.Equal(out, again) {
			t.Fatalf("%q became %q", out, again)
		}
	})
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"/a/../b", `C:\x`, "http://h/x", "ab:", "//", "\xff/\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		p, err := Clean(name)
		if err != nil {
			return
		}
		if p[0] != '/' || p == "/" || strings.Contains(p, "//") || strings.HasSuffix(p, "/") || strings.Contains(p, `\`) {
			t.Fatalf("%q becomes %q", name, p)
		}
		for part := range strings.SplitSeq(p[1:], "/") {
			if part == "." || part == ".." {
				t.Fatalf("%q becomes %q", name, p)
			}
		}
		if again, err := Clean(p); err != nil || again != p {
			t.Fatalf("%q becomes %q, then %q, %v", name, p, again, err)
		}
	})
}

func BenchmarkDecodeEntry(b *testing.B) {
	raw := []byte(`{"executable":false,"linkname":null,"blob":{"blockOffset":123456,"byteOffset":12345678901,"blockLength":1,"byteLength":4096},"metadata":{"mtime":1700000000000}}`)
	b.ReportAllocs()
	var e Entry
	for b.Loop() {
		if err := decodeEntry(raw, &e); err != nil {
			b.Fatal(err)
		}
	}
}
