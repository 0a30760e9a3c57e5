package hyperdht

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/tradle/cloudpal/hyper/blindrelay"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

func randomToken() (t [32]byte) {
	rand.Read(t[:])
	return t
}

// relayThrough connects the link through a relay and stays until the relay is no
// longer needed: the link has become direct or has ended.
func (l *link) relayThrough(key hypercrypto.PublicKey, token [32]byte, initiator bool) error {
	ctx, cancel := context.WithCancel(l.untilDirect())
	defer cancel()
	setup, cancelSetup := context.WithTimeoutCause(ctx, relayWait, ErrRelay)
	defer cancelSetup()
	// The relay need not learn the identity of the connection.
	conn, err := l.d.Connect(setup, key, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRelay, err)
	}
	own := conn.PublicKey()
	client, err := blindrelay.NewClient(conn, own[:])
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRelay, err)
	}
	defer client.Close()
	id, err := client.Pair(setup, initiator, token, l.stream.ID())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRelay, err)
	}
	addr := conn.RemoteAddrPort()
	if !l.useRelay(conn.link.socketInUse(), addr, id, cancel) {
		return nil // there is a direct path already
	}
	select {
	case <-ctx.Done():
	case <-client.Done():
		// If the link is still relayed its packets have nobody to pass them on;
		// it notices by itself.
	}
	return nil
}

// NewRelay returns a relay on the sockets of this node. Serve the connections of
// a server with it:
//
//	relay := d.NewRelay(nil)
//	conn, err := server.Accept(ctx)
//	key := conn.RemotePublicKey()
//	err = relay.Serve(ctx, conn, key[:])
func (d *DHT) NewRelay(o *blindrelay.ServerOptions) *blindrelay.Server {
	var c blindrelay.ServerOptions
	if o != nil {
		c = *o
	}
	c.NewStream = d.transport.NewStream
	if c.Log == nil {
		c.Log = d.o.Log
	}
	return blindrelay.NewServer(c)
}
