package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/lan"
	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/handoff"
)

// meetNearby is a [handoff.Rendezvous] on the local link, and at addresses that a
// person named.
type meetNearby struct {
	api.Meeting
	links     *links
	listening func([]string)
	spare     bool // there are other ways: it is no error if this one cannot be gone
	log       *slog.Logger
	bandwidth *bandwidth
}

// Limits of a meeting.
const (
	// maxVisitors is how many may be on their way to prove that they know the code.
	maxVisitors = 32
	// dialTime is how long one address may take.
	dialTime = 5 * time.Second
	// roundPause is the pause between two attempts at the same address.
	roundPause = time.Second
)

// strangers returns the options of a connection on which nobody shows an identity:
// each side makes a key for it alone.
func (l *bandwidth) strangers() *secretstream.Options {
	return &secretstream.Options{KeepAlive: 5 * time.Second, IdleTimeout: 30 * time.Second, Outgoing: &l.up, Incoming: &l.down}
}

// Host implements [handoff.Rendezvous].
func (m *meetNearby) Host(ctx context.Context, topic handoff.Topic, accept func(*secretstream.Conn)) error {
	wanted := m.Listen
	if len(wanted) == 0 {
		wanted = []string{anyAddress}
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	finder, release, err := m.finder()
	if err != nil && len(m.Listen) == 0 {
		if m.spare {
			<-ctx.Done()
			return nil
		}
		return fault.WithHint(err, "say where to listen with --listen, and on the other side --peer")
	}
	defer release()
	slots := make(chan struct{}, maxVisitors)
	var addresses []string
	failed := make(chan error, len(wanted))
	for _, address := range wanted {
		l, err := listenAt(ctx, address)
		if err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, func() { l.Close() })
		defer stop()
		defer l.Close()
		addresses = append(addresses, reachable(l.Addr())...)
		if finder != nil {
			stop, err := finder.Announce(lan.Topic(topic), uint16(l.Addr().(*net.TCPAddr).Port))
			if err != nil {
				return err
			}
			defer stop()
		}
		wg.Go(func() {
			failed <- m.visitors(ctx, l, slots, func(conn *secretstream.Conn) { accept(conn) }, &wg)
		})
	}
	m.listening(addresses)
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("wait for the other side: %w", err)
	}
}

func listenAt(ctx context.Context, address string) (net.Listener, error) {
	hostPort, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp", hostPort)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return l, nil
}

// visitors runs the handshake with all who come and hands them on.
func (m *meetNearby) visitors(ctx context.Context, l net.Listener, slots chan struct{}, accept func(*secretstream.Conn), wg *sync.WaitGroup) error {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
			return err
		}
		if err != nil {
			if !pause(ctx, backoff(0)) { // out of file descriptors, most likely
				return ctx.Err()
			}
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			conn.Close() // too many at once; who means it comes again
			continue
		}
		wg.Go(func() {
			defer func() { <-slots }()
			handshake, cancel := context.WithTimeout(ctx, handshakeTime)
			stream, err := secretstream.Server(handshake, conn, m.bandwidth.strangers())
			cancel()
			if err != nil {
				return
			}
			stop := context.AfterFunc(ctx, func() { stream.Close() })
			defer stop()
			accept(stream)
		})
	}
}

// Join implements [handoff.Rendezvous].
func (m *meetNearby) Join(ctx context.Context, topic handoff.Topic) (*secretstream.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, p := range m.Peers {
		if _, err := parseAddress(p); err != nil {
			return nil, err
		}
	}
	found := &places{news: make(chan struct{}, 1)}
	finder, release, err := m.finder()
	if err != nil && len(m.Peers) == 0 {
		if m.spare {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return nil, fault.WithHint(err, "say where the other side is with --peer")
	}
	defer release()
	if finder != nil {
		var wg sync.WaitGroup
		wg.Go(func() {
			for e, err := range finder.Browse(ctx, lan.Topic(topic)) {
				if err != nil {
					return
				}
				found.change(e)
			}
		})
		defer wg.Wait()
		defer cancel()
	}
	for {
		list := found.list()
		for _, p := range m.Peers {
			hostPort, _ := parseAddress(p) // checked above
			list = append(list, hostPort)
		}
		for _, address := range list {
			conn, err := m.dialStranger(ctx, address)
			if err == nil {
				return conn, nil
			}
			m.log.Debug("cannot reach", "address", address, "err", err)
		}
		again := time.NewTimer(roundPause)
		select {
		case <-again.C:
		case <-found.news:
		case <-ctx.Done():
		}
		again.Stop()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// finder returns the node for the local link, nil if there shall be none or err
// says why there is none.
func (m *meetNearby) finder() (finder *lan.Node, release func(), err error) {
	if m.LAN == nil {
		return nil, func() {}, nil
	}
	finder, release, err = m.links.use(m.LAN.Interfaces)
	if err != nil {
		m.log.Debug("no discovery on the local link", "err", err)
		return nil, func() {}, err
	}
	return finder, release, nil
}

func (m *meetNearby) dialStranger(ctx context.Context, address string) (*secretstream.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return secretstream.Client(ctx, conn, m.bandwidth.strangers())
}

// places are where the topic was seen, in the order in which they appeared.
type places struct {
	news chan struct{} // holds a token when there is a new one

	mu  sync.Mutex // guards all
	all []string
}

func (p *places) change(e lan.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	address := e.Addr.String()
	p.all = slices.DeleteFunc(p.all, func(a string) bool { return a == address })
	if e.Gone {
		return
	}
	p.all = append(p.all, address)
	select {
	case p.news <- struct{}{}:
	default:
	}
}

func (p *places) list() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all)
}
