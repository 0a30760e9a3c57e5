package base

import (
	"context"
	"crypto/rand"
	"encoding/json"
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
	"github.com/tradle/cloudpal/hyper/hyperdrive/link"
	"github.com/tradle/cloudpal/hyper/protomux"
	"github.com/tradle/cloudpal/internal/fault"
)

// ackInterval is about how long an indexer waits before it confirms what others
// wrote.
const ackInterval = 2 * time.Second

// Options configures [Open].
type Options struct {
	// Pairing lets others in by invites, and this node into their bases.
	Pairing *blindpairing.Pairing
	// Log receives debug messages; nil discards them.
	Log *slog.Logger
}

// Record is what the library remembers of a base.
type Record struct {
	// Name is unique in the library.
	Name string `json:"name"`
	// Link gives everything needed to read the base: its key, and the key that
	// encrypts it if there is one.
	Link string `json:"link"`
	// Space is the namespace of this device's log.
	Space string `json:"space"`
	// Book is the state of the invites.
	Book []byte `json:"book,omitempty"`

	key        hypercrypto.Key
	encryption *hypercrypto.EncryptionKey
}

// Key returns the key of the base.
func (r Record) Key() hypercrypto.Key { return r.key }

// Library is all bases of one store. It is safe for concurrent use.
type Library struct {
	store *corestore.Store
	opts  Options
	core  *hypercore.Core
	tree  *hyperbee.Tree // names to records in JSON; nobody else knows the key of its log

	mu      sync.Mutex // guards what follows, and is held while a base is opened or closed
	records map[string]Record
	open    map[string]*opened
	muxes   map[*protomux.Mux]struct{}
	closed  bool
}

// opened is a base that requests share.
type opened struct {
	base  *autobase.Base
	store *corestore.Store
	views views
	refs  int

	mu     sync.Mutex         // guards what follows
	change chan struct{}      // closed and replaced with every event
	book   *blindpairing.Book // nil until invites are used
}

// registryCore is the name of the log of the list of bases.
const registryCore = "cloudpal/bases"

// Open opens the library of a store.
func Open(ctx context.Context, store *corestore.Store, opts Options) (*Library, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	l := &Library{store: store, opts: opts, records: make(map[string]Record), open: make(map[string]*opened), muxes: make(map[*protomux.Mux]struct{})}
	var err error
	if l.core, err = store.Get(ctx, corestore.GetOptions{Name: registryCore, Passive: true}); err != nil {
		return nil, fmt.Errorf("open list of bases: %w", err)
	}
	l.tree = hyperbee.New(l.core, nil)
	for e, err := range l.tree.Entries(ctx, hyperbee.Range{}) {
		var r Record
		if err == nil {
			r, err = decodeRecord(e.Value)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("read list of bases: %w", err), l.tree.Close(), l.core.Close())
		}
		l.records[r.Name] = r
	}
	return l, nil
}

func decodeRecord(b []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return r, err
	}
	return r, r.parse()
}

func (r *Record) parse() error {
	l, err := link.Parse(r.Link)
	if err != nil {
		return err
	}
	r.key, r.encryption = l.Key, l.EncryptionKey
	return nil
}

func linkTo(key hypercrypto.Key, encryption *hypercrypto.EncryptionKey) string {
	l := link.New(key)
	l.EncryptionKey = encryption
	return l.URL()
}

// Close closes all bases.
func (l *Library) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	var errs []error
	for _, o := range l.open {
		errs = append(errs, o.close())
	}
	l.open = nil
	return errors.Join(append(errs, l.tree.Close(), l.core.Close())...)
}

func namespace(space string) string { return "cloudpal/base/" + space }

func (o *opened) close() error { return errors.Join(o.base.Close(), o.store.Close()) }

// Records returns all bases, sorted by name.
func (l *Library) Records() []Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(maps.Values(l.records), func(a, b Record) int { return strings.Compare(a.Name, b.Name) })
}

// put stores a record. l.mu is held.
func (l *Library) put(ctx context.Context, r Record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode base %q: %w", r.Name, err)
	}
	if err := l.tree.Put(ctx, []byte(r.Name), b, nil); err != nil {
		return fmt.Errorf("remember base %q: %w", r.Name, err)
	}
	l.records[r.Name] = r
	return nil
}

