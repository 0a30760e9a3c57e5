package hyperbee

import (
	"context"
	"fmt"
	"sync"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/storage"
)

// DefaultCacheBytes is the size of the block cache of a tree: parsed, the blocks of
// some 100,000 small entries.
const DefaultCacheBytes = 24 << 20

// Options configures New. The zero value writes and reads as the JavaScript
// module does by default, except for EmptyUntilSynced.
type Options struct {
	// Metadata goes into the header when this tree writes it. Nil leaves it out.
	Metadata *Metadata

	// SkipUnchanged makes a put of the value a key already has write nothing.
	// It holds for this tree, not for its subs; see SubOptions.
	SkipUnchanged bool

	// Sep is put between the name of a sub-tree and its keys. Nil means one zero
	// byte.
	Sep []byte

	// ReadOnly refuses all writes.
	ReadOnly bool

	// EmptyUntilSynced makes reads of a remote tree whose length is not known yet
	// find nothing at once. Otherwise they wait for the first length.
	EmptyUntilSynced bool

	// NoExtension neither sends nor answers the messages that announce blocks.
	NoExtension bool

	// CacheBytes limits the memory for parsed blocks, shared by all views of the
	// tree. Zero means DefaultCacheBytes, a negative number none.
	CacheBytes int
}

// Tree is a bee, a fixed version of it, or a sub-tree. It is safe for
// concurrent use: each read works on the version current at its start, writes
// and batches take turns.
//
// Key and Value slices that a Tree returns must not be changed. Slices passed
// in are copied when they outlive the call.
type Tree struct {
	s      *shared
	prefix []byte // of a sub-tree
	skip   bool   // puts of unchanged values write nothing
	local  bool   // reads never wait for peers
	view   *view  // nil for the current tree
}

// shared is what all views of one bee have in common.
type shared struct {
	core  *hypercore.Core
	opts  Options
	cache *cache        // blocks
	keys  *cache        // keys only: writers need many more of them than of blocks
	ext   *extension    // nil without extension
	fetch downloads     // blocks asked for ahead of their use
	lock  chan struct{} // holds a token while a write or batch is under way
	end   uint64        // length after the last write; guarded by lock

	closeOnce    sync.Once
	closed       chan struct{}
	cancelEvents func()
}

// view is a fixed version.
type view struct {
	version uint64

	mu     sync.Mutex // guards the rest
	core   *hypercore.Core
	closed bool
}

// Entry is a key with its value. Seq is the block that holds it. Value is nil
// for a null value, which is not the same as an empty one.
type Entry struct {
	Seq        uint64
	Key, Value []byte
}

// New returns the tree in a core. Nothing is read or written before the first
// use; the first put or delete on an empty core appends the header. The core
// stays the caller's: close it after the tree.
func New(core *hypercore.Core, opts *Options) *Tree {
	s := &shared{core: core, lock: make(chan struct{}, 1), closed: make(chan struct{})}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.Sep == nil {
		s.opts.Sep = []byte{0}
	}
	if s.opts.CacheBytes == 0 {
		s.opts.CacheBytes = DefaultCacheBytes
	}
	s.keys = newCache(s.opts.CacheBytes*5/16, core.Fork())
	s.cache = newCache(s.opts.CacheBytes*11/16, core.Fork())
	for _, c := range []*cache{s.keys, s.cache} {
		storage.OnTrim(core.Store(), c, (*cache).clear)
	}
	s.cancelEvents = core.Events(func(e hypercore.Event) {
		// On a branch the events are those of the log below it.
		if e.Type == hypercore.EventTruncate && e.Fork == core.Fork() {
			s.truncateCaches(e.Index, e.Fork)
		}
	})
	t := &Tree{s: s, skip: s.opts.SkipUnchanged}
	if !s.opts.NoExtension {
		s.ext = newExtension(t)
	}
	return t
}

// Close ends the tree or, for a fixed version, only this view. Waiting reads
// of a closed tree fail with ErrClosed. The core stays open.
func (t *Tree) Close() error {
	if t.view != nil {
		return t.view.close()
	}
	if t.prefix != nil || t.local {
		return nil
	}
	t.s.closeOnce.Do(func() {
		close(t.s.closed)
		t.s.cancelEvents()
		if t.s.ext != nil {
			t.s.ext.close()
		}
		t.s.fetch.close()
	})
	return nil
}

// Core returns the log the tree is in.
func (t *Tree) Core() *hypercore.Core { return t.s.core }

// Version returns the version that is read: that of a checkout, else the
// length of the core. An empty tree has version 1.
func (t *Tree) Version() uint64 {
	if t.view != nil {
		return t.view.version
	}
	return max(1, t.s.core.Length())
}

// Writable reports whether puts and deletes are possible.
func (t *Tree) Writable() bool {
	return t.view == nil && !t.s.opts.ReadOnly && t.s.core.Writable()
}

// Update asks peers whether there is a newer version and reports whether there
// was.
func (t *Tree) Update(ctx context.Context) (bool, error) { return t.s.core.Update(ctx) }

