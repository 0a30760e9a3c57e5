package hyperdht

import (
	"fmt"
	"net/netip"

	"github.com/tradle/cloudpal/hyper/udx"
)

// NewRawStream returns a stream for more bytes beside the connection, over the
// same path. Nothing on it is encrypted or authenticated. The two sides tell each
// other the ids of their streams over the connection, and each then calls
// ConnectRaw; what the other side sends before is kept. The stream does not end
// with the connection, and does not follow it to another path.
func (c *Conn) NewRawStream() (*udx.Stream, error) {
	st, err := c.link.d.transport.NewStream(&udx.StreamOptions{
		Firewall: func(_ *udx.Socket, from netip.AddrPort) bool { return from == c.RemoteAddrPort() },
	})
	if err != nil {
		return nil, fmt.Errorf("hyperdht: %w", err)
	}
	return st, nil
}

// ConnectRaw connects a stream of NewRawStream to the one that has an id on the
// other side. It fails while the connection is relayed: a relay passes on the
// stream of the connection only.
func (c *Conn) ConnectRaw(st *udx.Stream, remoteID uint32) error {
	l := c.link
	l.mu.Lock()
	socket, remote, path := l.socket, l.remote, l.path
	l.mu.Unlock()
	if path == PathRelayed {
		return fmt.Errorf("%w: a raw stream needs a direct path", ErrRelay)
	}
	if err := st.Connect(socket, remoteID, remote); err != nil {
		return fmt.Errorf("hyperdht: %w", err)
	}
	return nil
}