// Create makes a base, of which this device is the first member.
func (l *Library) Create(ctx context.Context, name string, encrypted bool) (*Base, error) {
	r := Record{Name: name, Space: rand.Text()}
	if encrypted {
		r.encryption = new(hypercrypto.EncryptionKey)
		rand.Read(r.encryption[:]) // never fails
	}
	return l.add(ctx, r, nil)
}

// Join remembers a base by its link. A member has to add this device's log before it
// can write.
func (l *Library) Join(ctx context.Context, name, ref string) (*Base, error) {
	r := Record{Name: name, Link: ref, Space: rand.Text()}
	if err := r.parse(); err != nil {
		return nil, fault.New(fault.Usage, "%w", err).Hint("a base is joined by an invite, or by the link that \"base create\" prints")
	}
	r.Link = linkTo(r.key, r.encryption)
	return l.add(ctx, r, &r.key)
}

// add opens and remembers a new base.
func (l *Library) add(ctx context.Context, r Record, bootstrap *hypercrypto.Key) (*Base, error) {
	if err := checkName(r.Name); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, fault.New(fault.Closing, "the node is closing")
	}
	if _, taken := l.records[r.Name]; taken {
		return nil, fault.New(fault.Conflict, "there is a base %q already", r.Name).Hint("choose another name")
	}
	if bootstrap != nil {
		for _, other := range l.records {
			if other.key == *bootstrap {
				return nil, fault.New(fault.Conflict, "this base is here already, as %q", other.Name)
			}
		}
	}
	o, err := l.start(ctx, r, bootstrap)
	if err != nil {
		return nil, err
	}
	r.key = o.base.Key()
	r.Link = linkTo(r.key, r.encryption)
	if err := l.put(ctx, r); err != nil {
		return nil, errors.Join(err, o.close())
	}
	return l.use(r, o), nil
}

// Get opens a base by its name. It must be closed.
func (l *Library) Get(ctx context.Context, name string) (*Base, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, fault.New(fault.Closing, "the node is closing")
	}
	r, ok := l.records[name]
	if !ok {
		f := fault.New(fault.NotFound, "there is no base %q here", name)
		for known := range l.records {
			f = f.Hint("known is %q", known)
		}
		return nil, f
	}
	o := l.open[name]
	if o == nil {
		var err error
		if o, err = l.start(ctx, r, &r.key); err != nil {
			return nil, err
		}
	}
	return l.use(r, o), nil
}

// start opens the base of a record. l.mu is held.
func (l *Library) start(ctx context.Context, r Record, bootstrap *hypercrypto.Key) (*opened, error) {
	o := &opened{store: l.store.Namespace(namespace(r.Space)), change: make(chan struct{})}
	var err error
	o.base, err = autobase.Open(ctx, o.store, bootstrap, o.views.handlers(), &autobase.Options{
		EncryptionKey: r.encryption, AckInterval: ackInterval, OnEvent: o.onEvent, Log: l.opts.Log,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open base %q: %w", r.Name, err), o.store.Close())
	}
	for m := range l.muxes {
		_ = o.base.Attach(m) // fails when the connection has ended
	}
	return o, nil
}

// use counts a user of an open base. l.mu is held.
func (l *Library) use(r Record, o *opened) *Base {
	o.refs++
	l.open[r.Name] = o
	return &Base{l: l, o: o, record: r}
}

func (l *Library) release(name string, o *opened) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o.refs--; o.refs > 0 || l.open[name] != o {
		return nil
	}
	delete(l.open, name)
	return o.close()
}

// Attach exchanges the open bases on a connection, until detach is called.
func (l *Library) Attach(m *protomux.Mux) (detach func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.muxes[m] = struct{}{}
	for _, o := range l.open {
		_ = o.base.Attach(m) // fails when the connection has ended
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.muxes, m)
	}
}

func checkName(name string) error {
	if name == "" || len(name) > 200 || strings.ContainsAny(name, "/\\@:\x00\n") {
		return fault.New(fault.Usage, "%q cannot be a name of a base", name).Hint("a name has 1 to 200 bytes, without slashes, colons and @")
	}
	return nil
}
