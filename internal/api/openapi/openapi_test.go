package openapi

import (
	"bytes"
	"flag"
	"go/ast"
	"os"
	"slices"
	"strings"
	"testing"

	docs "github.com/tradle/cloudpal/docs/api"
	"github.com/tradle/cloudpal/internal/api"
)

var update = flag.Bool("update", false, "write the description anew")

const file = "../../../docs/api/openapi.json"

func TestTheDescriptionIsCurrent(t *testing.T) {
	texts, err := ReadComments("..", "../../fault")
	if err != nil {
		t.Fatal(err)
	}
	now, err := Describe(api.Routes(), texts)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, now, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(now, docs.OpenAPI) {
		t.Error("docs/api/openapi.json is not current: run go test ./internal/api/openapi -update")
	}
}

// The events of every route are those that its handler can send, itself or through
// what it calls in its package.
func TestRoutesNameTheirEvents(t *testing.T) {
	files, err := parseFolder("..")
	if err != nil {
		t.Fatal(err)
	}
	sends, calls := make(map[string][]string), make(map[string][]string)
	for _, f := range files {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					if name, ok := n.Fun.(*ast.Ident); ok {
						calls[fn.Name.Name] = append(calls[fn.Name.Name], name.Name)
					}
					if s, ok := n.Fun.(*ast.SelectorExpr); ok && (s.Sel.Name == "Send" || s.Sel.Name == "Post") {
						if name, ok := n.Args[0].(*ast.Ident); ok && strings.HasPrefix(name.Name, "Type") {
							sends[fn.Name.Name] = append(sends[fn.Name.Name], name.Name)
						}
					}
				case *ast.SelectorExpr:
					if x, ok := n.X.(*ast.Ident); ok && x.Name == "h" {
						calls[fn.Name.Name] = append(calls[fn.Name.Name], n.Sel.Name)
					}
				case *ast.CompositeLit:
					if name, ok := n.Type.(*ast.Ident); ok && name.Name == "throttle" {
						calls[fn.Name.Name] = append(calls[fn.Name.Name], "report")
					}
				}
				return true
			})
		}
	}
	constants := constantsOf(t, files)
	for _, r := range api.Routes() {
		if r.ContentType != "text/event-stream" {
			continue
		}
		reached := make(map[string]bool)
		var events []string
		for todo := []string{r.Handler}; len(todo) > 0; {
			name := todo[0]
			todo = todo[1:]
			if reached[name] || sends[name] == nil && calls[name] == nil {
				continue
			}
			reached[name] = true
			for _, c := range sends[name] {
				events = append(events, constants[c])
			}
			todo = append(todo, calls[name]...)
		}
		events = slices.DeleteFunc(events, func(e string) bool { return e == api.TypeDone || e == api.TypeError })
		slices.Sort(events)
		events = slices.Compact(events)
		declared := slices.Sorted(slices.Values(r.Events))
		if !slices.Equal(events, declared) {
			t.Errorf("%s can send %q, the table says %q", r.Path, events, declared)
		}
	}
}

// constantsOf returns the values of the constants that are texts.
func constantsOf(t *testing.T, files []*ast.File) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok || len(v.Values) != len(v.Names) {
				return true
			}
			for i, name := range v.Names {
				if lit, ok := v.Values[i].(*ast.BasicLit); ok {
					all[name.Name] = strings.Trim(lit.Value, `"`)
				}
			}
			return true
		})
	}
	return all
}
