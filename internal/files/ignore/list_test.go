package ignore

import (
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		patterns string
		in       string // paths that stay out; folders end in a slash
		notIn    string
	}{
		{"*.o", "a.o x/b.o", "a.c a.o.c a.oo"},
		{"build/", "build/ x/build/ build/a x/build/y/z", "build x/build builds/"},
		{"/todo", "todo todo/ todo/a", "x/todo"},
		{"doc/*.txt", "doc/a.txt", "x/doc/a.txt doc/x/a.txt a.txt"},
		{"**/logs", "logs x/logs x/y/logs/a", "xlogs"},
		{"logs/**", "logs/a logs/x/b", "logs logs/ x/logs/a"},
		{"a/**/b", "a/b a/x/b a/x/y/b", "a/xb ab"},
		{"?.c", "a.c x/b.c", "ab.c .c"},
		{"[a-c].go", "a.go x/c.go", "d.go"},
		{"[!a-c].go", "d.go", "a.go"},
		{"[", "[", "a"},
		{"# comment\n\n  ", "", "a #"},
		{`\#x` + "\n" + `\!y`, "#x !y", "x y"},
		{"*.log\n!keep.log", "a.log x/b.log", "keep.log x/keep.log"},
		{"out/\n!out/keep", "out/ out/keep", ""},
		{"*\n!*.md", "a x/ x/a.md", "a.md"},
		{"a.b+(c)", "a.b+(c)", "axb+(c)"},
		{"é*", "é éx x/éa", "e"},
		{"trailing   ", "trailing", ""},
		{"with\r\ncrlf\r\n", "with crlf", ""},
		{Defaults, ".git/ .git/config x/.git/HEAD .DS_Store x/Thumbs.db", ".git .gitignore git/"},
		{Defaults + "!.git/", "", ".git/ .git/config"},
	} {
		var l List
		if err := l.Add("test", c.patterns); err != nil {
			t.Errorf("%q: %v", c.patterns, err)
			continue
		}
		check := func(paths string, want bool) {
			for _, p := range strings.Fields(paths) {
				name, folder := strings.CutSuffix(p, "/")
				if got := l.Match(name, folder); got != want {
					t.Errorf("%q on %s: %v, want %v", c.patterns, p, got, want)
				}
				if got := l.MatchPath("/"+name, func() bool { return folder }); got != want {
					t.Errorf("%q on /%s by path: %v, want %v", c.patterns, p, got, want)
				}
			}
		}
		check(c.in, true)
		check(c.notIn, false)
	}
}

func TestMistakesNameTheirLine(t *testing.T) {
	var l List
	err := l.Add(".cloudpalignore", "fine\n[z-a]\n")
	if err == nil || !strings.Contains(err.Error(), `.cloudpalignore, line 2: pattern "[z-a]"`) {
		t.Errorf("got %v", err)
	}
}

func FuzzAdd(f *testing.F) {
	f.Add("*.o\n!a[!b]/**\n\\", "a/b.o")
	f.Fuzz(func(t *testing.T, patterns, path string) {
		var l List
		if l.Add("fuzz", patterns) == nil && l.Match(path, false) && len(l.rules) == 0 {
			t.Error("nothing ignores something")
		}
	})
}
