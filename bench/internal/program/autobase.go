package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/tradle/cloudpal/bench/internal/meter"
	"github.com/tradle/cloudpal/hyper/autobase"
	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

const (
	// basePatience bounds a wait for agreement.
	basePatience = 2 * time.Minute
	// baseLook is the pause between two looks whether peers agree.
	baseLook = 2 * time.Millisecond
	baseLive = 50 // values whose way to another peer is measured
)

// baseWork is a run of autobase: peers in one process, each with a store of its
// own on disk, and a view that has every value.
type baseWork struct {
	io       IO
	mode     string
	writers  int
	indexers int
	count    int
	batch    int
	forward  bool

	peers []*basePeer
}

// basePeer is one of them.
type basePeer struct {
	store  *corestore.Store
	base   *autobase.Base
	view   *hypercore.Core
	remove func()
}

// baseValue is what is appended.
type baseValue struct {
	Add     string `json:"add,omitempty"`
	Indexer bool   `json:"indexer,omitempty"`
	Writer  int    `json:"w,omitempty"`
	I       int    `json:"i"`
	Pad     string `json:"pad,omitempty"`
}

var basePad = strings.Repeat("x", 70)

func (v baseValue) bytes() []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // no value of this type is refused
	}
	return b
}

func base(ctx context.Context, io IO, args []string) error {
	w := &baseWork{io: io}
	f := io.flags("autobase")
	f.StringVar(&w.mode, "mode", "append", "append, multi, merge or reader")
	f.IntVar(&w.writers, "writers", 1, "peers that write")
	f.IntVar(&w.indexers, "indexers", 0, "indexers among them; 0: all")
	f.IntVar(&w.count, "count", 5000, "values; of each writer in merge")
	f.IntVar(&w.batch, "batch", 1, "values per append, not in multi")
	f.BoolVar(&w.forward, "forward", false, "the reader jumps to the signed state")
	if err := f.Parse(args); err != nil {
		return err
	}
	if w.indexers == 0 {
		w.indexers = w.writers
	}
	run, ok := map[string]func(context.Context) error{"append": w.append, "multi": w.multi, "merge": w.merge, "reader": w.reader}[w.mode]
	if !ok || w.writers < 1 || w.batch < 1 || w.count < 1 {
		return fmt.Errorf("flags are out of range: mode %q, %d writers, %d values, %d per append", w.mode, w.writers, w.count, w.batch)
	}
	defer w.close()
	for range w.writers {
		if err := w.open(ctx, true); err != nil {
			return err
		}
	}
	return run(ctx)
}

// open adds a peer, whose base is that of the first one.
func (w *baseWork) open(ctx context.Context, replay bool) error {
	dir, remove, err := tempDir("autobase")
	if err != nil {
		return err
	}
	p := &basePeer{remove: remove}
	w.peers = append(w.peers, p)
	if p.store, err = corestore.Open(ctx, dir, &corestore.Options{Relaxed: true}); err != nil {
		return err
	}
	var boot *hypercrypto.Key
	if p != w.peers[0] {
		k := w.peers[0].base.Key()
		boot = &k
	}
	p.base, err = autobase.Open(ctx, p.store, boot, autobase.Handlers{
		Open:  func(v *autobase.Views) error { p.view = v.Core("view"); return nil },
		Apply: p.apply,
	}, &autobase.Options{AckInterval: -1, NoForward: replay})
	return err
}

func (p *basePeer) apply(ctx context.Context, nodes []autobase.Node, h *autobase.Host) error {
	values := make([][]byte, 0, len(nodes))
	for _, n := range nodes {
		var v baseValue
		if err := json.Unmarshal(n.Value, &v); err != nil {
			return err
		}
		if v.Add == "" {
			values = append(values, n.Value)
			continue
		}
		k, err := hypercrypto.ParseKey(v.Add)
		if err != nil {
			return err
		}
		if err := h.AddWriter(k, v.Indexer); err != nil {
			return err
		}
	}
	_, err := p.view.Append(ctx, values...)
	return err
}

