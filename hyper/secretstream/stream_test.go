package secretstream

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	mrand "math/rand/v2"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func frame(msg []byte) []byte {
	return append(make([]byte, Headroom, Headroom+len(msg)+Tailroom), msg...)
}

func tcpPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

func connect(t testing.TB, a, b io.ReadWriteCloser, ao, bo *Options) (client, server *Conn) {
	t.Helper()
	type result struct {
		c   *Conn
		err error
	}
	ch := make(chan result, 1)
	go func() {
		c, err := Server(context.Background(), b, bo)
		ch <- result{c, err}
	}()
	client, err := Client(context.Background(), a, ao)
	if err != nil {
		t.Fatal(err)
	}
	r := <-ch
	if r.err != nil {
		t.Fatal(r.err)
	}
	t.Cleanup(func() {
		client.Close()
		r.c.Close()
	})
	return client, r.c
}

// greet makes sure that the header of the first has arrived at the second, so
// that the second may close without an error at the first.
func greet(t testing.TB, from, to *Conn) {
	t.Helper()
	sent := make(chan error, 1)
	go func() {
		_, err := from.Write([]byte("hi"))
		sent <- err
	}()
	if m, err := to.ReadFrame(); err != nil || string(m) != "hi" {
		t.Fatalf("greeting %q, %v", m, err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

func TestMessagesOfAllSizes(t *testing.T) {
	pipes := map[string]func() (io.ReadWriteCloser, io.ReadWriteCloser){
		"tcp": func() (io.ReadWriteCloser, io.ReadWriteCloser) { return tcpPair(t) },
		"pipe": func() (io.ReadWriteCloser, io.ReadWriteCloser) {
			a, b := net.Pipe()
			return a, b
		},
	}
	for name, pipe := range pipes {
		t.Run(name, func(t *testing.T) {
			a, b := pipe()
			client, server := connect(t, a, b, nil, nil)
			if client.HandshakeHash() != server.HandshakeHash() || client.RemotePublicKey() != server.PublicKey() ||
				server.RemotePublicKey() != client.PublicKey() || !client.IsInitiator() || server.IsInitiator() {
				t.Error("the ends do not agree who they are")
			}
			rnd := mrand.New(mrand.NewPCG(1, 2))
			sizes := []int{1, 2, 63, 64, 65, MaxMessage, 1, MaxMessage - 1, 100, firstBuffer, bigBuffer, 0}
			for range 300 {
				sizes = append(sizes, rnd.IntN(1<<rnd.IntN(19)))
			}
			data := make([]byte, MaxMessage)
			rand.Read(data)
			sent := make(chan error, 1)
			go func() {
				for i := 0; i < len(sizes); {
					var frames [][]byte
					for n := i; i < len(sizes) && i < n+1+n%7; i++ {
						frames = append(frames, frame(data[:sizes[i]]))
					}
					if err := client.WriteFrames(frames); err != nil {
						sent <- err
						return
					}
				}
				sent <- nil
			}()
			for i, n := range sizes {
				if n == 0 {
					continue
				}
				got, err := server.ReadFrame()
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, data[:n]) {
					t.Fatalf("message %d: got %d bytes, want %d", i, len(got), n)
				}
				clear(got[:cap(got)]) // the caller may change it
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestReadKeepsBoundaries(t *testing.T) {
	a, b := net.Pipe()
	client, server := connect(t, a, b, nil, nil)
	greet(t, server, client)
	go func() {
		for _, m := range []string{"hello", "", "world"} {
			if n, err := client.Write([]byte(m)); n != len(m) || err != nil {
				t.Errorf("write: %d, %v", n, err)
			}
		}
		if _, err := client.Write(make([]byte, MaxMessage+1)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("write of too much: %v", err)
		}
		if err := client.WriteFrames([][]byte{frame(nil), frame(make([]byte, MaxMessage+1))}); !errors.Is(err, ErrTooLarge) {
			t.Errorf("write of too much: %v", err)
		}
		client.Close()
	}()
	p := make([]byte, 3)
	for _, want := range []string{"hel", "lo", "wor", "ld"} {
		n, err := server.Read(p)
		if err != nil || string(p[:n]) != want {
			t.Fatalf("read %q, %v; want %q", p[:n], err, want)
		}
	}
	if _, err := server.Read(p); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

// twins returns the two sides of a session without a handshake.
func twins() (a, b Session) {
	a = Session{Initiator: true, TX: [32]byte{1}, RX: [32]byte{2}, HandshakeHash: [64]byte{3}}
	b = Session{TX: a.RX, RX: a.TX, HandshakeHash: a.HandshakeHash}
	return a, b
}

// recorded returns what one side of twins sends.
func recorded(t testing.TB, s Session, messages ...string) []byte {
	var out script
	c, err := New(&out, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if _, err := c.Write([]byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	c.flushPrefix()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return out.out.Bytes()
}

func TestCorruptStreamsEndTheConnection(t *testing.T) {
	a, b := twins()
	good := recorded(t, a, "hello", "world")
	read := func(in []byte) (messages int, err error) {
		s := &script{in: bytes.NewReader(in)}
		c, err := New(s, b, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for {
			if _, err = c.ReadFrame(); err != nil {
				break
			}
			messages++
		}
		if err != io.EOF {
			if _, again := c.ReadFrame(); again != err {
				t.Errorf("second error %v, first %v", again, err)
			}
			if _, werr := c.Write([]byte("x")); werr != err {
				t.Errorf("write gave %v after %v", werr, err)
			}
			if !s.closed {
				t.Error("stream not closed")
			}
		}
		return messages, err
	}
	if n, err := read(good); n != 2 || err != io.EOF {
		t.Fatalf("good stream: %d messages, %v", n, err)
	}
	const header = lengthSize + headerUnitSize
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x40
		n, err := read(bad)
		if err == io.EOF || n == 2 {
			t.Errorf("changed byte %d: %d messages, %v", i, n, err)
		}
		if (i < 3 || i >= 3 && i < 35) && !errors.Is(err, ErrCorrupt) {
			t.Errorf("changed byte %d of the header: %v", i, err)
		}
	}
	for i := range good {
		n, err := read(good[:i])
		whole := i == 0 || i == header || i == header+lengthSize+overhead+5
		if (err == io.EOF) != whole || !whole && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %d messages, %v", i, n, err)
		}
	}
	own := recorded(t, b, "hello")
	if _, err := read(own); !errors.Is(err, ErrCorrupt) {
		t.Errorf("own stream reflected: %v", err)
	}
	short := append(bytes.Clone(good[:header]), 16, 0, 0)
	if _, err := read(short); !errors.Is(err, ErrCorrupt) {
		t.Errorf("unit of 16 bytes: %v", err)
	}
}

func TestBufferGrowsOnlyWithBytes(t *testing.T) {
	a, b := twins()
	in := append(recorded(t, a), 0xff, 0xff, 0xff)
	s := &script{in: bytes.NewReader(append(in, make([]byte, 1<<20)...))}
	c, err := New(s, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.ReadFrame(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if len(c.buf) > 4<<20 {
		t.Errorf("%d bytes of buffer for 1 MiB received", len(c.buf))
	}
}

func TestBufferShrinks(t *testing.T) {
	a, b := net.Pipe()
	client, server := connect(t, a, b, nil, nil)
	greet(t, server, client)
	go func() {
		client.Write(make([]byte, 4<<20))
		for range 3 * quietFills {
			client.Write([]byte{1})
		}
		client.Close()
	}()
	largest := 0
	for {
		_, err := server.ReadFrame()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		largest = max(largest, len(server.buf))
	}
	if largest < 4<<20 || len(server.buf) > bigBuffer {
		t.Errorf("buffer grew to %d and ended at %d", largest, len(server.buf))
	}
}

func TestBufferedTellsOfMessagesOnly(t *testing.T) {
	a, b := twins()
	in := recorded(t, a, "", "x", "", "y", "")
	s := &script{in: bytes.NewReader(in)}
	c, err := New(s, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i, want := range []bool{false, true, false} {
		if got := c.Buffered(); got != want {
			t.Errorf("before message %d: %v", i, got)
		}
		if i < 2 {
			if _, err := c.ReadFrame(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestKeepAliveAndIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sa, sb := twins()
		x, y := net.Pipe()
		a, err := New(x, sa, &Options{KeepAlive: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		b, err := New(y, sb, &Options{IdleTimeout: 6 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		go io.Copy(io.Discard, a)
		start := time.Now()
		time.AfterFunc(32*time.Second, func() {
			a.wmu.Lock()
			a.keepAlive.Stop()
			a.wmu.Unlock()
		})
		_, err = b.ReadFrame()
		if err != ErrTimeout || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("silence gave %v", err)
		}
		if d := time.Since(start); d != 36*time.Second {
			t.Errorf("silence noticed after %v", d)
		}
		a.Close()
		b.Close()
	})
}

func TestDeadlineLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sa, sb := twins()
		x, y := net.Pipe()
		a, err := New(x, sa, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := New(y, sb, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		go io.Copy(io.Discard, a)
		if _, err := b.ReadFrame(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("deadline gave %v", err)
		}
		if err := b.SetDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		go a.Write([]byte("hello"))
		if m, err := b.ReadFrame(); err != nil || string(m) != "hello" {
			t.Errorf("after the deadline: %q, %v", m, err)
		}
		b.Close()
		if _, err := b.ReadFrame(); err != ErrClosed || !errors.Is(err, net.ErrClosed) {
			t.Errorf("read after close: %v", err)
		}
		a.Close()
		if a.LocalAddr() == nil || a.RemoteAddr() == nil {
			t.Error("no addresses")
		}
	})
}

func TestCloseWriteLeavesReadingOpen(t *testing.T) {
	a, b := tcpPair(t)
	client, server := connect(t, a, b, nil, nil)
	if _, err := client.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write([]byte("more")); err == nil {
		t.Error("write after CloseWrite")
	}
	got, err := io.ReadAll(server)
	if err != nil || string(got) != "question" {
		t.Fatalf("server got %q, %v", got, err)
	}
	if _, err := server.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	got, err = io.ReadAll(client)
	if err != nil || string(got) != "answer" {
		t.Fatalf("client got %q, %v", got, err)
	}
	x, y := net.Pipe()
	c, _ := connect(t, x, y, nil, nil)
	if err := c.CloseWrite(); err != errors.ErrUnsupported {
		t.Errorf("CloseWrite on a pipe: %v", err)
	}
}

// FuzzReader feeds the reader with arbitrary bytes, behind a good header or not.
func FuzzReader(f *testing.F) {
	a, b := twins()
	good := recorded(f, a, "hello", "", "world")
	header := len(recorded(f, a))
	f.Add(good, byte(0))
	f.Add(good[header:], byte(1))
	f.Add([]byte{0xff, 0xff, 0xff, 1}, byte(1))
	f.Add([]byte{17, 0, 0}, byte(3))
	f.Fuzz(func(t *testing.T, in []byte, mode byte) {
		if mode&1 != 0 {
			in = append(bytes.Clone(good[:header]), in...)
		}
		s := &script{in: bytes.NewReader(in)}
		if mode&2 != 0 {
			s.in = oneByte{s.in}
		}
		c, err := New(s, b, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for {
			m, err := c.ReadFrame()
			if err != nil {
				break
			}
			if string(m) != "hello" && string(m) != "world" {
				t.Fatalf("message %q came from nowhere", m)
			}
		}
		if len(c.buf) > max(4*len(in), 4*firstBuffer) {
			t.Errorf("buffer of %d bytes for %d", len(c.buf), len(in))
		}
	})
}

// Only what the other side has sealed is opened.
func FuzzUnordered(f *testing.F) {
	hash := &[64]byte{1}
	from := NewUnordered(hash, true)
	for _, plain := range []string{"", "hello"} {
		packet, err := from.Seal(nil, []byte(plain))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packet, byte(0), byte(0))
		f.Add(packet, byte(9), byte(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, at, change byte) {
		to := NewUnordered(hash, false)
		if _, ok := to.Open(nil, b); ok && change != 0 {
			b = bytes.Clone(b)
			b[int(at)%len(b)] ^= change
			if plain, ok := to.Open(nil, b); ok {
				t.Errorf("a changed packet was opened: %x", plain)
			}
		}
	})
}
