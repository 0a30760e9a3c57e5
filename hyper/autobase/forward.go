package autobase

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
)

const (
	// forwardMinimum is how many blocks of the system view a signed state has to
	// be ahead to jump to it.
	forwardMinimum = 16
	// forwardTime is how long the peers have to send what it takes.
	forwardTime = 20 * time.Second
	// forwardPause is how long a jump that failed is not tried again.
	forwardPause = 30 * time.Second
	// forwardQuiet is how long a jump keeps the base from fetching and loading
	// nodes, most of which are going to be part of the state.
	forwardQuiet = 2 * time.Second
	// forwardAsk is the same for the question which system core counts.
	forwardAsk = 500 * time.Millisecond
)

// forwarding is the jump that is under way.
type forwarding struct {
	running bool
	after   time.Time     // not before
	asked   time.Time     // when the indexers' newest nodes were asked for
	turn    chan struct{} // full while somebody jumps
}

// considerForward begins a jump if peers have a signed state far ahead. b.mu is
// held.
func (b *Base) considerForward() {
	f := &b.forward
	if b.opts.NoForward || f.running || b.closed || time.Now().Before(f.after) {
		return
	}
	minimum := uint64(forwardMinimum)
	if b.e.eager {
		minimum = 1
	}
	b.e.eager = false
	if b.e.held && b.e.unheard() {
		return
	}
	key, found := b.e.ahead(minimum)
	switch now := time.Now(); {
	case found == aheadUnknown && now.Sub(f.asked) > forwardPause:
		f.asked = now
		b.hold(forwardAsk)
		return
	case found == aheadNone:
		b.unhold()
		return
	case found != aheadFound:
		return
	}
	f.running = true
	quiet := b.hold(forwardQuiet)
	b.wg.Go(func() {
		err := b.jump(b.ctx, key, minimum)
		quiet.Stop()
		b.mu.Lock()
		defer b.mu.Unlock()
		f.running = false
		b.unhold()
		if err != nil && b.ctx.Err() == nil {
			f.after = time.Now().Add(forwardPause)
			b.event(Event{Type: EventWarning, Err: fmt.Errorf("jump to a signed state: %w", err)})
		}
		b.poke()
	})
}

// FastForward goes on from the newest signed state that this device or its peers
// have, whether it is ahead or not, and computes what comes after it anew. It
// repairs a base whose unsigned state is wrong, and brings a reader that must not
// replay a long history to its end.
func (b *Base) FastForward(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.ctx, cancel)()
	b.mu.Lock()
	err := b.usable()
	key, found := b.e.ahead(forwardMinimum)
	if found != aheadFound {
		key = b.e.system.Key()
	}
	b.mu.Unlock()
	if err != nil {
		return err
	}
	if err := b.jump(ctx, key, 0); err != nil {
		return fmt.Errorf("jump to a signed state: %w", err)
	}
	b.poke()
	return nil
}

// What ahead knows.
const (
	aheadNone = iota
	aheadUnknown
	aheadFound
)

// ahead returns the system core that has a signed state far ahead: by at least
// minimum blocks, as far as the present core is concerned. It is unknown while
// nodes that tell are not here; those are asked for.
func (e *engine) ahead(minimum uint64) (key hypercrypto.Key, found int) {
	tip := e.sys.draft.Length()
	if e.system.Length() >= tip+minimum {
		return e.system.Key(), aheadFound
	}
	votes := make(map[hypercrypto.Key]int)
	for _, k := range e.indexers {
		w := e.byKey[k]
		length := w.core.Length()
		if length < w.given+forwardMinimum/2 {
			continue
		}
		d, known := e.digest(w, length)
		if !known {
			found = aheadUnknown
		}
		if d == nil || *d == e.system.Key() {
			continue
		}
		if votes[*d]++; votes[*d] > len(e.indexers)/2 {
			return *d, aheadFound
		}
	}
	return hypercrypto.Key{}, found
}

// hold keeps the base from fetching and loading nodes for a while, or until
// unhold. b.mu is held.
func (b *Base) hold(d time.Duration) *time.Timer {
	b.e.hold()
	return time.AfterFunc(d, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.usable() == nil {
			b.unhold()
		}
	})
}

// unhold ends hold. b.mu is held.
func (b *Base) unhold() {
	if b.e.held {
		b.e.release()
		b.poke()
	}
}

func (e *engine) hold() {
	e.held = true
	for _, w := range e.writers {
		w.stopFetching()
	}
}

func (e *engine) release() {
	e.held = false
	for _, w := range e.writers {
		if w != e.local {
			w.fetch()
		}
	}
}

// unheard tells whether there is no node of any indexer yet.
func (e *engine) unheard() bool {
	return !slices.ContainsFunc(e.indexers, func(k hypercrypto.Key) bool { return e.byKey[k].core.Length() > 0 })
}

