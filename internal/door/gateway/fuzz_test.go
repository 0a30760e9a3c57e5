package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// FuzzRequests sends requests of all kinds. Whatever they say, the answer is one
// of a few, says how long it is, and leads to no other host.
func FuzzRequests(f *testing.F) {
	f.Add("GET", "/a.txt", "bytes=0-3", `"v2-20"`, "localhost")
	f.Add("HEAD", "/docs@1/sub/", "", "", "127.0.0.1:8080")
	f.Add("GET", "/@2/sub/b c#?.bin", "bytes=-1,0-0", `W/"x", *`, "[::1]")
	f.Add("GET", "//evil.example/..", "bytes=9223372036854775807-", "", "evil.example")
	f.Add("PUT", "/sub", "lines=1-2", "Sun, 01 Mar 2026 12:00:00 GMT", "")
	f.Add("GET", "/docs", "", "", "x.localhost")
	f.Add("GET", "/docs/.a:b", "", "", "localhost")
	f.Fuzz(func(t *testing.T, method, path, span, condition, host string) {
		if path != "" && path[0] != '/' {
			path = "/" + path // the server refuses others
		}
		for _, opts := range []*Options{{}, {Single: true, LoopbackOnly: true}} {
			r := &http.Request{Method: method, Host: host, URL: &url.URL{Path: path}, Header: http.Header{
				"Range": {span}, "If-None-Match": {condition}, "If-Range": {condition}, "If-Match": {condition},
				"If-Modified-Since": {condition}, "If-Unmodified-Since": {condition},
			}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
			w := httptest.NewRecorder()
			New(sites{}, opts).ServeHTTP(w, r.WithContext(t.Context()))
			switch w.Code {
			case 200, 206, 301, 304, 404, 405, 412, 416, 421:
			default:
				t.Fatalf("status %d", w.Code)
			}
			if n := w.Header().Get("Content-Length"); n != "" && method != "HEAD" && w.Code != 304 && n != strconv.Itoa(w.Body.Len()) {
				t.Fatalf("status %d: %d bytes, Content-Length %s", w.Code, w.Body.Len(), n)
			}
			if method == "HEAD" && w.Body.Len() > 0 && w.Code != 416 { // which the server leaves out
				t.Fatalf("the answer to HEAD has %d bytes", w.Body.Len())
			}
			if l := w.Header().Get("Location"); l != "" {
				to, err := url.Parse(l)
				if err != nil || to.Host != "" || to.Scheme != "" || strings.HasPrefix(l, "//") || strings.HasPrefix(l, `/\`) {
					t.Fatalf("path %q leads to %q", path, l)
				}
			}
			if opts.LoopbackOnly && w.Code < 300 && !strings.Contains(host, "localhost") && !strings.Contains(host, "127.") && !strings.Contains(host, "::1") && !strings.Contains(host, "0:1") && !strings.Contains(host, ":7f") {
				t.Fatalf("host %q is answered", host)
			}
		}
	})
}
