package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperdht"
	"github.com/tradle/cloudpal/hyper/hyperswarm"
	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/fault"
)

// A lost connection is made again after a pause that doubles from the first to
// the last, and begins again once a connection has lasted.
const (
	firstPause  = 250 * time.Millisecond
	lastPause   = 30 * time.Second
	lastingTime = 10 * time.Second
)

// dialer keeps a connection to one address.
type dialer struct {
	network  *network
	address  string
	hostPort string
	nearby   bool // found on the local link, not named by a person
	cancel   context.CancelFunc

	refs int // guarded by network.mu

	mu      sync.Mutex // guards what follows
	now     api.Peer
	changed chan struct{} // closed and replaced with every change of now
	next    int
	reports map[int]func(api.Peer)
}

// dial connects to an address, or shares the connection if another request has
// asked for it.
func (n *network) dial(address string, nearby bool, report func(api.Peer)) (d *dialer, release func(), err error) {
	hostPort, err := parseAddress(address)
	if err != nil {
		return nil, nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ctx.Err() != nil {
		return nil, nil, fault.New(fault.Closing, "the node is closing")
	}
	if d = n.dialers[address]; d == nil {
		d = &dialer{network: n, address: address, hostPort: hostPort, nearby: nearby, reports: make(map[int]func(api.Peer)),
			changed: make(chan struct{}), now: api.Peer{Type: api.TypePeer, Address: address, State: "connecting"}}
		ctx, cancel := context.WithCancel(n.ctx)
		d.cancel = cancel
		n.dialers[address] = d
		// Reads wait for the first answer until this is taken back.
		found := sync.OnceFunc(n.finding())
		n.wg.Go(func() {
			defer found()
			d.run(ctx, found)
		})
	}
	d.refs++
	forget := d.observe(report)
	return d, func() {
		forget()
		n.mu.Lock()
		defer n.mu.Unlock()
		if d.refs--; d.refs == 0 {
			d.cancel()
			if n.dialers[address] == d {
				delete(n.dialers, address)
			}
		}
	}, nil
}

// observe calls report for every change, beginning with the present state if
// there is a connection.
func (d *dialer) observe(report func(api.Peer)) (forget func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := d.next
	d.next++
	d.reports[id] = report
	if d.now.State == "connected" {
		report(d.now)
	}
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.reports, id)
	}
}

func (d *dialer) state() api.Peer {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

func (d *dialer) change(p api.Peer) {
	p.Type, p.Address = api.TypePeer, d.address
	if d.nearby {
		p.Path = hyperdht.PathLAN.String()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = p
	close(d.changed)
	d.changed = make(chan struct{})
	for _, report := range d.reports {
		report(p)
	}
}

// disconnected waits until there is no connection.
func (d *dialer) disconnected(ctx context.Context) {
	for {
		d.mu.Lock()
		connected, changed := d.now.State == "connected", d.changed
		d.mu.Unlock()
		if !connected {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// run connects again and again until ctx ends. found is called once a peer is
// connected.
func (d *dialer) run(ctx context.Context, found func()) {
	for failures := 0; ; failures++ {
		began := time.Now()
		err := d.connect(ctx, found)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > lastingTime {
			failures = 0
		}
		d.change(api.Peer{State: "retrying", Error: err.Error()})
		if !pause(ctx, backoff(failures)) {
			return
		}
	}
}

// connect makes one connection and returns when it has ended.
func (d *dialer) connect(ctx context.Context, found func()) error {
	dialing, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	var nd net.Dialer
	conn, err := nd.DialContext(dialing, "tcp", d.hostPort)
	if err != nil {
		return plain(err)
	}
	options, release := d.network.dialOptions()
	defer release()
	stream, err := secretstream.Client(dialing, conn, options)
	if err != nil {
		conn.Close()
		var known *connectedError
		if errors.As(err, &known) {
			return d.follow(ctx, d.network.swarm.Connection(known.key), nil, found)
		}
		return fmt.Errorf("handshake: %w", err)
	}
	c, err := d.network.swarm.Adopt(stream, tcpPath(conn))
	release()
	if errors.Is(err, hyperswarm.ErrDuplicate) {
		// The other side has dialed too.
		return d.follow(ctx, d.network.swarm.Connection(stream.RemotePublicKey()), nil, found)
	}
	if err != nil {
		return err
	}
	return d.follow(ctx, c, c, found)
}

// follow reports a connection to the peer, whoever made it, and those that take
// its place, and returns when the last has ended. c is nil if it has ended
// already; mine, if there is one, goes with ctx.
func (d *dialer) follow(ctx context.Context, c, mine *hyperswarm.Conn, found func()) error {
	if c == nil {
		return errClosed
	}
	d.change(api.Peer{State: "connected", Key: c.RemotePublicKey().String()})
	// The peer is asked for everything wanted before reads stop waiting for it.
	ready := time.AfterFunc(settleTime, found)
	defer ready.Stop()
	for {
		select {
		case <-c.Done():
		case <-ctx.Done():
			if mine != nil {
				mine.Close()
			}
			return ctx.Err()
		}
		next := d.network.swarm.Connection(c.RemotePublicKey())
		if next == nil || next == c {
			break
		}
		c = next
	}
	if err := c.Err(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return errClosed
}

var errClosed = errors.New("the peer closed the connection")

// settleTime is how long a new peer has to open what it shares.
const settleTime = 2 * time.Second

// plain takes the addresses out of an error of net, which the report has anyway.
func plain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// backoff returns the pause after a number of failures, spread so that many
// peers do not come back at the same moment.
func backoff(failures int) time.Duration {
	p := lastPause
	if failures < 7 {
		p = min(firstPause<<failures, lastPause)
	}
	return p*3/4 + rand.N(p/2)
}

// pause waits and tells whether to go on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