// digest returns which system core a log of the given length names last, nil if
// it names none. It is not known while the block is not held.
func (e *engine) digest(w *writer, length uint64) (key *hypercrypto.Key, known bool) {
	for range 2 {
		b, err := e.block(w, length-1)
		if errors.Is(err, hypercore.ErrNotAvailable) {
			w.ask(length - 1)
			return nil, false
		}
		if err != nil || b.Digest == nil || b.Digest.Pointer >= length {
			return nil, true
		}
		if b.Digest.Pointer == 0 {
			return &b.Digest.Key, true
		}
		length -= b.Digest.Pointer
	}
	return nil, true
}

// errMoved: while a state was fetched the base came to need more of it.
var errMoved = errors.New("autobase: more of the state is needed")

// landing is a signed state that all is known of that it takes to go on from it.
type landing struct {
	core   *hypercore.Core
	length uint64
	keys   [][32]byte // entropies since forks
	info   *oplog.Info
	views  []*hypercore.Core // of info.Views
}

func (l *landing) close() {
	if l.core != nil {
		l.core.Close()
	}
	for _, c := range l.views {
		if c != nil {
			c.Close()
		}
	}
}

// jump fetches the newest signed state of a system core and goes on from there
// if it is minimum blocks ahead; if minimum is 0, in any case.
func (b *Base) jump(ctx context.Context, key hypercrypto.Key, minimum uint64) error {
	ctx, cancel := context.WithTimeout(ctx, forwardTime)
	defer cancel()
	select {
	case b.forward.turn <- struct{}{}:
		defer func() { <-b.forward.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	l := &landing{}
	if err := b.fetch(ctx, key, l); err != nil {
		l.close()
		return err
	}
	for {
		if err := b.fetchMembers(ctx, l); err != nil {
			l.close()
			return err
		}
		if ok, err := b.tryLand(l, minimum); !errors.Is(err, errMoved) {
			if !ok {
				l.close()
			}
			return err
		}
	}
}

// tryLand goes on from a state that was fetched, and tells whether it did.
func (b *Base) tryLand(l *landing, minimum uint64) (ok bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.usable(); err != nil {
		return false, err
	}
	if minimum > 0 && l.length < b.e.sys.draft.Length()+minimum {
		return false, nil // got there by itself
	}
	switch err := l.check(b.here, b.e); {
	case short(err):
		return false, errMoved
	case err != nil:
		return false, err
	}
	if err := b.e.land(b.here, l); err != nil {
		b.stumble(fmt.Errorf("go on from a signed state: %w", err))
		return false, err
	}
	b.event(Event{Type: EventForward, Length: l.length})
	b.unhold()
	return true, b.settle(b.here)
}

// fetch gets everything that is needed of a signed state.
func (b *Base) fetch(ctx context.Context, key hypercrypto.Key, l *landing) (err error) {
	e := b.e
	o := corestore.GetOptions{Key: &key}
	var scheme *viewScheme // the present core may need another one meanwhile
	if e.lineage.encryption != nil {
		scheme = e.lineage.newScheme(systemName)
		o.Encryption = scheme
	}
	if l.core, err = b.store.Get(ctx, o); err != nil {
		return err
	}
	if err := waitLength(ctx, l.core, 1); err != nil {
		return fmt.Errorf("system view: %w", err)
	}
	if l.keys, err = b.fetchKeys(ctx, l.core.Manifest()); err != nil {
		return err
	}
	if scheme != nil {
		if err := scheme.follow(l.core.Manifest(), l.keys); err != nil {
			return err
		}
	}
	l.length = l.core.Length()
	tree := hyperbee.New(l.core, &hyperbee.Options{NoExtension: true})
	defer tree.Close()
	at, err := tree.Checkout(l.length)
	if err != nil {
		return err
	}
	defer at.Close()
	if l.info, err = readInfo(ctx, at); err != nil {
		return err
	}
	if have := uint64(len(l.keys)); have != l.info.EncryptionLength {
		return fmt.Errorf("%w: %d keys of %d", errKeyChain, have, l.info.EncryptionLength)
	}
	for _, r := range l.info.Indexers {
		// A block of its log brings the manifest of an indexer.
		if err := b.fetchLast(ctx, r, nil); err != nil {
			return fmt.Errorf("log of indexer %s: %w", r.Key, err)
		}
	}
	l.views = make([]*hypercore.Core, len(l.info.Views))
	for i, r := range l.info.Views {
		if err := b.fetchLast(ctx, r, &l.views[i]); err != nil {
			return fmt.Errorf("view %d: %w", i, err)
		}
	}
	return nil
}

// fetchMembers gets the records of the logs that are open here, and of those that are
// opened at a start. The rest of the state follows when the base has landed.
func (b *Base) fetchMembers(ctx context.Context, l *landing) error {
	b.mu.Lock()
	keys := l.members(b.e)
	b.mu.Unlock()
	return l.read(ctx, keys)
}

// check tells whether all that land reads is here.
func (l *landing) check(ctx context.Context, e *engine) error {
	return l.read(ctx, l.members(e))
}

func (l *landing) read(ctx context.Context, keys []hypercrypto.Key) error {
	tree := hyperbee.New(l.core, &hyperbee.Options{NoExtension: true})
	defer tree.Close()
	at, err := tree.Checkout(l.length)
	if err != nil {
		return err
	}
	defer at.Close()
	if _, err := readInfo(ctx, at); err != nil {
		return err
	}
	if err := readMembers(ctx, at, keys); err != nil {
		return fmt.Errorf("members: %w", err)
	}
	return nil
}

// members returns whose records are read.
func (l *landing) members(e *engine) []hypercrypto.Key {
	keys := []hypercrypto.Key{e.local.key, e.lineage.base}
	for k := range e.byKey {
		keys = append(keys, k)
	}
	for _, h := range l.info.Heads {
		keys = append(keys, h.Key)
	}
	for _, r := range l.info.Indexers {
		keys = append(keys, r.Key)
	}
	return keys
}

// fetchKeys gets the entropies that a system core comes with.
func (b *Base) fetchKeys(ctx context.Context, m *hypercrypto.Manifest) ([][32]byte, error) {
	c, err := b.e.linkedKeys(ctx, m)
	if err != nil || c == nil {
		return nil, err
	}
	defer c.Close()
	if err := waitLength(ctx, c, 1); err != nil {
		return nil, fmt.Errorf("encryption keys: %w", err)
	}
	return readKeys(ctx, c)
}

// fetchLast gets block r.Length-1 of a core, and with it the manifest and what
// is needed to go on from that length. The core is kept in *keep, if there is.
func (b *Base) fetchLast(ctx context.Context, r oplog.Ref, keep **hypercore.Core) error {
	c, err := b.store.Get(ctx, corestore.GetOptions{Key: &r.Key})
	if err != nil {
		return err
	}
	if keep != nil {
		*keep = c
	} else {
		defer c.Close()
	}
	if r.Length == 0 {
		return nil
	}
	_, err = c.GetRaw(ctx, r.Length-1)
	return err
}

// waitLength waits until a log has at least n blocks.
func waitLength(ctx context.Context, c *hypercore.Core, n uint64) error {
	news := make(chan struct{}, 1)
	cancel := c.Events(func(hypercore.Event) {
		select {
		case news <- struct{}{}:
		default:
		}
	})
	defer cancel()
	for c.Length() < n {
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// land makes a signed state the confirmed one, whatever was computed so far.
func (e *engine) land(ctx context.Context, l *landing) error {
	s := e.sys
	if err := s.draft.Reset(l.core, l.length); err != nil {
		return err
	}
	e.keys.entropies = l.keys
	if e.lineage.encryption != nil {
		e.lineage.entropies.Store(&l.keys)
		if err := e.lineage.scheme(systemName).follow(l.core.Manifest(), l.keys); err != nil {
			return err
		}
	}
	if err := e.readEpoch(ctx, l.length); err != nil {
		return err
	}
	if err := s.load(ctx); err != nil {
		return err
	}
	// Writers begin where the state ends.
	e.indexed, e.lin, e.applied = nil, nil, nil
	for _, w := range e.writers {
		r, err := s.written(ctx, w.key)
		if err != nil {
			return err
		}
		w.nodes, w.offset, w.given, w.locked = nil, r.member.Length, r.member.Length, 0
		w.stopFetching()
		if w != e.local && !e.held {
			w.fetch()
		}
	}
	sg, err := e.signers(ctx, s.info.Indexers)
	if err != nil {
		return err
	}
	taken := make(map[*hypercore.Core]bool)
	for _, v := range e.views {
		v.viewState = viewState{mapped: -1}
	}
	for _, v := range e.views {
		if err := e.landView(ctx, v, l, sg, taken); err != nil {
			return fmt.Errorf("view %q: %w", v.name, err)
		}
	}
	for _, c := range l.views {
		if !taken[c] {
			c.Close()
		}
	}
	l.views = nil
	if err := e.setSystem(l.core, l.length); err != nil {
		return err
	}
	if err := e.openKeys(ctx); err != nil {
		return err
	}
	if err := e.fillIn(ctx); err != nil {
		return err
	}
	for _, v := range e.views {
		// From here on they are made here. While blocks are missing, fillIn keeps them open
		// towards peers, without a gap.
		v.under.SetActive(false)
	}
	e.applyStuck, e.loadStuck, e.regressed = false, false, false
	if err := e.begin(ctx); err != nil {
		return err
	}
	e.landReceipts()
	return nil
}

// landView puts a view on the core that a state has for it.
func (e *engine) landView(ctx context.Context, v *view, l *landing, s *signers, taken map[*hypercore.Core]bool) error {
	old := v.under
	for i, r := range l.info.Views {
		if c := l.views[i]; !taken[c] && e.belongs(c.Manifest(), v.name, s) {
			taken[c] = true
			v.under, v.key, v.length, v.mapped = c, r.Key, r.Length, i
			break
		}
	}
	if v.mapped < 0 {
		var m *hypercrypto.Manifest
		var err error
		m, v.mapped = e.emptyView(v.name, s, l.info.Views)
		if v.under, err = e.viewCore(ctx, v.name, m); err != nil {
			return err
		}
		v.key = v.under.Key()
	}
	if err := e.followView(v.name, v.under); err != nil {
		return err
	}
	if err := v.draft.Reset(v.under, v.length); err != nil {
		return err
	}
	old.Close()
	return nil
}
