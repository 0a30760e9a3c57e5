package blindpeer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
	"github.com/tradle/cloudpal/hyper/storage"
)

const (
	keepAlive  = 5 * time.Second
	sweepTime  = 5 * time.Second // between two looks for what is idle
	idleSweeps = 3               // looks without a peer after which a log is put away
)

// ErrClosed: the server or client is closed.
var ErrClosed = errors.New("blindpeer: closed")

// Server keeps logs for clients. It is safe for concurrent use.
type Server struct {
	opts    Options                            // set once
	store   *corestore.Store                   // set once
	keyPair *hypercrypto.KeyPair               // set once
	trusted map[hypercrypto.PublicKey]struct{} // set once

	ctx    context.Context // ends with the server
	cancel context.CancelFunc
	wg     sync.WaitGroup // run and Serve

	// change is held by whoever changes what is kept. It is held across I/O, mu is
	// not; change is taken before mu.
	change sync.Mutex

	mu      sync.Mutex // guards what follows
	ledger  ledger
	open    map[*entry]struct{} // entries that are open
	changed map[*entry]struct{} // open entries whose log changed
	asked   map[hypercrypto.DiscoveryKey]struct{}
	conns   int
	stats   Stats
	closed  bool

	news chan struct{} // changed or asked is not empty
}

// Open opens the mirror in dir, or makes one. opts may be nil.
func Open(ctx context.Context, dir string, opts *Options) (*Server, error) {
	s := &Server{opts: opts.withDefaults(), trusted: make(map[hypercrypto.PublicKey]struct{}), ledger: newLedger(), open: make(map[*entry]struct{}),
		changed: make(map[*entry]struct{}), asked: make(map[hypercrypto.DiscoveryKey]struct{}), news: make(chan struct{}, 1)}
	for _, k := range s.opts.Trusted {
		s.trusted[k] = struct{}{}
	}
	var err error
	s.store, err = corestore.Open(ctx, dir, &corestore.Options{Quiet: true, Relaxed: true, Asked: s.onAsked, Log: s.opts.Log})
	if err != nil {
		return nil, fmt.Errorf("open mirror: %w", err)
	}
	s.keyPair = s.store.KeyPair("blind-peer")
	if err := s.load(ctx); err != nil {
		return nil, errors.Join(err, s.store.Close())
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Go(s.run)
	return s, nil
}

// KeyPair returns the identity of the mirror: connections have to be made with it,
// and clients name it by its public key.
func (s *Server) KeyPair() *hypercrypto.KeyPair { return s.keyPair }

// load reads the records. A log without one was made just before a crash.
func (s *Server) load(ctx context.Context) error {
	var orphans []hypercrypto.DiscoveryKey
	for c, err := range s.store.DB().Cores() {
		if err != nil {
			return fmt.Errorf("list logs: %w", err)
		}
		b, err := c.UserData(recordName)
		if errors.Is(err, storage.ErrNotFound) {
			orphans = append(orphans, c.DiscoveryKey())
			continue
		}
		if err != nil {
			return fmt.Errorf("read record of log %s: %w", c.DiscoveryKey(), err)
		}
		e, err := decodeStored(b)
		if err != nil {
			return fmt.Errorf("read record of log %s: %w", c.DiscoveryKey(), err)
		}
		s.ledger.add(e)
		if e.Announce || c.Head().Length != e.Length {
			s.asked[e.dk] = struct{}{} // to be opened and looked at
			s.notify()
		}
	}
	if err := s.store.Delete(ctx, orphans...); err != nil {
		return fmt.Errorf("delete logs without record: %w", err)
	}
	return nil
}

// Close ends all connections and stores what is to be stored. It may be called
// twice.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		s.wg.Wait()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.wg.Wait()
	s.change.Lock()
	defer s.change.Unlock()
	err := s.flush(storage.Durable)
	for e := range s.open {
		s.putAway(e)
	}
	return errors.Join(err, s.store.Close())
}

// run does what is not done for a client at once.
func (s *Server) run() {
	tick := time.NewTicker(sweepTime)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.news:
			s.catchUp(s.ctx)
		case <-tick.C:
			s.sweep(s.ctx)
		}
	}
}

