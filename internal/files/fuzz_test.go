package files

import (
	"strings"
	"testing"

	"github.com/tradle/cloudpal/internal/fault"
)

const someKey = "1yp5jxz8s45gjj18szjqn95k3nzh4mouuzdn8pzajjjumhh9989y"

// FuzzRecord decodes what the list of drives holds.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"name":"docs","link":"hyper://` + someKey + `","path":"/docs","added":"2026-01-01T00:00:00Z","gets":{"/x":[{"version":3,"began":"2026-01-01T00:00:00Z"}]}}`))
	f.Add([]byte(`{"link":"hyper://` + someKey + `?encryption=` + someKey + `"}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{"link":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRecord(b)
		if err == nil && linkTo(r.Key, r.EncryptionKey) == "" {
			t.Fatal("a record without a link")
		}
	})
}

// FuzzFind looks up what a person types, or pastes.
func FuzzFind(f *testing.F) {
	for _, ref := range []string{
		"hyper://" + someKey, "hyper://" + someKey + "/a/b?encryption=" + someKey, "hyper://" + someKey + "?encryption=" + someKey + "/a",
		someKey + "+12/a", "docs/sub", "/docs", "../x", "file:///docs/a", "http://x", "://", "a\x00b", "docs/../..",
	} {
		f.Add(ref)
	}
	l := &Library{registry: &registry{records: map[string]Record{"docs": {Name: "docs", Path: "/docs", Space: "s"}}}}
	f.Fuzz(func(t *testing.T, ref string) {
		p, err := l.Find(ref, "/nowhere")
		if err != nil {
			if k := fault.KindOf(err); k != fault.Usage && k != fault.NotFound {
				t.Fatal(err)
			}
			return
		}
		if p.Path != "" && (p.Path[0] != '/' || strings.Contains(p.Path, "/../") || strings.HasSuffix(p.Path, "/")) {
			t.Fatalf("%q is path %q", ref, p.Path)
		}
	})
}
