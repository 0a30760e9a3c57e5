package hypercore

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/storage"
)

// Core is a handle on a log. It is safe for concurrent use. Handles of the same
// log share its blocks and peers, but each has its own encryption and is closed
// on its own.
type Core struct {
	log *log
	// snap is set once for handles that stay at one state of the log.
	snap *snapshot
	// branch is set once for handles on a named branch.
	branch *branch
	// draft is set once for handles on a draft.
	draft *draft

	readOnly bool
	passive  atomic.Bool

	encMu   sync.Mutex // guards what follows
	encKey  *hypercrypto.EncryptionKey
	enc     hypercrypto.BlockEncryption // set, or derived from encKey once the manifest is known
	closed  atomic.Bool
	done    chan struct{} // closed by Close
	onClose func()
}

// SessionOptions configures another handle of a log.
type SessionOptions struct {
	// EncryptionKey and Encryption replace the scheme of the handle it is made
	// from.
	EncryptionKey *hypercrypto.EncryptionKey
	Encryption    hypercrypto.BlockEncryption
	// ReadOnly and Passive are as in Options.
	ReadOnly bool
	Passive  bool
	// OnClose is called once when the handle was closed.
	OnClose func()
}

func (l *log) newHandle(o *Options) *Core {
	c := &Core{log: l, readOnly: o.ReadOnly, encKey: o.EncryptionKey, enc: o.Encryption, done: make(chan struct{})}
	c.passive.Store(o.Passive)
	l.addHandle(!o.Passive)
	return c
}

func (l *log) addHandle(active bool) {
	l.mu.Lock()
	l.handles++
	if active {
		l.active++
	}
	l.mu.Unlock()
	if active && l.repl != nil {
		l.repl.setDownloading()
	}
}

// Session returns another handle on the same log. A session of a snapshot is a
// snapshot. The handle must be closed on its own; opts may be nil.
func (c *Core) Session(opts *SessionOptions) (*Core, error) {
	if err := c.open(); err != nil {
		return nil, err
	}
	var o SessionOptions
	if opts != nil {
		o = *opts
	}
	s := &Core{log: c.log, snap: c.snap, branch: c.branch, draft: c.draft, readOnly: c.readOnly || o.ReadOnly, done: make(chan struct{})}
	c.encMu.Lock()
	s.encKey, s.enc = c.encKey, c.enc
	c.encMu.Unlock()
	if o.EncryptionKey != nil || o.Encryption != nil {
		s.encKey, s.enc = o.EncryptionKey, o.Encryption
	}
	s.onClose = o.OnClose
	s.passive.Store(o.Passive)
	if s.draft != nil {
		return s, nil
	}
	if s.snap != nil {
		c.log.holdSnapshot(s.snap)
	}
	c.log.addHandle(!o.Passive)
	return s, nil
}

// SetActive says whether the handle wants data. A log without an active handle
// is served to peers but asks for nothing.
func (c *Core) SetActive(active bool) {
	if c.passive.Swap(!active) == !active || c.draft != nil {
		return
	}
	l := c.log
	l.mu.Lock()
	if active {
		l.active++
	} else {
		l.active--
	}
	l.mu.Unlock()
	l.repl.setDownloading()
}

// open returns ErrClosed once the handle is closed.
func (c *Core) open() error {
	if c.closed.Load() {
		return ErrClosed
	}
	return nil
}

// Close gives the handle back. Waiting reads on it end with ErrClosed. The last
// handle closes the log: peers are detached and no goroutine is left. It may be
// called twice.
func (c *Core) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	close(c.done)
	if c.draft != nil {
		if c.onClose != nil {
			c.onClose()
		}
		return nil
	}
	l := c.log
	if c.snap != nil {
		l.dropSnapshot(c.snap)
	}
	l.mu.Lock()
	l.handles--
	if !c.passive.Load() {
		l.active--
	}
	last := l.handles == 0
	l.mu.Unlock()
	if c.onClose != nil {
		defer c.onClose()
	}
	if !last {
		l.repl.setDownloading()
		return nil
	}
	return l.close()
}

// Downloading tells whether the log has an active handle: whether it wants data.
func (c *Core) Downloading() bool {
	c.log.mu.RLock()
	defer c.log.mu.RUnlock()
	return c.log.active > 0
}

// Adopt takes a key pair or manifest that were not known when the log was
// opened. Nil ones are ignored, and so is what is known already.
func (c *Core) Adopt(kp *hypercrypto.KeyPair, m *hypercrypto.Manifest) error {
	l := c.log
	l.change.Lock()
	defer l.change.Unlock()
	return l.adopt(kp, m)
}

func (l *log) close() error {
	l.repl.close()
	l.change.Lock()
	defer l.change.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return nil
}

