package hyperdht

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/hyper/udx"
)

const (
	// earlyMessages is how many unordered messages are kept that come before the
	// keys, unreadMessages how many that nobody has taken.
	earlyMessages  = 8
	unreadMessages = 64
	// firstByteWait is how long a side that has a path waits for the other's
	// first bytes.
	firstByteWait = 15 * time.Second
)

// link is the stream of a connection and the state of finding a path for it. It
// begins before the handshake, so that no packet of the other side is lost, and
// lives as long as the connection.
//
// Whoever finds a path first calls use: an arriving packet, the relay, the punch,
// the ping on the local network. A direct path replaces a relayed one, and one
// that the other side no longer answers on.
type link struct {
	d      *DHT
	stream *udx.Stream
	// delegated is the handshake, if it was a delegate's. Set before the keys.
	delegated Handshake
	ctx       context.Context // ends with the connection or the attempt
	cancel    context.CancelCauseFunc

	ready    chan struct{} // closed when conn is set
	messages chan []byte

	mu          sync.Mutex // guards what follows; never held while calling the stream
	session     *secretstream.Session
	remoteID    uint32
	early       [][]byte
	earlySource source // of the first packet before the keys
	private     bool   // only the relay may be used
	punching    bool   // a hole is being punched
	direct      context.Context
	isDirect    context.CancelFunc    // a direct path is used: no more punching
	again       func(context.Context) // looks for the other side anew; nil: it will come
	seeking     bool                  // again runs
	connecting  bool                  // somebody is setting the remote
	connected   bool
	path        Path
	remote      netip.AddrPort
	socket      *udx.Socket
	relay       netip.AddrPort // where the relay's packets come from, zero: none
	endRelay    func()
	pathChanged chan struct{}
	raw         *bytestream
	conn        *secretstream.Conn
	onEnd       []func()
	ended       bool

	umu       sync.Mutex // guards what follows
	unordered *secretstream.Unordered
	packet    []byte
}

// source is a local socket and where something came from.
type source struct {
	s    *udx.Socket
	addr netip.AddrPort
}

func (d *DHT) newLink() (*link, error) {
	l := &link{d: d, ready: make(chan struct{}), messages: make(chan []byte, unreadMessages), pathChanged: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancelCause(d.ctx)
	l.direct, l.isDirect = context.WithCancel(l.ctx)
	stream, err := d.transport.NewStream(&udx.StreamOptions{
		Firewall:  l.firewall,
		OnMessage: l.onMessage,
		OnSilence: l.onSilence,
	})
	if err != nil {
		return nil, fmt.Errorf("hyperdht: %w", err)
	}
	l.stream = stream
	d.mu.Lock()
	err = nil
	if d.closed {
		err = ErrClosed
	} else if d.suspended {
		err = ErrSuspended
	} else {
		d.links[l] = true
	}
	d.mu.Unlock()
	if err != nil {
		l.abort(err)
		return nil, err
	}
	return l, nil
}

// firewall is asked about packets for the stream from elsewhere than its remote.
// It runs in the goroutine of the socket.
func (l *link) firewall(s *udx.Socket, from netip.AddrPort) bool {
	l.mu.Lock()
	switch {
	case l.ended:
		l.mu.Unlock()
		return false
	case l.relay.IsValid() && from == l.relay:
		l.mu.Unlock()
		return true
	case l.private:
		l.mu.Unlock()
		return false
	case l.session == nil:
		if !l.earlySource.addr.IsValid() {
			l.earlySource = source{s, from}
		}
		l.mu.Unlock()
		return true
	case l.connected && l.path != PathRelayed:
		// The remote may have another address by now; the content is protected
		// anyway. Nobody else knows the id.
		same, path := l.remote.Addr() == from.Addr(), l.path
		if isPrivate(from.Addr()) && !from.Addr().IsLoopback() {
			path = PathLAN
		} else if path == PathLAN {
			path = PathDirect
		}
		l.mu.Unlock()
		return l.follow(s, from, path) || same
	}
	l.mu.Unlock()
	l.use(s, from, l.kindOf(from))
	return true
}

// follow makes an address the remote of a stream whose remote is silent.
func (l *link) follow(s *udx.Socket, to netip.AddrPort, path Path) bool {
	if !l.stream.Follow(s, to) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remote, l.socket, l.path = to, s, path
	l.isDirect()
	close(l.pathChanged)
	l.pathChanged = make(chan struct{})
	return true
}

// kindOf names the path to an address from which packets came.
func (l *link) kindOf(from netip.AddrPort) Path {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case isPrivate(from.Addr()) && !from.Addr().IsLoopback():
		return PathLAN
	case l.punching:
		return PathPunched
	case l.session == nil:
		return PathDirect
	}
	// A NAT may still be open from the last time.
	if was := l.d.routes.peer(l.session.RemotePublicKey); was.addr == from {
		return was.path
	}
	return PathDirect
}

