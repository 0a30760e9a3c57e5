package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/tradle/cloudpal/internal/fault"
)

var modified = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// sites holds versions 1 and 2 of one drive, "docs".
type sites struct{}

func (sites) Site(_ context.Context, name string, version uint64) (*Site, error) {
	if name != "docs" && name != "" || version > 2 {
		return nil, fault.New(fault.NotFound, "no such drive")
	}
	if version == 0 {
		version = 2
	}
	file := func(text string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(text), ModTime: modified, Mode: 0o644}
	}
	files := fstest.MapFS{
		"a.txt":           file(fmt.Sprintf("hello from version %d", version)),
		"site/index.html": file("<h1>home</h1>"),
		"sub/b c#?.bin":   file("\x00\x01\x02"),
		"sub/c:d":         file("colon"),
		"sub/<b>":         file("markup"),
		".a:b/x":          file("colon behind a dot"),
		"pic.svg":         file("<svg/>"),
	}
	return &Site{Name: "docs", Version: version, FS: files,
		Tag: func(i fs.FileInfo) string { return fmt.Sprintf("v%d-%d", version, i.Size()) }}, nil
}

func (sites) List(context.Context) ([]Listing, error) {
	return []Listing{{Name: "docs", Version: 2, Bytes: 12345678}}, nil
}

type request struct {
	method, url string
	header      map[string]string
}

