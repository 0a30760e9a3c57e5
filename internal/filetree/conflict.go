package filetree

import (
	"context"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxDeviceName bounds the name of a device in the name of a conflict copy.
const maxDeviceName = 64

// copyRoom is how much longer than the original the path of a copy may be.
const copyRoom = MaxName

// moveAside makes what is at a path a conflict copy, to make room. It returns of
// what.
func (t *tx) moveAside(ctx context.Context, path string, at *record) (of string, err error) {
	if of, err = t.copyOf(ctx, path, at); err != nil {
		return "", err
	}
	to, err := t.copyPath(ctx, join(parent(path), base(of)), at)
	if err != nil {
		return "", err
	}
	if err := t.lift(ctx, path, at); err != nil {
		return "", err
	}
	aside := *at
	if err := t.openCopy(ctx, to, of, &aside); err != nil {
		return "", err
	}
	return of, t.effects.add(ctx, Effect{What: MovedAside, Path: to, From: path, After: at.version})
}

// listCopy puts what comes to a path into the list of conflicts, before it is there.
func (t *tx) listCopy(ctx context.Context, path, of string, e *record) error {
	e.conflict = true
	t.n.conflicts++
	return t.s.Put(ctx, pathKey(nil, keyConflict, path), []byte(of))
}

// unlistCopy takes what leaves a path out of the list of conflicts.
func (t *tx) unlistCopy(ctx context.Context, path string) error {
	t.n.conflicts--
	return t.s.Del(ctx, pathKey(nil, keyConflict, path))
}

// copyBeside puts e beside a path, as a conflict copy.
func (t *tx) copyBeside(ctx context.Context, path string, e *record, from string) error {
	at, ok, err := t.entry(ctx, path)
	if err != nil {
		return err
	}
	of := path
	if ok {
		if of, err = t.copyOf(ctx, path, at); err != nil {
			return err
		}
	}
	to, err := t.copyPath(ctx, join(parent(path), base(of)), e)
	if err != nil {
		return err
	}
	if err := t.openCopy(ctx, to, of, e); err != nil {
		return err
	}
	what := Wrote
	if from != "" {
		what = Moved
	}
	return t.effects.add(ctx, Effect{What: what, Path: to, From: from, After: e.version})
}

// copyOf returns the path of the original: of a conflict copy what it is a copy of.
func (t *tx) copyOf(ctx context.Context, path string, at *record) (string, error) {
	if !at.conflict {
		return path, nil
	}
	of, ok, err := t.Get(ctx, pathKey(nil, keyConflict, path))
	if err == nil && !ok {
		err = fmt.Errorf("%w: %q is not in the list of conflicts", errState, path)
	}
	return string(of), err
}

// openCopy puts e into the tree at a free path, as a conflict copy of another.
func (t *tx) openCopy(ctx context.Context, path, of string, e *record) error {
	if err := t.makeDirs(ctx, parent(path)); err != nil {
		return err
	}
	if err := t.listCopy(ctx, path, of, e); err != nil {
		return err
	}
	if err := t.s.Put(ctx, versionKey(keyForward, e.version), []byte(path)); err != nil {
		return err
	}
	return t.write(ctx, path, e)
}

// copyPath returns a free path for a copy, with device and time before the extension.
// Where the directory's path leaves no room, the copy goes further up.
func (t *tx) copyPath(ctx context.Context, of string, e *record) (string, error) {
	d, err := t.state.device(ctx, e.written.device)
	if err != nil {
		return "", err
	}
	words := fmt.Sprintf("(conflict, %s, %s)", plainName(d.name), clockTime(e.written.at).Format("2006-01-02 15.04.05"))
	dir := parent(of)
	for len(dir)+1+copyRoom > MaxPath {
		dir = parent(dir)
	}
	stem, ext := splitExt(base(of))
	for n := 1; ; n++ {
		tail := " " + words + ext
		if n > 1 {
			tail = fmt.Sprintf(" %s %d%s", words, n, ext)
		}
		path := join(dir, cut(stem, MaxName-len(tail))+tail)
		if _, ok := t.lifted[path]; ok {
			continue
		}
		_, ok, err := t.entry(ctx, path)
		if err != nil || !ok {
			return path, err
		}
	}
}

// maxExt is the longest extension that stays at the end of a name.
const maxExt = 16

func splitExt(name string) (stem, ext string) {
	i := strings.LastIndexByte(name, '.')
	if i <= 0 || len(name)-i > maxExt {
		return name, ""
	}
	return name[:i], name[i:]
}

// cut returns the first n bytes of s, or less so that no character is cut.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// plainName returns the name of a device as a part of a file's name that all systems
// take.
func plainName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) || strings.ContainsRune(`<>:"/\|?*`, r) {
			return '-'
		}
		return r
	}, s)
	if s = strings.TrimSpace(cut(s, maxDeviceName)); s == "" {
		return "a device"
	}
	return s
}
