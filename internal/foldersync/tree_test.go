package foldersync

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/digest"
	"github.com/tradle/cloudpal/internal/filetree"
)

// memTree is a tree in memory that several folders share. What was ever in it stays
// known.
type memTree struct {
	mu       sync.Mutex
	entries  map[string]filetree.Entry
	log      []string // the paths that changed, in order
	lost     int      // positions before this are not known
	count    uint64
	contents map[hypercrypto.Hash][]byte
	stored   int // bytes that Store and StoreBatch were given
	opened   int
	commits  int
	changed  []chan struct{}
	fail     func(op, path string) error
	voided   map[filetree.Version]bool // of changes that do not count
}

func newMemTree() *memTree {
	return &memTree{entries: make(map[string]filetree.Entry), contents: make(map[hypercrypto.Hash][]byte)}
}

// view is the tree as one folder sees it.
type view struct {
	*memTree
	changes chan struct{}
}

func (m *memTree) view() *view {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := &view{memTree: m, changes: make(chan struct{}, 1)}
	m.changed = append(m.changed, v.changes)
	return v
}

// committed returns how many commits there were.
func (m *memTree) committed() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.commits
}

func (v *view) Changed() <-chan struct{} { return v.changes }

func (m *memTree) failing(op, path string) error {
	if m.fail != nil {
		return m.fail(op, path)
	}
	return nil
}

