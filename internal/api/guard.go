package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/tradle/cloudpal/internal/fault"
)

// Guard protects a handler that is reachable over TCP, where browsers and other
// people's programs are: nothing is answered without the token, which comes as
// "Authorization: Bearer TOKEN" and is compared in constant time.
//
// A web page cannot use the handler even if it knew the token. Requests for a host
// that is a name are refused, except localhost, so that no page can make its own name
// point here; with loopback set addresses of other machines are, too. Requests that a
// page of another origin makes are refused, and none is ever allowed by CORS.
func Guard(next http.Handler, token string, loopback bool) http.Handler {
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !isAddress(r.Host, loopback):
			refuse(w, http.StatusMisdirectedRequest, fault.New(fault.Unsafe, "the API does not answer for the host %q", r.Host).
				Hint("ask for it by its address, such as http://127.0.0.1:PORT"))
		case !sameOrigin(r):
			refuse(w, http.StatusForbidden, fault.New(fault.Unsafe, "the API does not answer to web pages"))
		case !hasToken(r, &want):
			w.Header().Set("WWW-Authenticate", `Bearer realm="cloudpal"`)
			refuse(w, http.StatusUnauthorized, fault.New(fault.Permission, "the token is missing or wrong").
				Hint("send the content of the file api.token in the data folder: Authorization: Bearer TOKEN"))
		default:
			w.Header().Set("X-Content-Type-Options", "nosniff")
			next.ServeHTTP(w, r)
		}
	})
}

// isAddress tells whether a Host header names an IP address, or localhost, and not a
// name that somebody else decides about.
func isAddress(host string, loopback bool) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if strings.EqualFold(name, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(name)
	return err == nil && (!loopback || a.IsLoopback())
}

// sameOrigin tells whether a request comes from no web page, or from one of this
// very address.
func sameOrigin(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

func hasToken(r *http.Request, want *[sha256.Size]byte) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got := sha256.Sum256([]byte(strings.TrimSpace(token))) // of one length, whatever was sent
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// refuse answers with a fault and a status that says more than its kind.
func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(fault.ReportOf(err)) // the client is gone if it fails
}