// Checkout returns the tree at a version: the length of the log after an
// operation or batch; 0 and 1 are the empty tree. Reads of a version that does
// not exist yet wait for it. Close the result.
//
// A version inside a batch is not readable. The format does not mark these:
// reads fail with ErrNotAVersion or find wrong entries.
func (t *Tree) Checkout(version uint64) (*Tree, error) {
	v := &view{version: max(1, version)}
	if t.view != nil && version <= t.view.version {
		core, err := t.view.snapshot(t.s, nil)
		if err == nil && core != nil {
			v.core, err = core.Snapshot()
		}
		if err != nil {
			return nil, fmt.Errorf("checkout version %d: %w", version, err)
		}
	} else if version <= t.s.core.Length() || version <= 1 {
		core, err := t.s.core.Snapshot()
		if err != nil {
			return nil, fmt.Errorf("checkout version %d: %w", version, err)
		}
		v.core = core
	}
	c := *t
	c.view = v
	return &c, nil
}

// Snapshot returns the tree at its current version. The snapshot of an empty
// tree stays empty. Close the result.
func (t *Tree) Snapshot() (*Tree, error) {
	if t.view != nil {
		return t.Checkout(t.view.version)
	}
	core, err := t.s.core.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	c := *t
	c.view = &view{version: max(1, core.Length()), core: core}
	return &c, nil
}

// LocalOnly returns the same tree with reads that fail with
// hypercore.ErrNotAvailable where they would wait for a peer.
func (t *Tree) LocalOnly() *Tree {
	c := *t
	c.local = true
	return &c
}

// SubOptions configures Sub.
type SubOptions struct {
	// Sep follows the name. Nil means Options.Sep; an empty slice means nothing.
	Sep []byte
	// SkipUnchanged is Options.SkipUnchanged for writes through the sub.
	SkipUnchanged bool
}

// Sub returns the part of the tree with keys that start with name and a
// separator, which the keys read from it and written to it leave out. It
// shares everything else with t. opts may be nil.
//
// A range of a sub without lower bound leaves out the empty key and the key of
// one zero byte, as in JavaScript; give GTE as an empty, non-nil slice to see
// them.
func (t *Tree) Sub(name string, opts *SubOptions) *Tree {
	sep, skip := t.s.opts.Sep, false
	if opts != nil {
		skip = opts.SkipUnchanged
		if opts.Sep != nil {
			sep = opts.Sep
		}
	}
	c := *t
	c.skip = skip
	c.prefix = make([]byte, 0, len(t.prefix)+len(name)+len(sep))
	c.prefix = append(append(append(c.prefix, t.prefix...), name...), sep...)
	return &c
}

// Prefix returns what the keys of a sub-tree start with in the whole tree.
func (t *Tree) Prefix() []byte { return t.prefix }

// fullKey returns key with the prefix; never nil.
func (t *Tree) fullKey(key []byte) []byte {
	if len(t.prefix) == 0 {
		if key == nil {
			return []byte{}
		}
		return key
	}
	b := make([]byte, 0, len(t.prefix)+len(key))
	return append(append(b, t.prefix...), key...)
}

func (t *Tree) entry(seq uint64, b *block) Entry {
	return Entry{Seq: seq, Key: b.key[min(len(t.prefix), len(b.key)):], Value: b.value}
}

// truncateCaches drops what is known of blocks from length on.
func (s *shared) truncateCaches(length, fork uint64) {
	s.cache.truncate(length, fork)
	s.keys.truncate(length, fork)
}

// followFork makes sure that the caches are not of an older fork.
func (s *shared) followFork(fork uint64) {
	s.cache.follow(fork)
	s.keys.follow(fork)
}

func (s *shared) acquire(ctx context.Context) error {
	select {
	case s.lock <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("wait for other writers: %w", ctx.Err())
	case <-s.closed:
		return ErrClosed
	}
	select {
	case <-s.closed:
		s.release()
		return ErrClosed
	default:
		return nil
	}
}

func (s *shared) release() { <-s.lock }

// waitLength returns once the log has at least n blocks.
func (s *shared) waitLength(ctx context.Context, n uint64) error {
	signal := make(chan struct{}, 1)
	cancel := s.core.Events(func(hypercore.Event) {
		select {
		case signal <- struct{}{}:
		default:
		}
	})
	defer cancel()
	for asked := false; ; {
		if s.core.Length() >= n {
			return nil
		}
		if !asked {
			asked = true
			if _, err := s.core.Update(ctx); err != nil {
				return fmt.Errorf("wait for version %d: %w", n, err)
			}
			continue
		}
		select {
		case <-signal:
		case <-ctx.Done():
			return fmt.Errorf("wait for version %d: %w", n, ctx.Err())
		case <-s.closed:
			return ErrClosed
		}
	}
}

// snapshot returns the core of the view, waiting for its version with ctx. With
// a nil ctx it does not wait and returns nil.
func (v *view) snapshot(s *shared, ctx context.Context) (*hypercore.Core, error) {
	v.mu.Lock()
	core, closed := v.core, v.closed
	v.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	if core != nil || ctx == nil {
		return core, nil
	}
	if err := s.waitLength(ctx, v.version); err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return nil, ErrClosed
	}
	if v.core == nil {
		core, err := s.core.Snapshot()
		if err != nil {
			return nil, fmt.Errorf("snapshot: %w", err)
		}
		v.core = core
	}
	return v.core, nil
}

func (v *view) close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return nil
	}
	v.closed = true
	if v.core == nil {
		return nil
	}
	return v.core.Close()
}
