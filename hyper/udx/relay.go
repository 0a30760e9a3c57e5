package udx

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"sync"

	"github.com/tradle/cloudpal/hyper/internal/udpio"
)

// RelayTo makes the stream pass on every packet it accepts to the remote of
// dest instead of using it; dest need not be connected yet: the first
// few packets wait until it is, as they open the stream of the side that is
// ahead. Two streams that relay to each other join their remotes. Closing a
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
	if isClosed(dest.done) {
		return
	}
	remote := dest.remote.Load()
	if remote == nil {
		if remote = dest.hold(d.Data); remote == nil {
			return
		}
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

// maxHeld is how many packets wait for a stream that is not connected.
const maxHeld = 8

// held are packets that wait for the remote of the stream they are relayed to.
type held struct {
	mu      sync.Mutex // taken after the lock of any stream
	packets [][]byte
}

// hold keeps a packet for the remote of st, or returns the remote if there is
// one by now.
func (st *Stream) hold(packet []byte) *path {
	st.held.mu.Lock()
	defer st.held.mu.Unlock()
	remote := st.remote.Load()
	if remote == nil && len(st.held.packets) < maxHeld {
		st.held.packets = append(st.held.packets, bytes.Clone(packet))
	}
	return remote
}

// sendHeld sends what was held. The remote must be set.
func (st *Stream) sendHeld() {
	st.held.mu.Lock()
	packets := st.held.packets
	st.held.packets = nil
	st.held.mu.Unlock()
	if remote := st.remote.Load(); len(packets) > 0 {
		run := relayRun{sock: remote.sock}
		for _, p := range packets {
			run.add(st, &udpio.Datagram{Data: p})
		}
		run.flush()
	}
}

// path is a way to the other side. It does not change.
type path struct {
	sock *Socket
	id   uint32 // of the stream over there
	addr netip.AddrPort
}
