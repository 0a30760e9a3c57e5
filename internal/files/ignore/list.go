package ignore

import (
	"fmt"
	"regexp"
	"strings"
)

// Defaults are the patterns that count before all others: what version control
// and desktops leave in every folder. Patterns that begin with "!" take them
// back.
const Defaults = `.git/
.hg/
.svn/
.DS_Store
Thumbs.db
desktop.ini
`

// List is an ordered list of patterns. The zero value ignores nothing. It does
// not change once it is in use.
type List struct {
	rules []rule
	text  strings.Builder // what was added
}

// String returns the patterns. Lists with the same text match the same.
func (l *List) String() string { return l.text.String() }

type rule struct {
	path           bool           // is about the path without its first slash, else about its last part
	prefix, suffix string         // that what matches has, without wildcards
	match          *regexp.Regexp // nil: prefix is all
	folders        bool           // matches folders only
	negate         bool
}

func (r *rule) matches(s string) bool {
	if r.match == nil {
		return s == r.prefix
	}
	return strings.HasPrefix(s, r.prefix) && strings.HasSuffix(s, r.suffix) && r.match.MatchString(s)
}

// Add appends patterns, one per line. source names them in errors.
func (l *List) Add(source, patterns string) error {
	l.text.WriteString(patterns)
	l.text.WriteByte('\n')
	n := 0
	for line := range strings.Lines(patterns) {
		n++
		r, ok, err := parse(strings.TrimRight(line, "\r\n"))
		if err != nil {
			return fmt.Errorf("%s, line %d: pattern %q: %w", source, n, strings.TrimSpace(line), err)
		}
		if ok {
			l.rules = append(l.rules, r)
		}
	}
	return nil
}

// Match tells whether path stays out. It has slashes between its parts and may
// begin with one; folder says that path itself is a folder.
func (l *List) Match(path string, folder bool) bool {
	path = strings.TrimPrefix(path, "/")
	for i := range len(path) {
		if path[i] == '/' && l.matchOne(path[:i], true) {
			return true
		}
	}
	return l.matchOne(path, folder)
}

// MatchBelow is Match for a path in folders that do not stay out.
func (l *List) MatchBelow(path string, folder bool) bool {
	return l.matchOne(strings.TrimPrefix(path, "/"), folder)
}

// MatchPath is Match where only isFolder knows whether path is a folder; it is
// asked only if that matters.
func (l *List) MatchPath(path string, isFolder func() bool) bool {
	asFile, asFolder := l.Match(path, false), l.Match(path, true)
	if asFile == asFolder {
		return asFile
	}
	if isFolder() {
		return asFolder
	}
	return asFile
}

// matchOne does not look at the folders above path.
func (l *List) matchOne(path string, folder bool) bool {
	name := path[strings.LastIndexByte(path, '/')+1:]
	for i := len(l.rules) - 1; i >= 0; i-- {
		r := &l.rules[i]
		subject := name
		if r.path {
			subject = path
		}
		if (folder || !r.folders) && r.matches(subject) {
			return !r.negate
		}
	}
	return false
}

// parse reads one line; ok is false for blanks and comments.
func parse(line string) (r rule, ok bool, err error) {
	if line == "" || line[0] == '#' {
		return r, false, nil
	}
	// Spaces at the end do not count unless the last is escaped.
	for strings.HasSuffix(line, " ") && !strings.HasSuffix(line, `\ `) {
		line = line[:len(line)-1]
	}
	if rest, found := strings.CutPrefix(line, "!"); found {
		r.negate, line = true, rest
	}
	if rest, found := strings.CutSuffix(line, "/"); found {
		r.folders, line = true, rest
	}
	if line == "" {
		return r, false, nil
	}
	r.path = strings.Contains(line, "/")
	line = strings.TrimPrefix(line, "/")
	const wildcards = `*?[\`
	first := strings.IndexAny(line, wildcards)
	if first < 0 {
		r.prefix = line
		return r, true, nil
	}
	if r.prefix = line[:first]; strings.HasPrefix(line[first:], "**") {
		r.prefix = "" // it may stand for no folder at all
	}
	if !strings.ContainsAny(line, `[\`) {
		r.suffix = line[strings.LastIndexAny(line, wildcards)+1:]
		if strings.Contains(line, "**/") {
			r.suffix = ""
		}
	}
	r.match, err = regexp.Compile(`(?s)\A` + translate(line) + `\z`)
	return r, true, err
}

// translate turns a glob into a regular expression.
func translate(glob string) string {
	var b strings.Builder
	for i := 0; i < len(glob); {
		rest := glob[i:]
		atStart := i == 0 || glob[i-1] == '/'
		switch {
		case atStart && strings.HasPrefix(rest, "**/"):
			b.WriteString(`(?:.*/)?`)
			i += 3
		case atStart && rest == "**":
			b.WriteString(`.*`)
			i += 2
		case rest[0] == '*':
			b.WriteString(`[^/]*`)
			i++
		case rest[0] == '?':
			b.WriteString(`[^/]`)
			i++
		case rest[0] == '[':
			class, n := charClass(rest)
			b.WriteString(class)
			i += n
		case rest[0] == '\\' && len(rest) > 1:
			b.WriteString(regexp.QuoteMeta(rest[1:2]))
			i += 2
		default:
			// Whole runes stay whole: bytes above 0x7f are not special.
			j := 1
			for j < len(rest) && !strings.ContainsRune(`*?[\/`, rune(rest[j])) {
				j++
			}
			b.WriteString(regexp.QuoteMeta(rest[:j]))
			i += j
		}
	}
	return b.String()
}

// charClass translates the class that s begins with and returns its length. A
// bracket that is not closed stands for itself.
func charClass(s string) (string, int) {
	end := 1
	if end < len(s) && (s[end] == '!' || s[end] == '^') {
		end++
	}
	if end < len(s) && s[end] == ']' {
		end++
	}
	for end < len(s) && s[end] != ']' {
		end++
	}
	if end >= len(s) {
		return `\[`, 1
	}
	inner, negate := s[1:end], false
	if inner[0] == '!' || inner[0] == '^' {
		inner, negate = inner[1:], true
	}
	inner = strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `^`, `\^`, `&`, `\&`).Replace(inner)
	if negate {
		return `[^/` + inner + `]`, end + 1
	}
	return `[` + inner + `]`, end + 1
}