func (w *baseWork) close() {
	for _, p := range w.peers {
		if p.base != nil {
			p.base.Close()
		}
		if p.store != nil {
			p.store.Close()
		}
		p.remove()
	}
}

// link connects two peers until cut is called.
func (w *baseWork) link(ctx context.Context, x, y *basePeer) (cut func()) {
	ctx, cancel := context.WithCancel(ctx)
	near, far := net.Pipe()
	var tasks sync.WaitGroup
	tasks.Go(func() {
		if c, err := secretstream.Client(ctx, near, nil); err == nil {
			x.base.Replicate(ctx, c) // an end shows as a state that does not come
		}
	})
	tasks.Go(func() {
		if c, err := secretstream.Server(ctx, far, nil); err == nil {
			y.base.Replicate(ctx, c)
		}
	})
	return func() {
		cancel()
		near.Close()
		far.Close()
		tasks.Wait()
	}
}

// mesh connects all peers with each other.
func (w *baseWork) mesh(ctx context.Context) (cut func()) {
	var cuts []func()
	for i, p := range w.peers {
		for _, q := range w.peers[i+1:] {
			cuts = append(cuts, w.link(ctx, p, q))
		}
	}
	return func() {
		for _, c := range cuts {
			c()
		}
	}
}

// same tells whether all peers have the same state and views of at least length.
func (w *baseWork) same(ctx context.Context, length int) (bool, error) {
	var first autobase.Status
	for i, p := range w.peers {
		if _, err := p.base.Update(ctx); err != nil {
			return false, err
		}
		s := p.base.Status()
		if i == 0 {
			first = s
		}
		if s.Tip != first.Tip || s.Hash != first.Hash || p.view.Length() < uint64(length) {
			return false, nil
		}
	}
	return true, nil
}

// converge waits until all peers have the same state.
func (w *baseWork) converge(ctx context.Context, length int, acks bool) error {
	end := time.Now().Add(basePatience)
	for spins := 0; ; spins++ {
		ok, err := w.same(ctx, length)
		if ok || err != nil {
			return err
		}
		if time.Now().After(end) {
			return errors.New("the peers do not agree")
		}
		if acks {
			if err := w.peers[spins%len(w.peers)].base.Ack(ctx); err != nil {
				return err
			}
		}
		time.Sleep(baseLook)
	}
}

// members connects all peers and makes them writers.
func (w *baseWork) members(ctx context.Context) (cut func(), err error) {
	cut = w.mesh(ctx)
	for i, p := range w.peers[1:] {
		v := baseValue{Add: p.base.LocalKey().Hex(), Indexer: i+1 < w.indexers}
		if _, err := w.peers[0].base.Append(ctx, v.bytes()); err != nil {
			return cut, err
		}
		for end := time.Now().Add(basePatience); !p.base.Status().Writable; time.Sleep(baseLook) {
			if time.Now().After(end) {
				return cut, fmt.Errorf("writer %d was not added", i+1)
			}
			for _, q := range w.peers {
				if err := q.base.Ack(ctx); err != nil {
					return cut, err
				}
			}
		}
		if err := w.converge(ctx, 0, true); err != nil {
			return cut, err
		}
	}
	return cut, nil
}

func (w *baseWork) append(ctx context.Context) error {
	cpu, start := meter.CPU(), time.Now()
	if err := w.fill(ctx, w.peers[0]); err != nil {
		return err
	}
	took := time.Since(start)
	if got := w.peers[0].view.Length(); got != uint64(w.count) {
		return fmt.Errorf("the view has %d values", got)
	}
	return w.io.print("autobase-append", float64(w.count)/took.Seconds(), "values/s", meter.Fields{"count": w.count, "batch": w.batch},
		meter.Fields{"ms": meter.Ms(took), "cpu_s": meter.CPU() - cpu, "peak_rss_mb": meter.PeakRSS()})
}

