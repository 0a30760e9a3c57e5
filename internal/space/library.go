package space

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/autobase"
	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/identitykey"
	"github.com/tradle/cloudpal/hyper/protomux"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/space/clock"
)

// Identity is the person on this device. *identity.Identity is one.
type Identity interface {
	// Attest makes the device sign data for the person. The proof names both.
	Attest(data []byte) (*identitykey.Proof, error)
}

// Options configures [Open].
type Options struct {
	// Identity is who this device is.
	Identity Identity
	// PersonName and DeviceName are how others see the two at first.
	PersonName, DeviceName string
	// Node is the public key that this device has on its connections, so that others see
	// when it is online; zero if they are not to.
	Node hypercrypto.PublicKey
	// Online tells whether the device with that key on its connections is connected to
	// this one, for the choice of devices that confirm; nil takes all for connected.
	Online func(node hypercrypto.PublicKey) bool
	// AlwaysOn says that this device is meant to be reachable at any time.
	AlwaysOn bool
	// Pairing lets others in by invites, and this device into their spaces.
	Pairing *blindpairing.Pairing
	// Collections are the kinds of content that spaces have.
	Collections []Collection
	// AckInterval is about how long a device that confirms waits before it confirms what
	// others wrote. Default 2 s.
	AckInterval time.Duration
	// Log receives debug messages; nil discards them.
	Log *slog.Logger

	level            uint64        // of the program, for tests
	lately, patience time.Duration // see heardLately and awayPatience; for tests
	// led says that a simulation leads the bases: they confirm only when they are told,
	// and replay all nodes.
	led bool
}

// Library is all spaces of one store. It is safe for concurrent use.
type Library struct {
	store *corestore.Store
	opts  Options
	core  *hypercore.Core
	tree  *hyperbee.Tree // space keys to records; nobody else knows the key of its log
	clock clock.Clock

	mu      sync.Mutex // guards what follows, and is held while a space is opened or closed
	records map[hypercrypto.Key]*Record
	open    map[hypercrypto.Key]*Space
	failed  map[hypercrypto.Key]error // why a space is not open
	muxes   map[*protomux.Mux]struct{}
	closed  bool

	changeMu sync.Mutex    // guards what follows, and what of opts changes
	change   chan struct{} // closed and replaced with every change of a space or of the list
	list     chan struct{} // the same of the list alone, and of what this device is
}

// registryCore is the name of the log of the list of spaces.
const registryCore = "cloudpal/spaces"

// Open opens the library of a store with all its spaces.
func Open(ctx context.Context, store *corestore.Store, opts Options) (*Library, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.AckInterval == 0 {
		opts.AckInterval = 2 * time.Second
	}
	if opts.level == 0 {
		opts.level = Level
	}
	if opts.lately == 0 {
		opts.lately = heardLately
	}
	if opts.patience == 0 {
		opts.patience = awayPatience
	}
	for _, name := range []string{opts.PersonName, opts.DeviceName} {
		if err := checkName("person or a device", name); err != nil {
			return nil, err
		}
	}
	for _, c := range opts.Collections {
		if !validType(c.Type()) || c.Type() == coreType {
			return nil, fmt.Errorf("space: a collection of type %q", c.Type())
		}
	}
	l := &Library{
		store: store, opts: opts, records: make(map[hypercrypto.Key]*Record), open: make(map[hypercrypto.Key]*Space),
		failed: make(map[hypercrypto.Key]error), muxes: make(map[*protomux.Mux]struct{}), change: make(chan struct{}), list: make(chan struct{}),
	}
	var err error
	if l.core, err = store.Get(ctx, corestore.GetOptions{Name: registryCore, Passive: true}); err != nil {
		return nil, fmt.Errorf("open list of spaces: %w", err)
	}
	l.tree = hyperbee.New(l.core, nil)
	if err := l.load(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	l.clearForgotten(ctx)
	return l, nil
}

// load opens all spaces that are remembered.
func (l *Library) load(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for e, err := range l.tree.Entries(ctx, hyperbee.Range{}) {
		var r *Record
		if err == nil {
			r, err = decodeRecord(e.Value)
		}
		if err != nil {
			return fmt.Errorf("read list of spaces: %w", err)
		}
		l.records[r.Key] = r
	}
	for _, r := range l.records {
		if r.Forgotten {
			continue
		}
		// One space that cannot be opened is no reason to open none.
		if _, err := l.startLocked(ctx, *r); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			l.failed[r.Key] = err
		}
	}
	return nil
}

