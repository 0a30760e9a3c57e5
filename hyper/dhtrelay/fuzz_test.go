package dhtrelay

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// FuzzSession has a client send any frames after a good start. Whatever it does,
// nothing of it may be left when it is gone.
func FuzzSession(f *testing.F) {
	kp := hypercrypto.KeyPairFromSeed([32]byte{1})
	frame := func(typ int, m message) []byte {
		b := m.appendTo([]byte{1, byte(typ)})
		return append([]byte{byte(len(b)), byte(len(b) >> 8)}, b...)
	}
	join := func(all ...[]byte) (out []byte) {
		for _, b := range all {
			out = append(out, b...)
		}
		return out
	}
	for _, custodial := range []bool{true, false} {
		key := keyOf(kp, custodial)
		f.Add(join(
			frame(typeListen, &listen{alias: 1, key: key}),
			frame(typeSignature, &signature{id: 2, signature: make([]byte, 64)}),
			frame(typeConnect, &connect{alias: 1, key: key, remote: kp.Public}),
			frame(typeAccept, &number{3}),
			frame(typeConnected, &connected{alias: 2, remote: 4}),
			frame(typeData, dataOf(1, "hello", "")),
			frame(typeEnd, &number{1}),
			frame(typeDestroy, &destroy{paired: true, alias: 1}),
			frame(typeClose, &number{1})))
		f.Add(join(
			frame(typeAnnounce, &announce{id: 1, key: key}),
			frame(typeLookup, &lookup{id: 2}),
			frame(typeUnannounce, &announce{id: 3, key: key}),
			frame(typePing, empty{})))
		f.Add(join(
			frame(typeConnect, &connect{alias: 1, key: key, remote: hypercrypto.PublicKey{9}}),
			frame(typeNoiseReply, &noiseReply{initiator: true, id: 2, payload: make([]byte, 99)}),
			frame(typeNoiseReply, &noiseReply{complete: true, id: 2, payload: make([]byte, 9)})))
	}
	open := append([]byte{0, 1, 1, byte(len(protocol))}, protocol...)
	hello := (&handshake{keyOf(kp, false)}).appendTo([]byte{1, typeHandshake})
	f.Fuzz(func(t *testing.T, frames []byte) {
		l := newLab(t, &Options{MaxStreams: 4, MaxServers: 2, MaxQueries: 2, AnswerTimeout: 5 * time.Millisecond, RequestRate: 1e6})
		srv := l.listen(hypercrypto.KeyPairFromSeed([32]byte{2}))
		defer srv.Close()
		conn, _, err := l.dialWS()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseNow()
		read := make(chan struct{})
		go func() {
			defer close(read)
			for {
				_, r, err := conn.Reader(context.Background())
				if err != nil {
					return
				}
				if _, err := io.Copy(io.Discard, r); err != nil {
					return
				}
			}
		}()
		send := func(b []byte) bool { return conn.Write(t.Context(), websocket.MessageBinary, b) == nil }
		if !send(append(open, 0)) || !send(hello) {
			t.Fatal("the relay does not read")
		}
		for len(frames) >= 2 {
			n := min(int(frames[0])|int(frames[1])<<8, len(frames)-2)
			if !send(frames[2 : 2+n]) {
				break
			}
			frames = frames[2+n:]
		}
		conn.CloseNow()
		<-read
	})
}
