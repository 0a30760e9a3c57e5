package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/internal/fault"
)

// listener accepts peers at one address.
type listener struct {
	net.Listener
	refs int // guarded by network.mu
}

// listen opens an address, or shares it if another request has opened it.
func (n *network) listen(ctx context.Context, address string) (l *listener, release func(), err error) {
	hostPort, err := parseAddress(address)
	if err != nil {
		return nil, nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ctx.Err() != nil {
		return nil, nil, fault.New(fault.Closing, "the node is closing")
	}
	if l = n.listeners[address]; l == nil {
		var c net.ListenConfig
		open, err := c.Listen(ctx, "tcp", hostPort)
		if err != nil {
			return nil, nil, cannotListen(address, "tcp://", err)
		}
		l = &listener{Listener: open}
		n.listeners[address] = l
		n.wg.Go(func() { n.accept(l) })
	}
	l.refs++
	return l, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if l.refs--; l.refs == 0 {
			l.Close()
			if n.listeners[address] == l {
				delete(n.listeners, address)
			}
		}
	}, nil
}

// cannotListen says why an address cannot be listened on. scheme is what begins
// an address of that kind.
func cannotListen(address, scheme string, err error) error {
	example := scheme + "127.0.0.1:0"
	var badForm *net.AddrError
	var badPort *net.DNSError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fault.New(fault.Busy, "listen on %s: %w", address, err).Hint("port 0 picks a free one: %s", example)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fault.New(fault.Usage, "listen on %s: this machine does not have that address", address).
			Hint("0.0.0.0 stands for all addresses of this machine")
	case errors.Is(err, syscall.EACCES):
		return fault.New(fault.Permission, "listen on %s: %w", address, err).Hint("ports below 1024 are for administrators; choose another")
	case errors.As(err, &badForm), errors.As(err, &badPort):
		return fault.New(fault.Usage, "%q is not an address of this machine", address).
			Hint("an address has a host and a port of at most 65535: %s", example)
	}
	return fmt.Errorf("listen on %s: %w", address, err)
}

// accept serves peers until the listener is closed.
func (n *network) accept(l *listener) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) || n.ctx.Err() != nil {
			return
		}
		if err != nil {
			// Out of file descriptors, most likely: wait for one to be freed.
			n.log.Warn("accept", "address", l.Addr(), "err", err)
			if !pause(n.ctx, backoff(0)) {
				return
			}
			continue
		}
		select {
		case n.slots <- struct{}{}:
		default:
			conn.Close() // full
			continue
		}
		n.wg.Go(func() {
			defer func() { <-n.slots }()
			if err := n.serve(conn); err != nil {
				n.log.Debug("connection ended", "remote", conn.RemoteAddr(), "err", err)
			}
		})
	}
}

// serve speaks with a peer that came, until it goes.
func (n *network) serve(conn net.Conn) error {
	ctx, cancel := context.WithTimeout(n.ctx, handshakeTime)
	stream, err := secretstream.Server(ctx, conn, n.options())
	cancel()
	if err != nil {
		conn.Close()
		return fmt.Errorf("handshake: %w", err)
	}
	c, err := n.swarm.Adopt(stream, tcpPath(conn))
	if err != nil {
		return err
	}
	<-c.Done()
	return nil
}