// fill lets a peer append all values, some at a time.
func (w *baseWork) fill(ctx context.Context, p *basePeer) error {
	values := make([][]byte, 0, w.batch)
	for i := 0; i < w.count; i += w.batch {
		values = values[:0]
		for j := i; j < min(i+w.batch, w.count); j++ {
			values = append(values, baseValue{I: j, Pad: basePad}.bytes())
		}
		if _, err := p.base.Append(ctx, values...); err != nil {
			return err
		}
	}
	return nil
}

func (w *baseWork) multi(ctx context.Context) error {
	cut, err := w.members(ctx)
	defer cut()
	if err != nil {
		return err
	}
	per := w.count / w.writers
	errs := make([]error, len(w.peers))
	cpu, start := meter.CPU(), time.Now()
	var tasks sync.WaitGroup
	for n, p := range w.peers {
		tasks.Go(func() {
			for i := range per {
				if _, errs[n] = p.base.Append(ctx, baseValue{Writer: n, I: i, Pad: basePad}.bytes()); errs[n] != nil {
					return
				}
			}
		})
	}
	tasks.Wait()
	wrote := time.Since(start)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := w.converge(ctx, per*w.writers, true); err != nil {
		return err
	}
	took := time.Since(start)
	params := meter.Fields{"writers": w.writers, "count": w.count}
	if err := w.io.print("autobase-multi", float64(per*w.writers)/took.Seconds(), "values/s", params,
		meter.Fields{"append_ms": meter.Ms(wrote), "ms": meter.Ms(took), "cpu_s": meter.CPU() - cpu, "peak_rss_mb": meter.PeakRSS()}); err != nil {
		return err
	}
	return w.live(ctx, params)
}

// live measures how long a value takes from one peer to the view of another.
func (w *baseWork) live(ctx context.Context, params meter.Fields) error {
	from, to := w.peers[0], w.peers[1]
	var lat meter.Latencies
	for i := range baseLive {
		length, start := to.view.Length(), time.Now()
		if _, err := from.base.Append(ctx, baseValue{I: i}.bytes()); err != nil {
			return err
		}
		for to.view.Length() <= length {
			p := to.base.Position()
			if to.view.Length() > length {
				break
			}
			if _, err := to.base.WaitChange(ctx, p); err != nil {
				return err
			}
		}
		lat = append(lat, time.Since(start))
	}
	return w.io.print("autobase-live", lat.Percentile(0.5), "ms", params, meter.Fields{"p90_ms": lat.Percentile(0.9)})
}

func (w *baseWork) merge(ctx context.Context) error {
	cut, err := w.members(ctx)
	cut()
	if err != nil {
		return err
	}
	for _, p := range w.peers {
		if err := w.fill(ctx, p); err != nil {
			return err
		}
	}
	cpu, start := meter.CPU(), time.Now()
	defer w.mesh(ctx)()
	if err := w.converge(ctx, w.count*w.writers, false); err != nil {
		return err
	}
	return w.io.print("autobase-merge", meter.Ms(time.Since(start)), "ms", meter.Fields{"writers": w.writers, "indexers": w.indexers, "count": w.count},
		meter.Fields{"cpu_s": meter.CPU() - cpu, "peak_rss_mb": meter.PeakRSS()})
}

func (w *baseWork) reader(ctx context.Context) error {
	if err := w.fill(ctx, w.peers[0]); err != nil {
		return err
	}
	if err := w.open(ctx, !w.forward); err != nil {
		return err
	}
	before := meter.PeakRSS()
	cpu, start := meter.CPU(), time.Now()
	defer w.link(ctx, w.peers[0], w.peers[1])()
	if err := w.converge(ctx, w.count, false); err != nil {
		return err
	}
	return w.io.print("autobase-reader", meter.Ms(time.Since(start)), "ms", meter.Fields{"count": w.count, "forward": w.forward},
		meter.Fields{"before_rss_mb": before, "cpu_s": meter.CPU() - cpu, "peak_rss_mb": meter.PeakRSS()})
}