func (m *memTree) Walk(ctx context.Context) iter.Seq2[filetree.Entry, error] {
	return func(yield func(filetree.Entry, error) bool) {
		m.mu.Lock()
		var list []filetree.Entry
		for _, e := range m.entries {
			e.Content = nil
			list = append(list, e)
		}
		m.mu.Unlock()
		slices.SortFunc(list, func(a, b filetree.Entry) int { return strings.Compare(a.Path, b.Path) })
		for _, e := range list {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (m *memTree) Lookup(ctx context.Context, path string) (filetree.Entry, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[path]
	return e, ok, m.failing("lookup", path)
}

func (m *memTree) Position(ctx context.Context) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return binary.BigEndian.AppendUint64(nil, uint64(len(m.log))), nil
}

func (m *memTree) Diff(ctx context.Context, from []byte) iter.Seq2[Difference, error] {
	return func(yield func(Difference, error) bool) {
		m.mu.Lock()
		at := int(binary.BigEndian.Uint64(from))
		if at < m.lost {
			m.mu.Unlock()
			yield(Difference{}, ErrPosition)
			return
		}
		seen := map[string]bool{}
		var list []Difference
		for _, p := range m.log[at:] {
			if !seen[p] {
				seen[p] = true
				e, ok := m.entries[p]
				list = append(list, Difference{Path: p, Entry: e, Exists: ok})
			}
		}
		m.mu.Unlock()
		slices.SortFunc(list, func(a, b Difference) int { return strings.Compare(a.Path, b.Path) })
		for _, d := range list {
			if !yield(d, nil) {
				return
			}
		}
	}
}

func (m *memTree) set(e filetree.Entry) {
	m.entries[e.Path] = e
	m.log = append(m.log, e.Path)
}

func (m *memTree) del(path string) {
	delete(m.entries, path)
	m.log = append(m.log, path)
}

func (m *memTree) version() (v filetree.Version) {
	m.count++
	binary.BigEndian.PutUint64(v[:], m.count)
	return v
}

func (m *memTree) hasBelow(dir string) bool {
	for p := range m.entries {
		if p != dir && below(p, dir) {
			return true
		}
	}
	return false
}

// free returns a name beside p that nothing has.
func (m *memTree) free(p string) string {
	for n := 1; ; n++ {
		ext := path.Ext(p)
		name := fmt.Sprintf("%s (conflict %d)%s", strings.TrimSuffix(p, ext), n, ext)
		if _, ok := m.entries[name]; !ok {
			return name
		}
	}
}

func (m *memTree) rename(from, to string) {
	for p, e := range m.entries {
		if below(p, from) {
			m.del(p)
			e.Path = to + p[len(from):]
			m.set(e)
		}
	}
}

func (m *memTree) parents(p string) {
	dir, _ := split(p)
	if dir == "" {
		return
	}
	m.parents(dir)
	e, ok := m.entries[dir]
	if ok && e.Kind == kindDir {
		return
	}
	if ok {
		m.rename(dir, m.free(dir))
	}
	m.set(filetree.Entry{Path: dir, Version: m.version(), Item: filetree.Item{Kind: kindDir, Mode: 0o755}})
}

func equalItems(a, b filetree.Item) bool {
	return a.Kind == b.Kind && a.Hash == b.Hash && a.Size == b.Size && a.Target == b.Target
}

func (m *memTree) Commit(ctx context.Context, changes []filetree.Change) ([]filetree.Version, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(changes) == 0 || len(changes) > MaxChanges {
		return nil, fmt.Errorf("%d changes in a commit", len(changes))
	}
	if err := m.failing("commit", changes[0].Path); err != nil {
		return nil, err
	}
	for i := range changes {
		if err := filetree.CheckPath(changes[i].Path); err != nil {
			return nil, err
		}
	}
	m.commits++
	versions := make([]filetree.Version, len(changes))
	for i, c := range changes {
		cur, exists := m.entries[c.Path]
		switch c.Action {
		case filetree.Put:
			if c.Item.Kind == kindFile {
				if _, ok := m.contents[hypercrypto.Hash(c.Item.Content)]; !ok {
					return nil, fmt.Errorf("%s: content is not stored", c.Path)
				}
			}
			versions[i] = m.version()
			e := filetree.Entry{Path: c.Path, Version: versions[i], Item: c.Item}
			m.parents(c.Path)
			switch {
			case exists && cur.Kind == kindDir && c.Item.Kind != kindDir && m.hasBelow(c.Path),
				exists && cur.Version != c.Base && !equalItems(cur.Item, c.Item):
				e.Path = m.free(c.Path)
			}
			m.set(e)
		case filetree.Delete:
			if exists && cur.Version == c.Base && !m.hasBelow(c.Path) {
				m.del(c.Path)
			}
		case filetree.Move:
			if _, ok := m.entries[c.From]; !ok || below(c.Path, c.From) {
				continue
			}
			to := c.Path
			if _, taken := m.entries[to]; taken {
				to = m.free(to)
			}
			m.parents(to)
			m.rename(c.From, to)
		}
	}
	if err := m.failing("after commit", changes[0].Path); err != nil {
		return nil, err
	}
	for _, ch := range m.changed {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
	return versions, nil
}

func (m *memTree) keep(data []byte) hypercrypto.Hash {
	h := digest.Sum(data)
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.contents[h]; !ok {
		m.contents[h] = bytes.Clone(data)
		m.stored += len(data)
	}
	return h
}

func (m *memTree) Store(ctx context.Context, r io.Reader, prev []byte) (Content, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return Content{}, err
	}
	h := m.keep(data)
	return Content{Ref: h[:], Hash: h, Size: uint64(len(data))}, nil
}

func (m *memTree) StoreBatch(ctx context.Context, list []Small) (refs [][]byte, err error) {
	for _, s := range list {
		h := m.keep(s.Data)
		if h != s.Hash {
			return nil, errors.New("wrong hash")
		}
		refs = append(refs, h[:])
	}
	return refs, nil
}

func (m *memTree) Find(ctx context.Context, hash hypercrypto.Hash, size uint64) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.contents[hash]
	return hash[:], ok, nil
}

func (m *memTree) Open(ctx context.Context, e filetree.Entry) (Reader, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opened++
	if err := m.failing("open", e.Path); err != nil {
		return nil, err
	}
	data, ok := m.contents[e.Hash]
	if !ok {
		return nil, errors.New("no such content")
	}
	return &memReader{Reader: bytes.NewReader(data), right: digest.Sum(data) == e.Hash}, nil
}

type memReader struct {
	*bytes.Reader
	right bool
}

func (r *memReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if r.Len() == 0 && !r.right {
		err = ErrContent
	}
	return n, err
}

func (r *memReader) WriteTo(w io.Writer) (int64, error) {
	n, err := r.Reader.WriteTo(w)
	if err == nil && !r.right {
		err = ErrContent
	}
	return n, err
}

func (*memReader) Close() error { return nil }

func (m *memTree) Follow(context.Context) {}

func (m *memTree) Fetch(context.Context, []*filetree.Entry) (stop func()) { return func() {} }

// put changes the tree as another device would.
func (m *memTree) put(p, text string) {
	h := m.keep([]byte(text))
	m.mu.Lock()
	base := m.entries[p].Version
	m.mu.Unlock()
	_, err := m.Commit(context.Background(), []filetree.Change{{Action: filetree.Put, Path: p, Base: base,
		Item: filetree.Item{Kind: kindFile, Mode: 0o644, Modified: time.Unix(1_700_000_000, int64(len(text))), Size: uint64(len(text)), Hash: h, Content: h[:]}}})
	if err != nil {
		panic(err)
	}
}

// chmod changes a mode in the tree as another device would.
func (m *memTree) chmod(p string, mode fs.FileMode) {
	m.mu.Lock()
	e := m.entries[p]
	m.mu.Unlock()
	e.Item.Mode = mode
	if _, err := m.Commit(context.Background(), []filetree.Change{{Action: filetree.Put, Path: p, Base: e.Version, Item: e.Item}}); err != nil {
		panic(err)
	}
}

func (m *memTree) delete(p string) {
	m.mu.Lock()
	base := m.entries[p].Version
	m.mu.Unlock()
	if _, err := m.Commit(context.Background(), []filetree.Change{{Action: filetree.Delete, Path: p, Base: base}}); err != nil {
		panic(err)
	}
}

// texts returns what is in the tree: folders end in a slash. The contents are in pool,
// if given.
func (m *memTree) texts(pool ...*memTree) map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	contents := m.contents
	if len(pool) > 0 {
		contents = pool[0].contents
	}
	list := map[string]string{}
	for p, e := range m.entries {
		switch e.Kind {
		case kindDir:
			list[p+"/"] = ""
		case kindSymlink:
			list[p] = "-> " + e.Target
		default:
			list[p] = string(contents[e.Hash])
		}
	}
	return list
}

// changing changes a file while it is stored.
type changing struct {
	*view
	change func()
	now    bool
}

func (c *changing) Store(ctx context.Context, r io.Reader, prev []byte) (Content, error) {
	if c.now {
		c.change()
	}
	return c.view.Store(ctx, r, prev)
}

// stalling has no content of what is missing.
type stalling struct{ *view }

func (s *stalling) Open(ctx context.Context, e filetree.Entry) (Reader, error) {
	if strings.HasPrefix(e.Path, "missing") {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.view.Open(ctx, e)
}