func TestAnswers(t *testing.T) {
	one := New(sites{}, &Options{Single: true, LoopbackOnly: true})
	all := New(sites{}, nil)
	type want struct {
		status int
		header map[string]string // exact values; "-" means absent
		has    []string
		hasNot []string
	}
	for _, c := range []struct {
		name string
		h    http.Handler
		req  request
		want want
	}{
		{"a file", one, request{url: "/a.txt"}, want{200, map[string]string{
			"Content-Type": "text/plain; charset=utf-8", "Etag": `"v2-20"`, "Cache-Control": "no-cache", "Accept-Ranges": "bytes",
			"X-Content-Type-Options": "nosniff", "Content-Length": "20", "Last-Modified": "Sun, 01 Mar 2026 12:00:00 GMT",
			"Content-Security-Policy": "-"}, []string{"hello from version 2"}, nil}},
		{"an old version never changes", one, request{url: "/@1/a.txt"}, want{200, map[string]string{
			"Cache-Control": "public, max-age=31536000, immutable"}, []string{"hello from version 1"}, nil}},
		{"part of a file", one, request{url: "/a.txt", header: map[string]string{"Range": "bytes=6-9"}}, want{206, map[string]string{
			"Content-Range": "bytes 6-9/20", "Content-Length": "4"}, []string{"from"}, []string{"hello"}}},
		{"the end of a file", one, request{url: "/a.txt", header: map[string]string{"Range": "bytes=-1"}}, want{206, nil, []string{"2"}, []string{"hello"}}},
		{"several parts", one, request{url: "/a.txt", header: map[string]string{"Range": "bytes=0-0,2-3"}}, want{206, nil, []string{"bytes 0-0/20", "bytes 2-3/20"}, nil}},
		{"a part behind the end", one, request{url: "/a.txt", header: map[string]string{"Range": "bytes=99-"}}, want{416, map[string]string{"Content-Range": "bytes */20"}, nil, nil}},
		{"a part of a file that changed", one, request{url: "/a.txt", header: map[string]string{"Range": "bytes=0-0", "If-Range": `"v1-20"`}}, want{200, nil, []string{"hello"}, nil}},
		{"unchanged by tag", one, request{url: "/a.txt", header: map[string]string{"If-None-Match": `"v2-20"`}}, want{304, nil, nil, []string{"hello"}}},
		{"changed by tag", one, request{url: "/a.txt", header: map[string]string{"If-None-Match": `"v1-20"`}}, want{200, nil, []string{"hello"}, nil}},
		{"unchanged by time", one, request{url: "/a.txt", header: map[string]string{"If-Modified-Since": "Sun, 01 Mar 2026 12:00:00 GMT"}}, want{304, nil, nil, nil}},
		{"changed by time", one, request{url: "/a.txt", header: map[string]string{"If-Modified-Since": "Sun, 01 Mar 2026 11:00:00 GMT"}}, want{200, nil, nil, nil}},
		{"only the head", one, request{method: "HEAD", url: "/a.txt"}, want{200, map[string]string{"Content-Length": "20"}, nil, []string{"hello"}}},
		{"to save", one, request{url: "/sub/b%20c%23%3F.bin?download"}, want{200, map[string]string{"Content-Disposition": `attachment; filename="b c#?.bin"`}, nil, nil}},
		{"a picture", one, request{url: "/pic.svg"}, want{200, map[string]string{"Content-Type": "image/svg+xml"}, nil, nil}},

		{"a folder", one, request{url: "/sub/"}, want{200, map[string]string{"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-cache"},
			[]string{`href="./b%20c%23%3F.bin"`, `href="./c:d"`, "&lt;b&gt;", `href="/@2/sub/"`, `<h1 aria-current="page">sub</h1>`, `<a href="../">docs</a>`, "Version 2"}, []string{"<b>"}}},
		{"the root", one, request{url: "/"}, want{200, nil, []string{`href="./site/"`, `href="./a.txt"`, "20 B", `<time datetime="2026-03-01T12:00:00Z">`, `lang="en"`}, []string{"All drives"}}},
		{"an old folder", one, request{url: "/@1/sub/"}, want{200, map[string]string{"Cache-Control": "public, max-age=31536000, immutable"}, []string{`href="/sub/"`, "Version 1"}, nil}},
		{"a folder with an index", one, request{url: "/site/"}, want{200, nil, []string{"<h1>home</h1>"}, nil}},
		{"a folder without slash", one, request{url: "/sub?x=1"}, want{301, map[string]string{"Location": "./sub/?x=1"}, nil, nil}},
		{"a folder with a colon, without slash", one, request{url: "/.a:b"}, want{301, map[string]string{"Location": "./.a:b/"}, nil, nil}},
		{"a file with slash", one, request{url: "/a.txt/"}, want{301, map[string]string{"Location": "../a.txt"}, nil, nil}},
		{"no such file", one, request{url: "/nope.txt"}, want{404, map[string]string{"Cache-Control": "no-store", "Etag": "-"}, []string{"There is no such file."}, nil}},
		{"no such version", one, request{url: "/@9/a.txt"}, want{404, nil, nil, nil}},
		{"out of the drive", one, request{url: "/sub/../../etc/passwd"}, want{404, nil, nil, []string{"root:"}}},
		{"out of the drive, hidden", one, request{url: "/sub/%2e%2e/%2e%2e/etc/passwd"}, want{404, nil, nil, nil}},
		{"two slashes", one, request{url: "//evil.example/sub"}, want{404, map[string]string{"Location": "-"}, nil, nil}},
		{"writing", one, request{method: "PUT", url: "/a.txt"}, want{405, map[string]string{"Allow": "GET, HEAD"}, nil, nil}},
		{"another host name", one, request{url: "/a.txt", header: map[string]string{"Host": "evil.example"}}, want{421, nil, nil, []string{"hello"}}},
		{"localhost by name", one, request{url: "/a.txt", header: map[string]string{"Host": "docs.localhost:80"}}, want{200, nil, nil, nil}},
		{"localhost by number", one, request{url: "/a.txt", header: map[string]string{"Host": "[::1]:8080"}}, want{200, nil, nil, nil}},

		{"the list", all, request{url: "/"}, want{200, nil, []string{`href="./docs/"`, "12 MB", "version 2"}, nil}},
		{"one of many", all, request{url: "/docs/a.txt"}, want{200, map[string]string{
			"Content-Security-Policy": "sandbox allow-scripts allow-forms allow-popups allow-downloads"}, []string{"hello from version 2"}, nil}},
		{"an old version of one of many", all, request{url: "/docs@1/a.txt"}, want{200, nil, []string{"hello from version 1"}, nil}},
		{"a folder of one of many", all, request{url: "/docs/sub/"}, want{200, nil, []string{`<a href="../../">All drives</a>`, `href="/docs@2/sub/"`}, nil}},
		{"a name without slash", all, request{url: "/docs"}, want{301, map[string]string{"Location": "/docs/"}, nil, nil}},
		{"no such drive", all, request{url: "/nope/"}, want{404, nil, nil, nil}},
	} {
		t.Run(c.name, func(t *testing.T) {
			method := c.req.method
			if method == "" {
				method = "GET"
			}
			r := httptest.NewRequest(method, c.req.url, nil)
			r.Host = "localhost:8080"
			for k, v := range c.req.header {
				r.Header.Set(k, v)
				if k == "Host" {
					r.Host = v
				}
			}
			w := httptest.NewRecorder()
			c.h.ServeHTTP(w, r)
			body := w.Body.String()
			if w.Code != c.want.status {
				t.Errorf("status %d, want %d\n%v", w.Code, c.want.status, w.Header())
			}
			for k, v := range c.want.header {
				got, present := w.Header()[k]
				if v == "-" {
					if present {
						t.Errorf("header %s: %q, want none", k, got)
					}
				} else if len(got) != 1 || got[0] != v {
					t.Errorf("header %s: %q, want %q", k, got, v)
				}
			}
			for _, s := range c.want.has {
				if !strings.Contains(body, s) {
					t.Errorf("body lacks %q:\n%s", s, body)
				}
			}
			for _, s := range c.want.hasNot {
				if strings.Contains(body, s) {
					t.Errorf("body has %q:\n%s", s, body)
				}
			}
		})
	}
}