// Close closes all spaces.
func (l *Library) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	open := slices.Collect(maps.Values(l.open))
	clear(l.open)
	l.mu.Unlock()
	var errs []error
	for _, s := range open {
		errs = append(errs, s.close())
	}
	return errors.Join(append(errs, l.tree.Close(), l.core.Close())...)
}

// changed tells that a space or the list of spaces changed.
func (l *Library) changed() {
	l.changeMu.Lock()
	defer l.changeMu.Unlock()
	close(l.change)
	l.change = make(chan struct{})
}

// listChange tells that the list of spaces, or what this device is, changed.
func (l *Library) listChange() {
	l.changeMu.Lock()
	close(l.list)
	l.list = make(chan struct{})
	l.changeMu.Unlock()
	l.changed()
}

func (l *Library) listChanged() <-chan struct{} {
	l.changeMu.Lock()
	defer l.changeMu.Unlock()
	return l.list
}

// Changed returns a channel that is closed with the next change of the list of spaces,
// or of any of them.
func (l *Library) Changed() <-chan struct{} {
	l.changeMu.Lock()
	defer l.changeMu.Unlock()
	return l.change
}

// Create makes a space, of which the person on this device is the owner.
func (l *Library) Create(ctx context.Context, name string) (*Space, error) {
	return l.create(ctx, name, false)
}

// CreateHome makes the space of all devices of the person. There is one at most.
func (l *Library) CreateHome(ctx context.Context, name string) (*Space, error) {
	return l.create(ctx, name, true)
}

