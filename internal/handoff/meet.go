package handoff

import (
	"context"
	"errors"
	"time"

	"github.com/tradle/cloudpal/hyper/cpace"
	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/internal/fault"
)

// transfer moves everything over one connection. If that breaks it is called again
// with the next.
type transfer func(ctx context.Context, conn *secretstream.Conn) error

// meet connects with the other side and runs the transfer, over as many
// connections as it takes.
func meet(ctx context.Context, rv Rendezvous, o *Options, p part, run transfer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if o.Code != "" {
		code, err := parseCode(o.Code)
		if err != nil {
			return err
		}
		g := &guest{rv: rv, topic: TopicOf(code.Number), part: p, secret: code.Secret(), patience: o.Patience, watch: &o.Watch}
		return g.run(ctx, run)
	}
	h := newHost(p)
	hosting := make(chan error, 1)
	go func() {
		hosting <- rv.Host(ctx, TopicOf(h.code.Number), func(conn *secretstream.Conn) { _ = h.accept(ctx, conn) })
	}()
	o.Watch.code(h.code.String())
	err := h.run(ctx, o, hosting, run)
	cancel()
	if e := <-hosting; err == nil {
		err = e
	}
	return err
}

// run runs the transfer over each connection that the guest makes, one at a time.
// A new one means that the guest has given up the one before.
func (h *host) run(ctx context.Context, o *Options, hosting chan error, run transfer) error {
	var (
		current *secretstream.Conn
		ended   chan error // of the transfer over current
		last    error      // why the connection before broke
	)
	defer func() {
		if current != nil {
			current.Close()
			<-ended
		}
	}()
	patience := newPatience(o.Patience)
	defer patience.stop()
	for {
		select {
		case conn := <-h.paired:
			patience.pause()
			if current != nil {
				current.Close()
				if err := <-ended; !lost(err) {
					current = nil
					return errors.Join(err, conn.Close())
				}
			}
			current, ended = conn, make(chan error, 1)
			go func(ended chan error) { ended <- run(ctx, conn) }(ended)
		case err := <-ended:
			closeAfter(current, err)
			current, ended = nil, nil
			if !lost(err) {
				return err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			last = err
			o.Watch.warn("", errors.New("the connection was lost; waiting for the other side"))
			patience.begin()
		case err := <-h.failed:
			return err
		case err := <-hosting:
			hosting <- nil // for who waits for it
			if err == nil {
				err = ctx.Err()
			}
			return err
		case <-patience.over():
			if last != nil {
				return lostOr(last)
			}
			return fault.New(fault.Unavailable, "nobody came with the code in %s", o.Patience)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// closeAfter closes a connection whose transfer has ended.
func closeAfter(conn *secretstream.Conn, err error) {
	if err == nil || !lost(err) {
		finish(conn)
	}
	conn.Close()
}

// guest is the side that was told the code.
type guest struct {
	rv       Rendezvous
	topic    Topic
	part     part
	secret   []byte
	again    bool // secret is the key of a run instead of the code
	patience time.Duration
	watch    *Watcher
}

func (g *guest) run(ctx context.Context, run transfer) error {
	for {
		conn, err := g.connect(ctx)
		if err != nil {
			return err
		}
		err = run(ctx, conn)
		closeAfter(conn, err)
		if !lost(err) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		g.watch.warn("", errors.New("the connection was lost; connecting again"))
	}
}

// connect finds a host and pairs with it. With the code there is one guess, and so
// one try; until it is made any number of hosts may turn out to be none.
func (g *guest) connect(ctx context.Context) (*secretstream.Conn, error) {
	joining, cancel := ctx, context.CancelFunc(func() {})
	if g.patience > 0 {
		joining, cancel = context.WithTimeout(ctx, g.patience)
	}
	defer cancel()
	var last error
	for {
		conn, err := g.rv.Join(joining, g.topic)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if joining.Err() == nil {
				return nil, err
			}
			return nil, g.notFound(last)
		}
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		key, err := guestPair(conn, g.secret, g.part, g.again)
		stop()
		if err == nil {
			g.remember(key)
			return conn, nil
		}
		conn.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		// Only the host knows the key of a run; whoever else answers does not matter.
		if !errors.Is(err, errNotSpent) && !g.again {
			return nil, err
		}
		last = err
		if !wait(joining, time.Second) {
			return nil, g.notFound(last)
		}
	}
}

func (g *guest) remember(key *cpace.Key) {
	if g.again {
		return
	}
	k := againKey(key)
	g.secret, g.again = k[:], true
}

func (g *guest) notFound(last error) error {
	if g.again {
		return lostOr(errors.New("the other side does not come back"))
	}
	if last != nil {
		return fault.New(fault.Unavailable, "the other side does not answer as it should: %w", last)
	}
	return fault.New(fault.Unavailable, "nobody with that number was found in %s", g.patience).
		Hint("both sides must run, on the same network or with a way to the internet").Hint("the code is not used up")
}

func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// patience is a timer that may run for ever.
type patience struct {
	d time.Duration
	t *time.Timer
}

func newPatience(d time.Duration) *patience {
	p := &patience{d: d, t: time.NewTimer(max(d, time.Hour))}
	p.begin()
	return p
}

func (p *patience) begin() {
	if p.d > 0 {
		p.t.Reset(p.d)
	}
}

func (p *patience) pause() { p.t.Stop() }
func (p *patience) stop()  { p.t.Stop() }

func (p *patience) over() <-chan time.Time {
	if p.d == 0 {
		return nil
	}
	return p.t.C
}