// far is a drive whose file breaks off: after some bytes, or at once.
type far struct {
	sites
	err  error // of the file
	text string
	open error // of the drive
}

func (f far) Site(context.Context, string, uint64) (*Site, error) {
	return &Site{Name: "far", FS: f, Tag: func(fs.FileInfo) string { return "tag" }}, f.open
}

func (f far) Open(name string) (fs.File, error) {
	file, err := fstest.MapFS{name: {Data: []byte(strings.Repeat("x", 1000)), ModTime: modified}}.Open(name)
	return &broken{file, f}, err
}

type broken struct {
	fs.File
	far
}

func (b *broken) Seek(offset int64, whence int) (int64, error) {
	return b.File.(io.Seeker).Seek(offset, whence)
}

func (b *broken) Read(p []byte) (int, error) {
	if b.text == "" {
		return 0, b.err
	}
	n := copy(p, b.text)
	b.text = b.text[n:]
	return n, nil
}

func TestWhatCannotBeReadIsNoEmptyAnswer(t *testing.T) {
	gone := fault.New(fault.Unavailable, "no peer")
	get := func(f far, url string) (w *httptest.ResponseRecorder, aborted any) {
		w = httptest.NewRecorder()
		defer func() { aborted = recover() }()
		r := httptest.NewRequest("GET", url, nil)
		r.Header.Set("Range", "bytes=0-499")
		New(f, &Options{Single: true}).ServeHTTP(w, r)
		return w, nil
	}
	for name, c := range map[string]struct {
		far
		status int
	}{
		"nobody has the drive":    {far{open: gone}, http.StatusGatewayTimeout},
		"nobody has the file":     {far{err: gone}, http.StatusGatewayTimeout},
		"the file is damaged":     {far{err: fault.New(fault.Corrupt, "bad")}, http.StatusInternalServerError},
		"a wait inside was ended": {far{err: context.Canceled}, http.StatusServiceUnavailable},
	} {
		for _, url := range []string{"/film.mp4", "/film"} {
			w, aborted := get(c.far, url)
			if aborted != nil || w.Code != c.status || !strings.Contains(w.Body.String(), "<html") {
				t.Errorf("%s, %s: %d %q, aborted %v", name, url, w.Code, w.Body, aborted)
			}
			for _, k := range []string{"ETag", "Last-Modified", "Content-Range", "Accept-Ranges"} {
				if v := w.Header().Get(k); v != "" {
					t.Errorf("%s: %s: %s", name, k, v)
				}
			}
		}
	}
	// Half a file is not passed off as a whole one.
	w, aborted := get(far{err: gone, text: "some"}, "/film.mp4")
	if aborted != http.ErrAbortHandler || w.Code != http.StatusPartialContent || w.Body.String() != "some" {
		t.Errorf("broken off: %d %q, aborted %v", w.Code, w.Body, aborted)
	}
	// Nobody is there to be answered.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	defer func() {
		if aborted := recover(); aborted != http.ErrAbortHandler {
			t.Errorf("a client that left: aborted %v", aborted)
		}
	}()
	New(far{open: context.Canceled}, nil).ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/far/x", nil))
}

func TestPagesAllowTheirOwnStyleOnly(t *testing.T) {
	w := httptest.NewRecorder()
	New(sites{}, nil).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	_, rest, _ := strings.Cut(w.Body.String(), "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	policy := w.Header().Get("Content-Security-Policy")
	if !strings.Contains(policy, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") || !strings.HasPrefix(policy, "default-src 'none';") {
		t.Errorf("policy %q does not fit the style", policy)
	}
	if strings.Contains(w.Body.String(), "<script") {
		t.Error("the page has a script")
	}
}

func TestHumanBytes(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 9940: "9.9 kB", 9960: "10 kB", 999_499: "999 kB", 999_600: "1.0 MB", 12_345_678: "12 MB", 5e12: "5.0 TB",
	} {
		if got := humanBytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
