package openapi

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"strings"
)

// Comments are the doc comments of the types in some packages.
type Comments struct {
	types  map[string]string
	fields map[string]string
}

// ReadComments reads the source in folders.
func ReadComments(folders ...string) (*Comments, error) {
	c := &Comments{make(map[string]string), make(map[string]string)}
	for _, folder := range folders {
		files, err := parseFolder(folder)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			c.read(f)
		}
	}
	return c, nil
}

// parseFolder parses the files of a package, without its tests.
func parseFolder(folder string) (files []*ast.File, err error) {
	names, err := fs.Glob(os.DirFS(folder), "*.go")
	if err != nil {
		return nil, err
	}
	set := token.NewFileSet()
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, folder+"/"+name, nil, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("read comments: %w", err)
		}
		files = append(files, f)
	}
	return files, nil
}

func (c *Comments) read(f *ast.File) {
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.TYPE {
			continue
		}
		for _, spec := range g.Specs {
			t := spec.(*ast.TypeSpec)
			doc := t.Doc
			if doc == nil {
				doc = g.Doc
			}
			c.types[f.Name.Name+"."+t.Name.Name] = text(doc)
			if s, ok := t.Type.(*ast.StructType); ok {
				c.readFields(f.Name.Name+"."+t.Name.Name, s)
			}
		}
	}
}

func (c *Comments) readFields(name string, s *ast.StructType) {
	for _, field := range s.Fields.List {
		doc := text(field.Doc)
		if doc == "" {
			doc = text(field.Comment)
		}
		for _, n := range field.Names {
			c.fields[name+"."+n.Name] = doc
		}
	}
}

// links are references to other names in a comment.
var links = regexp.MustCompile(`\[([A-Za-z][A-Za-z.]*)\]`)

func text(doc *ast.CommentGroup) string {
	paragraphs := strings.Split(strings.TrimSpace(doc.Text()), "\n\n")
	for i, p := range paragraphs {
		paragraphs[i] = links.ReplaceAllString(strings.ReplaceAll(p, "\n", " "), "$1")
	}
	return strings.Join(paragraphs, "\n\n")
}

// Type returns the comment of a type.
func (c *Comments) Type(t reflect.Type) string { return c.types[t.String()] }

// Field returns the comment of a field.
func (c *Comments) Field(t reflect.Type, name string) string {
	return c.fields[t.String()+"."+name]
}
