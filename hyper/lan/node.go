package lan

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/netip"
	"sync"
)

// Errors of a node.
var (
	// ErrClosed: the node was closed. It matches [net.ErrClosed].
	ErrClosed = fmt.Errorf("lan: %w", net.ErrClosed)
	// ErrTooMany: a node announces at most 1024 pairs of topic and port.
	ErrTooMany = errors.New("lan: too many topics")
)

// Options configures [New].
type Options struct {
	// Interfaces names the network interfaces to use. Nil means all that are up
	// and can multicast, but not loopback; they may come and go.
	Interfaces []string
	// Log receives events at level Debug; nil discards them.
	Log *slog.Logger
}

// Node takes part in discovery on the local link. It is safe for concurrent use.
type Node struct {
	ctx      context.Context // ends when the node closes
	cancel   context.CancelFunc
	commands chan func(*state)
	packets  chan packet
	done     chan struct{} // closed when all has ended
	once     sync.Once
}

// packet is what came from a link.
type packet struct {
	data    []byte
	from    netip.Addr
	segment int
	// question tells that the packet can only be a question: it came from another
	// port than those who answer use.
	question bool
}

// queue is how many packets may wait; what comes when it is full is dropped.
const queue = 64

// New opens the multicast DNS port, which is shared with other software, on the
// local interfaces. It is no error if there is none at present.
func New(opts Options) (*Node, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	l, err := openSockets(opts.Interfaces, opts.Log)
	if err != nil {
		return nil, err
	}
	return start(l, opts.Log), nil
}

func start(l link, log *slog.Logger) *Node {
	n := &Node{commands: make(chan func(*state)), packets: make(chan packet, queue), done: make(chan struct{})}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	l.receive(func(p packet) {
		select {
		case n.packets <- p:
		default:
		}
	})
	go func() {
		defer close(n.done)
		newState(l, log).run(n.ctx, n.commands, n.packets)
		if err := l.close(); err != nil {
			log.Debug("close multicast sockets", "err", err)
		}
	}()
	return n
}

// Close takes all announcements back and ends the node. It is safe to call twice.
func (n *Node) Close() error {
	n.once.Do(n.cancel)
	<-n.done
	return nil
}

// do runs fn in the node's goroutine and waits for it.
func (n *Node) do(fn func(*state)) error {
	ran := make(chan struct{})
	select {
	case n.commands <- func(s *state) { fn(s); close(ran) }:
		<-ran
		return nil
	case <-n.done:
		return ErrClosed
	}
}

// Announce tells the link that the topic can be had at a TCP port of this
// machine, until stop is called or the node closes. Equal announcements are
// counted.
func (n *Node) Announce(topic Topic, port uint16) (stop func(), err error) {
	if port == 0 {
		return nil, errors.New("lan: announce port 0")
	}
	if e := n.do(func(s *state) { err = s.announce(topic, port) }); e != nil {
		err = e
	}
	if err != nil {
		return nil, err
	}
	return sync.OnceFunc(func() {
		_ = n.do(func(s *state) { s.withdraw(topic, port) }) // closed: nothing is announced
	}), nil
}

// Event tells that a topic can be had at an address, or no longer. A machine with
// several addresses is announced once for each.
type Event struct {
	Addr netip.AddrPort
	// Gone tells that the announcement was taken back or has expired.
	Gone bool
}

// Browse asks for announcements of a topic by other nodes and yields what
// appears and vanishes, until ctx ends or the node closes; that error is the
// last. A slow loop misses what came and went meanwhile, never the present state.
func (n *Node) Browse(ctx context.Context, topic Topic) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		b := newBrowse(topic)
		if err := n.do(func(s *state) { s.browse(b) }); err != nil {
			yield(Event{}, err)
			return
		}
		defer func() { _ = n.do(func(s *state) { s.leave(b) }) }()
		for {
			for _, e := range b.news() {
				if !yield(e, nil) {
					return
				}
			}
			select {
			case <-b.wake:
			case <-ctx.Done():
				yield(Event{}, ctx.Err())
				return
			case <-n.done:
				yield(Event{}, ErrClosed)
				return
			}
		}
	}
}
