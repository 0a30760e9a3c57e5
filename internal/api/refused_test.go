package api

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tradle/cloudpal/internal/fault"
)

// A path would lead somewhere else with each folder that a node is started in.
func TestPathsAreAbsolute(t *testing.T) {
	h := New(Backend{})
	for path, body := range map[string]string{
		"/v1/share":   `{"path":"photos"}`,
		"/v1/get":     `{"ref":"photos","dest":""}`,
		"/v1/send":    `{"paths":["/photos","photos"]}`,
		"/v1/receive": `{"dest":"."}`,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader(body)))
		if !strings.Contains(w.Body.String(), `"kind":"usage"`) || !strings.Contains(w.Body.String(), "absolute") {
			t.Errorf("%s: %s", path, w.Body)
		}
	}
}

// What a program asks for in the wrong way is refused before anything happens, with a
// report that says why.
func TestRequestsThatAreWrongAreRefused(t *testing.T) {
	h := New(Backend{})
	for _, tc := range []struct {
		name, method, path, body string
		status                   int
		allow, says              string
	}{
		{"read of what is posted", "GET", "/v1/spaces", "", 405, "POST", "POST"},
		{"another method", "PUT", "/v1/spaces", "{}", 405, "POST", "POST"},
		{"post to what is read", "POST", "/v1/info", "{}", 405, "GET, HEAD", "GET"},
		{"options", "OPTIONS", "/v1/info", "", 405, "GET, HEAD", "GET"},
		{"no such path", "POST", "/v1/none", "{}", 404, "", "/v1/none"},
		{"a path below", "POST", "/v1/spaces/x", "{}", 404, "", "/v1/spaces/x"},
		{"no JSON", "POST", "/v1/spaces", "name=x", 400, "", "invalid character"},
		{"half of a request", "POST", "/v1/spaces", "{", 400, "", "unexpected EOF"},
		{"two requests", "POST", "/v1/spaces", "{}{}", 400, "", "follows"},
		{"something behind it", "POST", "/v1/bundle", "{} x", 400, "", "invalid character"},
		{"an unknown member", "POST", "/v1/spaces", `{"x":1}`, 400, "", "unknown"},
		{"a value of another type", "POST", "/v1/space/create", `{"name":5}`, 400, "", "number"},
		{"too long", "POST", "/v1/space/create", `{"name":"` + strings.Repeat("x", maxRequest) + `"}`, 413, "", "too large"},
		{"too long for content", "POST", "/v1/content", strings.Repeat(" ", maxRequest+1), 413, "", "too large"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(tc.method, tc.path, strings.NewReader(tc.body)))
		var r fault.Report
		if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil || r.Type != "error" {
			t.Errorf("%s: answer %q: %v", tc.name, w.Body, err)
		}
		if w.Code != tc.status || w.Header().Get("Allow") != tc.allow || !strings.Contains(r.Message, tc.says) {
			t.Errorf("%s: status %d, Allow %q, %q", tc.name, w.Code, w.Header().Get("Allow"), r.Message)
		}
	}
}
