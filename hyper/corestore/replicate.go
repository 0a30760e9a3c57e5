package corestore

import (
	"context"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
)

// protocol is the name under which cores are opened on a connection.
const protocol = "hypercore/alpha"

// keepAlive is how often an idle connection shows that it lives.
const keepAlive = 5 * time.Second

// Replicate exchanges cores with the peer on a connection until it ends or ctx
// does. Cores that want data are offered to the peer; every stored core that
// the peer asks for is served if it proves to know the key. The connection is
// closed when Replicate returns.
func (s *Store) Replicate(ctx context.Context, stream protomux.Stream) error {
	m := protomux.New(stream, &protomux.Options{KeepAlive: keepAlive, Log: s.root.opts.Log})
	return s.ReplicateMux(ctx, m)
}

// ReplicateMux is Replicate on a connection that carries other protocols too. It
// runs the mux.
func (s *Store) ReplicateMux(ctx context.Context, m *protomux.Mux) error {
	r := s.root
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		m.Close()
		return ErrClosed
	}
	r.wg.Add(1)
	defer r.wg.Done()
	r.muxes[m] = struct{}{}
	var wanted []*hypercore.Core
	for _, e := range r.cores {
		if e.core != nil && !r.opts.Quiet && e.core.Downloading() {
			wanted = append(wanted, e.core)
		}
	}
	r.mu.Unlock()
	m.Pair(protocol, nil, func(id []byte) { r.serve(ctx, m, id) })
	m.Cork()
	for _, c := range wanted {
		// The core may be closing; then it is not wanted any more.
		_ = c.Replicate(m)
	}
	m.Uncork()
	err := m.Run(ctx)
	r.mu.Lock()
	delete(r.muxes, m)
	r.mu.Unlock()
	return err
}

// serve opens a stored core because a peer asks for it.
func (r *root) serve(ctx context.Context, m *protomux.Mux, id []byte) {
	if len(id) != 32 {
		return
	}
	dk := hypercrypto.DiscoveryKey(id)
	o := r.opts.Core
	o.Key, o.Manifest, o.KeyPair, o.Compat = nil, nil, nil, false
	o.DiscoveryKey, o.MustExist, o.Passive, o.Relaxed = &dk, true, true, r.opts.Relaxed
	e, err := r.acquire(ctx, o, true)
	if err != nil {
		r.opts.Log.Debug("peer asked for a core that is not here", "discovery", dk, "err", err)
		return
	}
	if err := e.core.Replicate(m); err != nil {
		r.opts.Log.Debug("cannot serve core", "discovery", dk, "err", err)
	}
	r.release(e, true)
	if r.opts.Asked != nil {
		r.opts.Asked(dk)
	}
}

// attachAll attaches a core to all connections, unless the store is quiet.
func (r *root) attachAll(c *hypercore.Core) {
	if r.opts.Quiet {
		return
	}
	r.mu.Lock()
	var muxes []*protomux.Mux
	for m := range r.muxes {
		muxes = append(muxes, m)
	}
	r.mu.Unlock()
	for _, m := range muxes {
		if err := c.Replicate(m); err != nil {
			r.opts.Log.Debug("cannot attach core", "core", c.Key(), "err", err)
		}
	}
}

// finder is one call of FindingPeers.
type finder struct{ done []func() }

func (f *finder) add(c *hypercore.Core) { f.done = append(f.done, c.FindingPeers()) }

// FindingPeers tells all cores, also those opened later, that peers are being
// looked for until done is called; see [hypercore.Core.FindingPeers].
func (s *Store) FindingPeers() (done func()) {
	r := s.root
	f := &finder{}
	r.mu.Lock()
	r.finding[f] = struct{}{}
	for _, e := range r.cores {
		if e.core != nil {
			f.add(e.core)
		}
	}
	r.mu.Unlock()
	return func() {
		r.mu.Lock()
		delete(r.finding, f)
		calls := f.done
		f.done = nil
		r.mu.Unlock()
		for _, fn := range calls {
			fn()
		}
	}
}