func (l *Library) create(ctx context.Context, name string, home bool) (*Space, error) {
	if err := checkName("space", name); err != nil {
		return nil, err
	}
	r := Record{Name: name, Home: home, Encryption: new(hypercrypto.EncryptionKey), namespace: rand.Text()}
	rand.Read(r.Encryption[:]) // never fails
	c, err := l.claim(ctx, r.namespace, nil)
	if err != nil {
		return nil, err
	}
	r.Key = c.log
	s, err := l.add(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := s.found(ctx, name, c); err != nil {
		return nil, errors.Join(fmt.Errorf("create space %q: %w", name, err), l.drop(ctx, s))
	}
	return s, nil
}

// found writes the first operation of a space, unless it is there.
func (s *Space) found(ctx context.Context, name string, c *claim) error {
	s.founding.Lock()
	defer s.founding.Unlock()
	tree, release := s.snaps.use()
	position, _, _, err := records{tree}.last(ctx)
	release()
	if err != nil || position > 0 {
		return err
	}
	_, err = s.do(ctx, &createAction{home: s.Record().Home, name: name, claim: c})
	return err
}

// claim makes what this device says of itself in a space, of which the namespace of
// its logs is chosen. A space that does not exist yet is named by nil.
func (l *Library) claim(ctx context.Context, namespace string, space *hypercrypto.DiscoveryKey) (*claim, error) {
	store := l.store.Namespace(storeName(namespace))
	defer store.Close()
	c := &claim{box: boxKeys(store).Public, personName: l.opts.PersonName}
	_, c.alwaysOn = l.description()
	c.deviceName = l.deviceName(ctx)
	for _, x := range []struct {
		which corestore.GetOptions
		key   *hypercrypto.Key
	}{
		{corestore.GetOptions{KeyPair: store.KeyPair(logName), Passive: true}, &c.log},
		{corestore.GetOptions{Name: blobsName, Passive: true}, &c.blobs},
	} {
		core, err := store.Get(ctx, x.which)
		if err != nil {
			return nil, fmt.Errorf("make log: %w", err)
		}
		*x.key = core.Key()
		if err := core.Close(); err != nil {
			return nil, fmt.Errorf("make log: %w", err)
		}
	}
	dk := c.log.Discovery()
	if space != nil {
		dk = *space
	}
	if l.opts.Identity == nil {
		return nil, fault.New(fault.Permission, "this device is nobody's: there is no identity")
	}
	var err error
	c.proof, err = l.opts.Identity.Attest(c.signedData(dk))
	return c, err
}

// Names in the namespace of a space.
const (
	logName   = "log"
	blobsName = "blobs"
	boxName   = "box"
)

func storeName(namespace string) string { return "cloudpal/space/" + namespace }

func boxKeys(store *corestore.Store) *hypercrypto.BoxKeyPair {
	return hypercrypto.BoxKeyPairFromSeed(store.KeyPair(boxName).Seed())
}

// add opens and remembers a space.
func (l *Library) add(ctx context.Context, r Record) (*Space, error) {
	s, err := l.tryAdd(ctx, r)
	if err != nil && s != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, err
}

func (l *Library) tryAdd(ctx context.Context, r Record) (*Space, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosing()
	}
	if known := l.records[r.Key]; known != nil && !known.Forgotten {
		return nil, alreadyHere(known)
	}
	if r.Home {
		for _, known := range l.records {
			if known.Home && !known.Forgotten {
				return nil, fault.New(fault.Conflict, "this device is in a home already: %q", known.Name)
			}
		}
	}
	r.Name = l.freeName(r.Name, r.Key)
	s, err := l.startLocked(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := l.putLocked(ctx, r); err != nil {
		delete(l.open, r.Key)
		return s, err
	}
	return s, nil
}

func errClosing() error { return fault.New(fault.Closing, "the node is closing") }

// freeName returns a name like the given one that no other space here has.
func (l *Library) freeName(name string, key hypercrypto.Key) string {
	taken := make(map[string]bool)
	for _, r := range l.records {
		taken[r.Name] = !r.Forgotten && r.Key != key
	}
	free := name
	for n := 2; taken[free]; n++ {
		free = fmt.Sprintf("%s-%d", name, n)
	}
	return free
}

// putLocked stores a record.
func (l *Library) putLocked(ctx context.Context, r Record) error {
	if err := l.tree.Put(ctx, r.Key[:], r.appendTo(nil), nil); err != nil {
		return fmt.Errorf("remember space %q: %w", r.Name, err)
	}
	l.records[r.Key] = &r
	l.listChange()
	return nil
}

// startLocked opens the space of a record.
func (l *Library) startLocked(ctx context.Context, r Record) (*Space, error) {
	s := &Space{l: l, record: r, store: l.store.Namespace(storeName(r.namespace)).Marked(markOf(r.Key)), change: make(chan struct{})}
	s.app = newApp(r.Key, l.opts.level, l.opts.Collections)
	s.app.clock = &l.clock
	s.box = boxKeys(s.store)
	s.stale.Store(true)
	fail := func(err error) (*Space, error) {
		return nil, errors.Join(fmt.Errorf("open space %q: %w", r.Name, err), s.store.Close())
	}
	var err error
	if err = s.openKeys(ctx, r.epochs); err != nil {
		return fail(err)
	}
	s.app.ring, s.app.box, s.app.log = s.ring, s.box, hypercrypto.DefaultManifest(s.store.KeyPair(logName).Public).Key()
	o := &autobase.Options{
		EncryptionKey: r.Encryption, Local: s.store.KeyPair(logName), Optimistic: true, AckInterval: l.opts.AckInterval, OnEvent: s.onEvent, Log: l.opts.Log,
		Keys: s.ring, Peek: s.app.peek, NoWriter: s.isBlobLog, Ignored: s.app.ignored, NoForward: l.opts.led,
	}
	if l.opts.led {
		o.AckInterval = -1
	}
	s.base, err = autobase.Open(ctx, s.store, &r.Key, s.app.handlers(), o)
	if err != nil {
		return fail(s.explain(err))
	}
	s.running.Store(s.base)
	s.base.KeysChanged() // some may have been found meanwhile
	if err := s.first(); err != nil {
		return nil, errors.Join(err, s.base.Close(), s.store.Close())
	}
	l.open[r.Key] = s
	delete(l.failed, r.Key)
	for m := range l.muxes {
		exchange(s.base, m)
	}
	s.start()
	return s, nil
}

// Spaces returns all open spaces, sorted by name.
func (l *Library) Spaces() []*Space {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(maps.Values(l.open), func(a, b *Space) int { return strings.Compare(a.Name(), b.Name()) })
}

// Records returns what is remembered, sorted by name, also of spaces that cannot be
// opened, with the reason.
func (l *Library) Records() (records []Record, failed map[hypercrypto.Key]error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.records {
		if !r.Forgotten {
			records = append(records, *r)
		}
	}
	slices.SortFunc(records, func(a, b Record) int { return strings.Compare(a.Name, b.Name) })
	return records, maps.Clone(l.failed)
}

// Get returns an open space by its name here or by its key.
func (l *Library) Get(name string) (*Space, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosing()
	}
	if r := l.lookup(name); r != nil {
		if s := l.open[r.Key]; s != nil {
			return s, nil
		}
		return nil, l.failed[r.Key]
	}
	var known []string
	for _, r := range l.records {
		if !r.Forgotten {
			known = append(known, r.Name)
		}
	}
	slices.Sort(known)
	f := fault.New(fault.NotFound, "there is no space %q here", name)
	for _, k := range known {
		f = f.Hint("known is %q", k)
	}
	if len(known) == 0 {
		f = f.Hint("make that of all your devices: cloudpal sync DIR").Hint("make one to share: cloudpal space create NAME")
	}
	return nil, f
}

