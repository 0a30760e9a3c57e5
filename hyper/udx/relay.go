package udx

import (
	"encoding/binary"
	"net/netip"

	"github.com/tradle/cloudpal/hyper/internal/udpio"
)

// RelayTo makes the stream pass on every packet it accepts to the remote of
// dest instead of using it; dest need not be connected yet, packets are dropped
// until it is. Two streams that relay to each other join their remotes. Closing a
// relaying stream sends nothing.
func (st *Stream) RelayTo(dest *Stream) {
	st.mu.Lock()
	st.relayTo = dest
	st.unlock()
}

// relayRun collects packets that go the same way.
type relayRun struct {
	sock *Socket
	out  []udpio.Datagram
}

// add passes d on to the remote of dest. The lock of the stream it came for may
// be held, hence dest's is not taken: relaying pairs would deadlock.
func (r *relayRun) add(dest *Stream, d *udpio.Datagram) {
	remote := dest.remote.Load()
	if remote == nil || isClosed(dest.done) {
		return
	}
	if r.sock != remote.sock {
		r.flush()
		r.sock = remote.sock
	}
	binary.LittleEndian.PutUint32(d.Data[4:], remote.id)
	r.out = append(r.out, udpio.Datagram{Data: d.Data, Addr: remote.addr})
}

func (r *relayRun) flush() {
	if len(r.out) > 0 {
		_ = r.sock.conn.WriteBatch(r.out)
		clear(r.out)
		r.out = r.out[:0]
	}
}

// path is a way to the other side. It does not change.
type path struct {
	sock *Socket
	id   uint32 // of the stream over there
	addr netip.AddrPort
}
