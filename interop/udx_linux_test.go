package interop

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/udx"
)

const goID, jsID = 11, 22

// udxEnd is our end of a stream.
type udxEnd struct {
	*udx.Stream
	socket *udx.Socket

	mu       sync.Mutex
	messages map[string]bool
}

// newUDX returns a stream that is not connected. Without a remote port it
// connects to whom the first packet comes from, and sends back messages.
func newUDX(t testing.TB, o *udx.Options, port uint16) *udxEnd {
	t.Helper()
	tr := udx.NewTransport(o)
	t.Cleanup(func() { tr.Close() })
	sock, err := tr.Listen(netip.MustParseAddrPort("127.0.0.1:0"), nil)
	if err != nil {
		t.Fatal(err)
	}
	e := &udxEnd{socket: sock, messages: make(map[string]bool)}
	e.Stream, err = tr.NewStreamID(goID, &udx.StreamOptions{
		Firewall: func(s *udx.Socket, from netip.AddrPort) bool {
			return port == 0 && e.Connect(s, jsID, from) == nil
		},
		OnMessage: func(b []byte) {
			if port == 0 {
				e.SendMessage(b)
				return
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			e.messages[string(b)] = true
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if port != 0 {
		if err := e.Connect(sock, jsID, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

func (e *udxEnd) messageCount() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.messages)
}

func waitDone(t testing.TB, e *udxEnd) {
	t.Helper()
	select {
	case <-e.Done():
		if err := e.Err(); err != nil {
			t.Errorf("the stream ended with %v", err)
		}
	case <-time.After(patience):
		t.Fatalf("the stream does not end: %+v", e.Stats())
	}
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 / 8)
	}
	return b
}

// weSend writes to a JavaScript echo.
func weSend(t *testing.T, size, messages int) {
	node := StartNode(t, "", "udx-peer.js", "echo", strconv.Itoa(jsID), strconv.Itoa(goID))
	e := newUDX(t, nil, uint16(node.Event(t, "listening").Num("port")))
	data := pattern(size)
	for i := range messages {
		if err := e.SendMessage(fmt.Appendf(nil, "message %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	written := make(chan error, 1)
	go func() {
		_, err := e.Write(data)
		written <- errors.Join(err, e.CloseWrite())
	}()
	got, err := io.ReadAll(e)
	if err != nil {
		t.Fatalf("%v after %d bytes, %+v\n%s", err, len(got), e.Stats(), node.Log())
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, data) {
		t.Fatalf("%d bytes came back as %d others", len(data), len(got))
	}
	waitDone(t, e)
	if n := e.messageCount(); n < messages*8/10 {
		t.Errorf("%d of %d messages came back", n, messages)
	}
	if end := node.Event(t, "end"); end.Num("bytes") != uint64(size) {
		t.Errorf("the peer got %v bytes", end.Num("bytes"))
	}
	t.Logf("%+v", e.Stats())
	node.Event(t, "close")
}

// theySend echoes to a JavaScript writer.
func theySend(t *testing.T, size, messages int) {
	e := newUDX(t, nil, 0)
	node := StartNode(t, "", "udx-peer.js", "send", strconv.Itoa(jsID), strconv.Itoa(goID), strconv.Itoa(int(e.socket.LocalAddr().Port())),
		strconv.Itoa(size), strconv.Itoa(messages))
	echoed := make(chan error, 1)
	go func() {
		_, err := io.CopyBuffer(struct{ io.Writer }{e}, struct{ io.Reader }{e}, make([]byte, 100000))
		echoed <- errors.Join(err, e.CloseWrite())
	}()
	end := node.Event(t, "end")
	if end.Num("bytes") != uint64(size) || end["wrong"] != float64(-1) {
		t.Errorf("the peer got %v\n%+v", end, e.Stats())
	}
	if n := int(end.Num("messages")); n < messages*8/10 {
		t.Errorf("%d of %d messages came back", n, messages)
	}
	if err := <-echoed; err != nil {
		t.Fatal(err)
	}
	waitDone(t, e)
	t.Logf("%+v", e.Stats())
	node.Event(t, "close")
}

func TestUDXEchoesFromJavaScript(t *testing.T) {
	isolate(t)
	weSend(t, 20<<20, 100)
}

func TestUDXEchoesToJavaScript(t *testing.T) {
	isolate(t)
	theySend(t, 20<<20, 100)
}

func TestUDXEchoesFromJavaScriptUnderLoss(t *testing.T) {
	isolate(t)
	lose(t, "2")
	weSend(t, 8<<20, 100)
}

func TestUDXEchoesToJavaScriptUnderLoss(t *testing.T) {
	isolate(t)
	lose(t, "2")
	theySend(t, 8<<20, 100)
}

func TestUDXSmallAndEmptyStreams(t *testing.T) {
	isolate(t)
	for _, size := range []int{0, 1, 1152, 1153, 70000} {
		weSend(t, size, 0)
		theySend(t, size, 0)
	}
}

func TestUDXStopsAJavaScriptWriterByItsWindow(t *testing.T) {
	isolate(t)
	const window, size = 256 << 10, 6 << 20
	e := newUDX(t, &udx.Options{ReceiveWindow: window}, 0)
	node := StartNode(t, "", "udx-peer.js", "send", strconv.Itoa(jsID), strconv.Itoa(goID), strconv.Itoa(int(e.socket.LocalAddr().Port())),
		strconv.Itoa(size), "0")
	node.Event(t, "waiting")
	// Long enough for a heartbeat that asks for the window.
	time.Sleep(3 * time.Second)
	if got := e.Stats().BytesReceived; got > 2*window {
		t.Errorf("%d bytes came although nobody read", got)
	}
	if err := e.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	n, err := io.Copy(sum, e)
	want := sha256.Sum256(pattern(size))
	if err != nil || n != size || !bytes.Equal(sum.Sum(nil), want[:]) {
		t.Errorf("%d bytes, %v, %+v", n, err, e.Stats())
	}
	waitDone(t, e)
	node.Event(t, "close")
}

func TestUDXDestroyIsSeenByBothSides(t *testing.T) {
	isolate(t)
	start := func() (*Node, *udxEnd) {
		node := StartNode(t, "", "udx-peer.js", "echo", strconv.Itoa(jsID), strconv.Itoa(goID))
		e := newUDX(t, nil, uint16(node.Event(t, "listening").Num("port")))
		if _, err := e.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(e, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		return node, e
	}
	node, e := start()
	e.Close()
	if msg := node.Event(t, "error").Str("message"); msg != "connection reset by peer" {
		t.Errorf("the peer says %q", msg)
	}
	node, e = start()
	node.Send("destroy")
	if _, err := e.Read(make([]byte, 1)); err != udx.ErrReset {
		t.Errorf("read: %v", err)
	}
}