// lookup returns the record of a space by its key, or else by its name, which may be that
// of another space: others chose it. mu is held.
func (l *Library) lookup(name string) *Record {
	if key, err := hypercrypto.ParseKey(name); err == nil {
		if r := l.records[key]; r != nil && !r.Forgotten {
			return r
		}
	}
	for _, r := range l.records {
		if !r.Forgotten && r.Name == name {
			return r
		}
	}
	return nil
}

// Home returns the space of all devices of the person, nil if there is none here.
func (l *Library) Home() *Space {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, r := range l.records {
		if r.Home && !r.Forgotten {
			return l.open[k]
		}
	}
	return nil
}

// drop closes a space that came to nothing, and forgets it.
func (l *Library) drop(ctx context.Context, s *Space) error {
	key := s.Key()
	l.mu.Lock()
	delete(l.open, key)
	delete(l.records, key)
	l.mu.Unlock()
	return errors.Join(s.close(), l.tree.Del(ctx, key[:], nil))
}

// Attach exchanges all spaces on a connection, until detach is called.
func (l *Library) Attach(m *protomux.Mux) (detach func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.muxes[m] = struct{}{}
	for _, s := range l.open {
		exchange(s.base, m)
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.muxes, m)
	}
}

// exchange attaches a base to a connection, and again when the peer hears of the base
// only later.
func exchange(b *autobase.Base, m *protomux.Mux) {
	dk := b.Key().Discovery()
	m.Pair("wakeup", dk[:], func([]byte) { _ = b.Attach(m) }) // fails when one of both has ended
	_ = b.Attach(m)
}
