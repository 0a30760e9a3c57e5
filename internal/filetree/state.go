package filetree

import (
	"context"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// state reads what Apply wrote.
type state struct {
	Reader
	key []byte // for the next key
}

func get[T any](ctx context.Context, s Reader, key []byte, read func(*compact.Reader) T) (v T, ok bool, err error) {
	value, ok, err := s.Get(ctx, key)
	if err != nil {
		return v, false, fmt.Errorf("read key %x: %w", key, err)
	}
	if !ok {
		return v, false, nil
	}
	if v, err = decode(value, read); err != nil {
		return v, false, fmt.Errorf("key %x: %w", key, err)
	}
	return v, true, nil
}

// entry returns what is at a path.
func (s *state) entry(ctx context.Context, path string) (*record, bool, error) {
	s.key = pathKey(s.key[:0], keyEntry, path)
	e, ok, err := get(ctx, s, s.key, readRecord)
	return &e, ok, err
}

// former returns a version that is not in the tree any more.
func (s *state) former(ctx context.Context, v Version) (*former, bool, error) {
	f, ok, err := get(ctx, s, versionKey(keyHistory, v), readFormer)
	return &f, ok, err
}

func (s *state) forward(ctx context.Context, v Version) (string, bool, error) {
	path, ok, err := s.Get(ctx, versionKey(keyForward, v))
	return string(path), ok, err
}

func (s *state) content(ctx context.Context, h hypercrypto.Hash) (contentRecord, bool, error) {
	return get(ctx, s, hashKey(h), readContentRecord)
}

func (s *state) totals(ctx context.Context) (totals, error) {
	n, _, err := get(ctx, s, []byte{keyTotals}, readTotals)
	return n, err
}

func (s *state) device(ctx context.Context, number uint64) (deviceRecord, error) {
	d, ok, err := get(ctx, s, numberKey(keyDevice, number), readDevice)
	if err == nil && !ok {
		err = fmt.Errorf("%w: no device %d", errState, number)
	}
	return d, err
}

// hasBelow tells whether a directory has anything in it.
func (s *state) hasBelow(ctx context.Context, dir string) (bool, error) {
	r := below(keyEntry, dir)
	r.Limit = 1
	for _, err := range s.Entries(ctx, r) {
		return err == nil, err
	}
	return false, nil
}

// dirTargets returns where a directory was moved to, the last first.
func (s *state) dirTargets(ctx context.Context, dir string) ([]string, error) {
	list, _, err := get(ctx, s, pathKey(nil, keyDirMove, dir), func(r *compact.Reader) (out []string) {
		for range r.Count(1) {
			out = append(out, r.String())
		}
		return out
	})
	return list, err
}

const (
	// maxDirTargets bounds how many moves of one directory are remembered.
	maxDirTargets = 8
	// maxSearch bounds the steps of the search for a version. Beyond it counts as gone.
	maxSearch = 256
	// maxDirSearch bounds how many directories are looked at for their moves.
	maxDirSearch = 64
)

// how tells what became of a version.
type how int

const (
	gone     how = iota // nothing is known of it
	here                // it is in the tree
	replaced            // what replaced it is in the tree
	deleted             // it, or what replaced it, is in the trash
)

// place is where a version is.
type place struct {
	how
	// path is where it is, or was when it was deleted.
	path string
	// rec is what is there.
	rec *record
	// trashed is what was deleted.
	trashed *former
	// own says that it was moved by itself, not with a directory above.
	own bool
	// from and to are the directory that it was moved with, if it was.
	from, to string
}

// locate finds out what became of a version that was seen at a path.
func (s *state) locate(ctx context.Context, v Version, path string) (p place, err error) {
	seen := v
	for range maxSearch {
		e, ok, err := s.entry(ctx, path)
		if err != nil {
			return p, err
		}
		if !ok || e.version != v {
			to, ok, err := s.forward(ctx, v)
			if err != nil {
				return p, err
			}
			if ok && to != path {
				path, p.own = to, true
				continue
			}
			f, ok, err := s.former(ctx, v)
			if err != nil {
				return p, err
			}
			if ok && f.deleted() {
				p.how, p.path, p.trashed = deleted, f.path, f
				return p, nil
			}
			if ok {
				if f.path != path && p.from == "" {
					p.own = true
				}
				v, path = f.next, f.path
				continue
			}
			w, err := s.withDirs(ctx, v, path)
			if w == nil || err != nil {
				return place{}, err
			}
			p.own = p.own || w.from == path
			path, e, p.from, p.to = w.path, w.rec, w.from, w.to
		}
		p.how, p.path, p.rec = here, path, e
		if v != seen {
			p.how = replaced
		}
		return p, nil
	}
	return place{}, nil
}

// way is where a path leads by the moves of directories. The first of them was from
// one path to another.
type way struct {
	path, from, to string
	rec            *record
}

// withDirs looks for a version where the directories above a path, or what was at the
// path itself, were moved to: in the fewest steps. It returns nil if it is not there.
func (s *state) withDirs(ctx context.Context, v Version, path string) (*way, error) {
	seen := map[string]bool{path: true}
	left := maxDirSearch
	for todo := []way{{path: path}}; len(todo) > 0; todo = todo[1:] {
		for dir := range upwards(todo[0].path) {
			if left--; left < 0 {
				return nil, nil
			}
			targets, err := s.dirTargets(ctx, dir)
			if err != nil {
				return nil, err
			}
			for _, to := range targets {
				w := todo[0]
				if w.from == "" {
					w.from, w.to = dir, to
				}
				if w.path = rebase(w.path, dir, to); seen[w.path] {
					continue
				}
				seen[w.path] = true
				e, ok, err := s.entry(ctx, w.path)
				if err != nil {
					return nil, err
				}
				if ok && e.version == v {
					w.rec = e
					return &w, nil
				}
				todo = append(todo, w)
			}
		}
	}
	return nil, nil
}