func (s *Server) notify() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// onAsked is called when a peer asked for a stored log.
func (s *Server) onAsked(dk hypercrypto.DiscoveryKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.ledger.entries[dk]; e != nil && e.open == nil {
		s.asked[dk] = struct{}{}
		s.notify()
	}
}

// catchUp opens what was asked for and looks at what changed.
func (s *Server) catchUp(ctx context.Context) {
	s.change.Lock()
	defer s.change.Unlock()
	s.mu.Lock()
	asked, changed := s.asked, s.changed
	s.asked, s.changed = make(map[hypercrypto.DiscoveryKey]struct{}), make(map[*entry]struct{})
	s.mu.Unlock()
	for dk := range asked {
		if e := s.ledger.entries[dk]; e != nil && ctx.Err() == nil {
			if err := s.activate(ctx, e, nil); err != nil {
				s.opts.Log.Debug("cannot open log", "discovery", dk, "err", err)
			}
		}
	}
	for e := range changed {
		if e.open != nil && ctx.Err() == nil {
			s.settle(ctx, e)
		}
	}
}

// sweep puts logs away that nobody exchanges, tries again what did not fit, and
// stores what changed.
func (s *Server) sweep(ctx context.Context) {
	s.change.Lock()
	defer s.change.Unlock()
	for e := range s.open {
		if e.over || e.open.unsized {
			s.settle(ctx, e)
		}
		if len(e.open.core.Peers()) > 0 || e.Announce {
			e.open.idle = 0
		} else if e.open.idle++; e.open.idle >= idleSweeps {
			s.putAway(e)
		}
	}
	if err := s.flush(storage.Relaxed); err != nil {
		s.opts.Log.Debug("store records", "err", err)
	}
}

// recordName is where a log's record is among its user data.
const recordName = "blindpeer"

// flush stores the records that changed. s.change is held.
func (s *Server) flush(mode storage.Mode) error {
	b := s.store.DB().NewBatch()
	defer b.Close()
	s.mu.Lock()
	for e := range s.open {
		s.noteTouch(e)
	}
	dirty := s.ledger.dirty
	for e := range dirty {
		c, err := s.store.DB().Core(e.dk)
		if err != nil {
			s.mu.Unlock()
			return fmt.Errorf("store record of log %s: %w", e.Key, err)
		}
		b.SetUserData(c, recordName, e.appendStored(nil))
	}
	s.ledger.dirty = make(map[*entry]struct{})
	s.mu.Unlock()
	if b.Empty() {
		return nil
	}
	if err := b.Commit(mode); err != nil {
		s.mu.Lock()
		maps.Copy(s.ledger.dirty, dirty)
		s.mu.Unlock()
		return fmt.Errorf("store records: %w", err)
	}
	return nil
}

// noteTouch takes over that blocks came or went. s.change and s.mu are held.
func (s *Server) noteTouch(e *entry) {
	ns := e.touched.Swap(0)
	if at := time.Unix(0, ns); ns != 0 && at.After(e.Active) {
		e.Active = at
		s.ledger.dirty[e] = struct{}{}
	}
}

func (s *Server) isTrusted(key hypercrypto.PublicKey) bool {
	_, ok := s.trusted[key]
	return ok
}

// Serve speaks with a client until the connection ends or ctx does. The connection
// must have been made with the server's key pair; it is closed when Serve returns.
func (s *Server) Serve(ctx context.Context, stream protomux.Stream) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		stream.Close()
		return ErrClosed
	}
	s.wg.Add(1)
	defer s.wg.Done()
	s.conns++
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(s.ctx, cancel)
	defer stop()
	m := protomux.New(stream, &protomux.Options{KeepAlive: keepAlive, Log: s.opts.Log})
	c := newConn(s, m)
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		c.work(ctx)
	}()
	err := s.store.ReplicateMux(ctx, m)
	cancel()
	<-worked
	s.mu.Lock()
	s.conns--
	c.leaveLocked()
	s.mu.Unlock()
	return err
}