// Key returns the key of the log: who knows it can read it.
func (c *Core) Key() hypercrypto.Key { return c.under().key }

// Store returns the database that the log lies in.
func (c *Core) Store() *storage.DB { return c.under().db }

// DiscoveryKey returns the hash of the key by which peers find the log.
func (c *Core) DiscoveryKey() hypercrypto.DiscoveryKey { return c.under().dk }

// Manifest returns the manifest, nil while it is unknown. It must not be
// changed.
func (c *Core) Manifest() *hypercrypto.Manifest {
	l := c.under()
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.rules == nil {
		return nil
	}
	return l.rules.Manifest()
}

// KeyPair returns the key pair that signs, nil for a reader.
func (c *Core) KeyPair() *hypercrypto.KeyPair {
	c.log.mu.RLock()
	defer c.log.mu.RUnlock()
	return c.log.keyPair
}

// Writable tells whether Append and Truncate can work on this handle.
func (c *Core) Writable() bool {
	if c.readOnly || c.snap != nil || c.closed.Load() {
		return false
	}
	if c.branch != nil || c.draft != nil {
		return true
	}
	l := c.log
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.keyPair != nil && l.rules != nil && l.rules.CanSign(l.keyPair.Public)
}

// view returns the state that this handle reads.
func (c *Core) view() head {
	switch {
	case c.snap != nil:
		return c.snap.head
	case c.branch != nil:
		return c.branch.state()
	case c.draft != nil:
		return c.draft.state()
	default:
		return c.log.state()
	}
}

// Length returns the number of blocks.
func (c *Core) Length() uint64 { return c.view().Length }

// PublishedLength returns the number of blocks that peers may know of: those
// that are durable.
func (c *Core) PublishedLength() uint64 { return c.under().public().Length }

// Fork returns the fork: how often the log was truncated, as its writer counts.
func (c *Core) Fork() uint64 { return c.view().Fork }

// ByteLength returns the sum of the lengths of all blocks, without encryption
// padding.
func (c *Core) ByteLength() uint64 {
	h := c.view()
	return h.ByteLength - min(h.ByteLength, c.padding()*h.Length)
}

// ContiguousLength returns how many blocks from the first on are held here.
func (c *Core) ContiguousLength() uint64 {
	return c.under().contiguous(c.Length())
}

// RemoteContiguousLength returns the largest number of blocks from the first on
// that any one peer of the current fork said to hold, as far as is known.
func (c *Core) RemoteContiguousLength() uint64 {
	l := c.log
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.remoteContiguous
}

// TreeHash returns the hash over the roots of the tree: the content of the log
// up to its length in 32 bytes.
func (c *Core) TreeHash() hypercrypto.Hash {
	h := c.view()
	return h.Hash()
}

// Signature returns the stored signature of the current length; nil for an
// empty log.
func (c *Core) Signature() []byte { return append([]byte(nil), c.view().signature...) }

// Padding returns how many bytes of each stored block the encryption takes, 0
// without encryption.
func (c *Core) Padding() int { return int(c.padding()) }

func (c *Core) padding() uint64 {
	c.encMu.Lock()
	defer c.encMu.Unlock()
	switch {
	case c.enc != nil:
		return uint64(c.enc.Padding())
	case c.encKey != nil:
		return hypercrypto.EncryptionPadding
	default:
		return 0
	}
}

// encryption returns the scheme, nil without one. Which kind of block key is
// derived depends on the manifest, so it has to be known.
func (c *Core) encryption() hypercrypto.BlockEncryption {
	c.encMu.Lock()
	defer c.encMu.Unlock()
	if c.enc == nil && c.encKey != nil {
		c.log.mu.RLock()
		rules := c.log.rules
		c.log.mu.RUnlock()
		if rules != nil {
			c.enc = hypercrypto.DefaultEncryption(*c.encKey, c.log.key, rules.Compat())
		}
	}
	return c.enc
}

// UserData returns what SetUserData stored under key on this machine, nil if
// nothing.
func (c *Core) UserData(key string) ([]byte, error) { return c.log.userData(key) }

func (l *log) userData(key string) ([]byte, error) {
	v, err := l.st.UserData(key)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	return v, err
}

// SetUserData durably stores a value next to the log. It is never sent to
// peers. A nil value removes it.
func (c *Core) SetUserData(key string, value []byte) error {
	l := c.log
	if err := l.usable(); err != nil {
		return err
	}
	b := l.db.NewBatch()
	defer b.Close()
	b.SetUserData(l.st, key, value)
	return l.commit(b, storage.Durable)
}

// wait blocks until ready is closed or the caller or the handle gives up.
func (c *Core) wait(ctx context.Context, ready <-chan struct{}) error {
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.done:
		return ErrClosed
	}
}