// onMessage takes an unordered packet. An empty one only shows a path.
func (l *link) onMessage(packet []byte) {
	if len(packet) == 0 {
		return
	}
	l.mu.Lock()
	if l.session == nil {
		if len(l.early) < earlyMessages {
			l.early = append(l.early, append([]byte(nil), packet...))
		}
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	l.openMessage(packet)
}

func (l *link) openMessage(packet []byte) {
	if l.unordered == nil {
		return // a delegate has the keys
	}
	plain, ok := l.unordered.Open(nil, packet)
	if !ok {
		return
	}
	select {
	case l.messages <- plain:
	default:
	}
}

// setKeys ends the handshake. If a packet has come already its path is used.
func (l *link) setKeys(session *secretstream.Session, remoteID uint32) {
	if l.delegated == nil {
		u := secretstream.NewUnordered(&session.HandshakeHash, session.Initiator)
		l.umu.Lock()
		l.unordered = u
		l.umu.Unlock()
	}
	l.mu.Lock()
	l.session, l.remoteID = session, remoteID
	early, from := l.early, l.earlySource
	l.early = nil
	l.mu.Unlock()
	for _, m := range early {
		l.openMessage(m)
	}
	if from.addr.IsValid() {
		l.use(from.s, from.addr, l.kindOf(from.addr))
	}
}

// use makes an address the remote of the stream unless a direct one is in use.
func (l *link) use(s *udx.Socket, addr netip.AddrPort, path Path) {
	l.mu.Lock()
	id := l.remoteID
	l.mu.Unlock()
	l.useID(s, addr, path, id)
}

// useRelay makes a relay the remote unless there is a direct path. id is that of
// the relay's stream; end ends the connection to the relay.
func (l *link) useRelay(s *udx.Socket, addr netip.AddrPort, id uint32, end func()) bool {
	l.mu.Lock()
	l.relay, l.endRelay = addr, end
	l.mu.Unlock()
	if l.useID(s, addr, PathRelayed, id) {
		return true
	}
	l.mu.Lock()
	l.relay, l.endRelay = netip.AddrPort{}, nil
	l.mu.Unlock()
	return false
}

// socketInUse returns the socket of the path, nil if there is none.
func (l *link) socketInUse() *udx.Socket {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.socket
}

func (l *link) useID(s *udx.Socket, addr netip.AddrPort, path Path, id uint32) bool {
	l.mu.Lock()
	if l.connected && l.seeking && l.path != PathRelayed && path != PathRelayed {
		l.mu.Unlock()
		return l.follow(s, addr, path)
	}
	if l.ended || l.session == nil || l.connecting || l.connected && (l.path != PathRelayed || path == PathRelayed) || l.private && path != PathRelayed {
		l.mu.Unlock()
		return false
	}
	upgrade := l.connected
	l.connecting = true
	session := *l.session
	l.mu.Unlock()

	var err error
	var raw *bytestream
	var conn *secretstream.Conn
	if upgrade {
		err = l.stream.ChangeRemote(s, id, addr)
	} else if err = l.stream.Connect(s, id, addr); err == nil {
		raw = &bytestream{Stream: l.stream, link: l}
		if l.delegated == nil {
			conn, err = secretstream.New(raw, session, &secretstream.Options{KeepAlive: l.d.o.KeepAlive, Outgoing: l.d.o.Outgoing, Incoming: l.d.o.Incoming})
		}
	}

	l.mu.Lock()
	l.connecting = false
	if err != nil {
		l.mu.Unlock()
		if !upgrade {
			l.abort(fmt.Errorf("hyperdht: %w", err))
		}
		return false
	}
	l.connected, l.path, l.remote, l.socket = true, path, addr, s
	if raw != nil {
		l.raw, l.conn = raw, conn
		close(l.ready)
	}
	close(l.pathChanged)
	l.pathChanged = make(chan struct{})
	endRelay := l.endRelay
	if path != PathRelayed {
		l.relay, l.endRelay = netip.AddrPort{}, nil
		l.isDirect()
	}
	ended := l.ended
	l.mu.Unlock()
	if ended && raw != nil {
		raw.Close()
	}
	if path != PathRelayed {
		if upgrade {
			// Shows the other side the new path, also if there is nothing to say.
			_ = l.stream.SendMessage(nil)
		}
		if endRelay != nil {
			endRelay()
		}
	}
	return true
}

// remoteKey is the key that the other side has proven. Call it after setKeys.
func (l *link) remoteKey() hypercrypto.PublicKey {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.session.RemotePublicKey
}

// rememberPeer notes where the other side is, for the next connection to it.
func (l *link) rememberPeer(key hypercrypto.PublicKey) {
	l.mu.Lock()
	path, addr := l.path, l.remote
	l.mu.Unlock()
	if path != PathRelayed {
		l.d.routes.setPeer(key, place{addr, path})
	}
}

// atEnd runs f when the link ends, at once if it has.
func (l *link) atEnd(f func()) {
	l.mu.Lock()
	if !l.ended {
		l.onEnd = append(l.onEnd, f)
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	f()
}

// end releases what belongs to the link. The stream is closed by the caller.
func (l *link) end() {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return
	}
	l.ended = true
	l.isDirect()
	onEnd := l.onEnd
	if l.endRelay != nil {
		onEnd = append(onEnd, l.endRelay)
		l.endRelay = nil
	}
	l.mu.Unlock()
	l.cancel(ErrClosed)
	l.d.mu.Lock()
	delete(l.d.links, l)
	l.d.mu.Unlock()
	for _, f := range onEnd {
		f()
	}
}

// abort ends the link, whatever its state.
func (l *link) abort(err error) {
	l.cancel(err)
	l.mu.Lock()
	conn := l.conn
	l.mu.Unlock()
	if conn != nil {
		conn.Close()
		return
	}
	l.stream.Close()
	l.end()
}

// headerUnit is the size of the first unit of a secret stream.
const headerUnit = 3 + 32 + 24

// firstBytes waits for the other side's header, which proves that it has the
// keys and that the path works both ways.
func (l *link) firstBytes(ctx context.Context) (*Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, firstByteWait, ErrConnectFailed)
	defer cancel()
	select {
	case <-l.ready:
	case <-l.ctx.Done():
		return nil, context.Cause(l.ctx)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	l.mu.Lock()
	raw, conn, session := l.raw, l.conn, l.session
	l.mu.Unlock()
	if l.delegated != nil && session.Initiator {
		return &Conn{link: l}, nil // only the delegate can tell
	}
	stop := context.AfterFunc(ctx, func() { _ = l.stream.SetReadDeadline(time.Unix(1, 0)) })
	head := make([]byte, headerUnit)
	_, err := io.ReadFull(raw.Stream, head)
	if !stop() {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConnectFailed, err)
	}
	_ = l.stream.SetReadDeadline(time.Time{})
	if !l.isHeader(head, session) {
		return nil, fmt.Errorf("%w: not the peer's stream", ErrConnectFailed)
	}
	raw.head = head
	return &Conn{Conn: conn, link: l}, nil
}
