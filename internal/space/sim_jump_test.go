package space

import (
	"context"
	"net"
	"sync"
	"testing/synctest"
	"time"

	"github.com/tradle/cloudpal/hyper/protomux"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// jump connects a device to another one, and has it go on from the newest signed state that
// either has. Then it fetches what it passed over: the simulation copies logs without gaps.
func (d *simDevice) jump(to *simDevice) {
	w := d.w
	if d == to || d.space == nil || to.space == nil {
		return
	}
	defer w.connect(d, to)()
	ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
	defer cancel()
	err := d.space.base.FastForward(ctx)
	w.note("device %d jumps to the state that device %d has: %v", d.n, to.n, err)
	synctest.Wait()
	w.note("device %d fetches what it passed over: %v", d.n, d.space.FetchOperations(ctx))
	w.settle()
	if err == nil {
		simJumps.Add(1)
	}
}

// whole tells whether a device has all nodes that it knows of.
func (d *simDevice) whole() bool {
	for i := range d.w.logs {
		if c := d.copy(i); !c.Has(0, c.Length()) {
			return false
		}
	}
	return true
}

// fill lets devices have all nodes that they know of, and that anybody has.
func (w *simulation) fill() {
	for _, d := range w.devices {
		for _, q := range w.devices {
			if d == q || d.space == nil || q.space == nil || d.whole() {
				continue
			}
			cut := w.connect(d, q)
			ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
			w.note("device %d fetches nodes of device %d: %v", d.n, q.n, d.space.FetchOperations(ctx))
			cancel()
			w.settle()
			cut()
		}
	}
}

// connect lets two devices exchange logs until the result is called.
func (w *simulation) connect(a, b *simDevice) (cut func()) {
	ctx, cancel := context.WithCancel(w.ctx)
	x, y := net.Pipe()
	var both sync.WaitGroup
	serve := func(d *simDevice, open func() (*secretstream.Conn, error)) {
		if s, err := open(); err == nil {
			m := protomux.New(s, nil)
			defer d.Attach(m)()
			_ = d.store.ReplicateMux(ctx, m) // ends with the connection
		}
	}
	both.Go(func() { serve(a, func() (*secretstream.Conn, error) { return secretstream.Server(ctx, x, nil) }) })
	both.Go(func() { serve(b, func() (*secretstream.Conn, error) { return secretstream.Client(ctx, y, nil) }) })
	synctest.Wait()
	return func() {
		cancel()
		_ = x.Close()
		_ = y.Close()
		both.Wait()
	}
}
