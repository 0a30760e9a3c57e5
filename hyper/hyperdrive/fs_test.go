package hyperdrive

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/fstest"
)

func treeDrive(t *testing.T) (*Drive, []byte) {
	d := newTestDrive(t, nil)
	big := bytes.Repeat([]byte("abcdefghijklmno\n"), 200_000)
	for i := range big {
		big[i] ^= byte(i >> 13)
	}
	for path, data := range map[string][]byte{
		"hello.txt": []byte("hello"), "dir/a": []byte("A"), "dir/sub/deep/x.html": []byte("<p>x"), "dir0/z": nil,
		"big.bin": big, "plain.bin": big[:300_000], "a b/ü&": []byte("odd"),
	} {
		if err := d.Put(t.Context(), path, data, &PutOptions{Executable: path == "dir/a"}); err != nil {
			t.Fatal(err)
		}
	}
	for path, target := range map[string]string{"link": "hello.txt", "dir/up": "../hello.txt", "folder": "/dir/sub"} {
		if err := d.Symlink(t.Context(), path, target, nil); err != nil {
			t.Fatal(err)
		}
	}
	return d, big
}

func TestSnapshotIsAFileSystem(t *testing.T) {
	d, _ := treeDrive(t)
	v, err := d.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if err := fstest.TestFS(v.FS(t.Context()), "hello.txt", "dir/sub/deep/x.html", "dir0/z", "link", "folder", "a b/ü&"); err != nil {
		t.Error(err)
	}
	empty := newTestDrive(t, nil)
	if err := fstest.TestFS(empty.FS(t.Context())); err != nil {
		t.Error(err)
	}
}

func TestFileSystemFollowsLinks(t *testing.T) {
	d, _ := treeDrive(t)
	fsys := d.FS(t.Context())
	for name, want := range map[string]string{"link": "hello", "dir/up": "hello", "folder/deep/x.html": "<p>x"} {
		if got, err := fs.ReadFile(fsys, name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if info, err := fsys.Stat("folder"); err != nil || !info.IsDir() {
		t.Errorf("link to a folder: %v, %v", info, err)
	}
	if info, err := fsys.Lstat("folder"); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("link itself: %v, %v", info, err)
	}
	if target, err := fs.ReadLink(fsys, "folder"); err != nil || target != "/dir/sub" {
		t.Errorf("target %q, %v", target, err)
	}
	for _, name := range []string{"none", "dir/none", "hello.txt/x", `dir\a`} {
		if _, err := fsys.Open(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("open %s: %v", name, err)
		}
	}
}

func TestHostileNamesAreNotVisible(t *testing.T) {
	d := newTestDrive(t, nil)
	put(t, d, "good", "x")
	for _, path := range []string{"/../up", "//", "/", "", "/./dot", "/a\x00b", "/back\\slash", "/\xff", "/x/../../y", "/z//z", "noslash"} {
		if err := d.tree.Put(t.Context(), appendKey(nil, path), appendEntry(nil, &Entry{}), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := fstest.TestFS(d.FS(t.Context()), "good"); err != nil {
		t.Error(err)
	}
	for _, p := range paths(t, d.View, "") {
		if clean, err := Clean(p); ValidPath(p) != (err == nil && clean == p && !bytes.Contains([]byte(p), []byte{0})) {
			t.Errorf("ValidPath(%q) = %v", p, ValidPath(p))
		}
	}
}

func TestDriveServesHTTPRanges(t *testing.T) {
	d, big := treeDrive(t)
	v, err := d.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	server := httptest.NewServer(http.FileServerFS(v.FS(t.Context())))
	defer server.Close()
	fetch := func(path, ranges string) (*http.Response, []byte) {
		req, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if ranges != "" {
			req.Header.Set("Range", ranges)
		}
		res, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, body
	}
	for _, c := range []struct {
		path, ranges string
		status       int
		want         []byte
	}{
		{"/hello.txt", "", 200, []byte("hello")},
		{"/big.bin", "", 200, big},
		{"/big.bin", "bytes=1000000-1000099", 206, big[1_000_000:1_000_100]},
		{"/plain.bin", "bytes=65530-65545", 206, big[65530:65546]},
		{"/big.bin", "bytes=-7", 206, big[len(big)-7:]},
		{"/big.bin", "bytes=99999999-", 416, nil},
		{"/dir/up", "bytes=1-2", 206, []byte("el")},
		{"/none", "", 404, nil},
	} {
		res, body := fetch(c.path, c.ranges)
		if res.StatusCode != c.status || c.want != nil && !bytes.Equal(body, c.want) {
			t.Errorf("%s %s: status %d, %d bytes", c.path, c.ranges, res.StatusCode, len(body))
		}
	}
	if res, _ := fetch("/hello.txt", ""); res.Header.Get("Last-Modified") == "" {
		t.Error("no time of modification")
	}
}

func TestFolderListingIsSorted(t *testing.T) {
	d := newTestDrive(t, nil)
	for _, p := range []string{"a/x", "a!", "a.txt", "b"} {
		put(t, d, p, "")
	}
	list, err := d.FS(t.Context()).ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list {
		got = append(got, e.Name())
	}
	if want := []string{"a", "a!", "a.txt", "b"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
