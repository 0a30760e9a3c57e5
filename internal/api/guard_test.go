package api

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tradle/cloudpal/internal/fault"
)

func TestOnlyWhoHasTheTokenIsAnswered(t *testing.T) {
	const token = "zq81"
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "answer") })
	ok := http.Header{"Authorization": {"Bearer " + token}}
	with := func(name, value string) http.Header {
		h := ok.Clone()
		h.Set(name, value)
		return h
	}
	for _, tc := range []struct {
		name, host string
		header     http.Header
		loopback   bool
		want       int
	}{
		{"by address", "127.0.0.1:4979", ok, true, 200},
		{"another loopback address", "127.8.9.1:4979", ok, true, 200},
		{"IPv6", "[::1]:4979", ok, true, 200},
		{"without a port", "127.0.0.1", ok, true, 200},
		{"IPv6 without a port", "[::1]", ok, true, 200},
		{"localhost", "LocalHost:4979", ok, true, 200},
		{"case of the scheme", "127.0.0.1:4979", http.Header{"Authorization": {"bearer " + token}}, true, 200},
		{"same origin", "127.0.0.1:4979", with("Origin", "http://127.0.0.1:4979"), true, 200},
		{"typed in", "127.0.0.1:4979", with("Sec-Fetch-Site", "none"), true, 200},
		{"an open address", "192.0.2.7:4979", ok, false, 200},

		{"a name that was rebound", "evil.example:4979", ok, true, 421},
		{"a name that was rebound, exposed", "evil.example:4979", ok, false, 421},
		{"a name like an address", "127.0.0.1.evil.example", ok, true, 421},
		{"no host", "", ok, true, 421},
		{"an open address for loopback", "192.0.2.7:4979", ok, true, 421},
		{"another origin", "127.0.0.1:4979", with("Origin", "https://evil.example"), true, 403},
		{"another port", "127.0.0.1:4979", with("Origin", "http://127.0.0.1:80"), true, 403},
		{"no origin", "127.0.0.1:4979", with("Origin", "null"), true, 403},
		{"another site", "127.0.0.1:4979", with("Sec-Fetch-Site", "cross-site"), true, 403},
		{"a neighbour's page", "127.0.0.1:4979", with("Sec-Fetch-Site", "same-site"), true, 403},

		{"no token", "127.0.0.1:4979", nil, true, 401},
		{"an empty token", "127.0.0.1:4979", http.Header{"Authorization": {"Bearer "}}, true, 401},
		{"a wrong token", "127.0.0.1:4979", http.Header{"Authorization": {"Bearer zq8I"}}, true, 401},
		{"more", "127.0.0.1:4979", http.Header{"Authorization": {"Bearer zq812"}}, true, 401},
		{"another scheme", "127.0.0.1:4979", http.Header{"Authorization": {"Basic zq81"}}, true, 401},
	} {
		for _, method := range []string{"GET", "POST", "OPTIONS"} {
			r := httptest.NewRequest(method, "/v1/info", nil)
			r.Host = tc.host
			if tc.header != nil {
				r.Header = tc.header
			}
			w := httptest.NewRecorder()
			Guard(next, token, tc.loopback).ServeHTTP(w, r)
			if w.Code != tc.want || (w.Body.String() == "answer") != (tc.want == 200) {
				t.Errorf("%s, %s: %d %s", tc.name, method, w.Code, w.Body)
			}
			for name := range w.Header() {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s: CORS is open: %s", tc.name, name)
				}
			}
			if tc.want != 200 {
				var report fault.Report
				if err := json.Unmarshal(w.Body.Bytes(), &report); err != nil || report.Type != TypeError || strings.Contains(w.Body.String(), token) {
					t.Errorf("%s: %s, %v", tc.name, w.Body, err)
				}
			}
		}
	}
}

func FuzzHosts(f *testing.F) {
	for _, s := range []string{"127.0.0.1:1", "[::1]:1", "localhost", "a.b:1", "[", "::1", "127.0.0.1%eth0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if isAddress(host, true) && !isAddress(host, false) {
			t.Errorf("%q is a loopback address and none", host)
		}
		name, port, ok := strings.Cut(strings.ToLower(host), ":")
		if isAddress(host, false) && ok && !strings.Contains(port, ":") && name != "localhost" && strings.ContainsAny(name, "ghijklmnopqrstuvwxyz") {
			t.Errorf("%q is no address", host)
		}
	})
}
