package secretstream

import (
	"bytes"
	"context"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
)

// counter is a limit that counts, and stops everything once it is shut.
type counter struct {
	step  int
	bytes atomic.Int64
	most  atomic.Int64
	shut  atomic.Bool
}

func (c *counter) Step() int { return c.step }

func (c *counter) Wait(n int, closed <-chan struct{}) {
	c.bytes.Add(int64(n))
	c.most.Store(max(c.most.Load(), int64(n)))
	if c.shut.Load() {
		<-closed
	}
}

// tally counts what a stream carries.
type tally struct {
	net.Conn
	read, written atomic.Int64
}

func (t *tally) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.read.Add(int64(n))
	return n, err
}

func (t *tally) Write(b []byte) (int, error) {
	n, err := t.Conn.Write(b)
	t.written.Add(int64(n))
	return n, err
}

// throttled returns two ends, the first of which is limited.
func throttled(t *testing.T, o *Options) (limited *Conn, other *Conn, wire *tally) {
	t.Helper()
	here, there := net.Pipe()
	wire = &tally{Conn: here}
	accepted := make(chan *Conn, 1)
	go func() {
		c, err := Server(context.Background(), there, nil)
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	limited, err := Client(t.Context(), wire, o)
	if err != nil {
		t.Fatal(err)
	}
	other = <-accepted
	t.Cleanup(func() { limited.Close(); other.Close() })
	return limited, other, wire
}

// Every encrypted byte behind the handshake is asked for, in steps, in both
// directions, and messages arrive as they are.
func TestEveryByteIsAskedFor(t *testing.T) {
	up, down := &counter{step: 1000}, &counter{step: 777}
	limited, other, wire := throttled(t, &Options{Outgoing: up, Incoming: down})
	said := bytes.Repeat([]byte("0123456789"), 12_345)
	echoed := make(chan error, 1)
	go func() {
		b := make([]byte, len(said))
		if _, err := io.ReadFull(other, b); err != nil {
			echoed <- err
			return
		}
		_, err := other.Write(b)
		echoed <- err
	}()
	frame := func(n int) []byte { return append(make([]byte, Headroom, Headroom+n+Tailroom), said[:n]...) }
	if err := limited.WriteFrames([][]byte{frame(10), frame(50_000), frame(0)}); err != nil {
		t.Fatal(err)
	}
	if _, err := limited.Write(said[50_010-10:]); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(said))
	if _, err := io.ReadFull(limited, b); err != nil {
		t.Fatal(err)
	}
	if err := <-echoed; err != nil {
		t.Fatal(err)
	}
	handshake := int64(1000) // more than it is
	for name, c := range map[string]struct {
		got, wire int64
		most      int64
		step      int
	}{
		"out": {up.bytes.Load(), wire.written.Load(), up.most.Load(), up.step},
		"in":  {down.bytes.Load(), wire.read.Load(), down.most.Load(), down.step},
	} {
		if c.got > c.wire || c.got < c.wire-handshake || c.got < int64(len(said)) || c.most > int64(c.step) {
			t.Errorf("%s: asked for %d of %d bytes, at most %d at a time", name, c.got, c.wire, c.most)
		}
	}
}

func TestClosingEndsTheWait(t *testing.T) {
	stopped := &counter{step: 100}
	limited, other, _ := throttled(t, &Options{Outgoing: stopped})
	stopped.shut.Store(true)
	wrote := make(chan error, 1)
	go func() {
		_, err := limited.Write(make([]byte, 1000))
		wrote <- err
	}()
	if err := limited.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-wrote; err == nil {
		t.Error("the write went through")
	}
	other.Close()
	held := &counter{step: 100}
	limited, other, _ = throttled(t, &Options{Incoming: held})
	before := held.bytes.Load()
	held.shut.Store(true)
	read := make(chan error, 1)
	go func() {
		_, err := limited.Read(make([]byte, 10))
		read <- err
	}()
	go func() { _, _ = other.Write(make([]byte, 1000)) }() // fails when the pipe is closed
	for held.bytes.Load() == before {                      // until the first bytes are held back
		runtime.Gosched()
	}
	if err := limited.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err == nil {
		t.Error("the read went through")
	}
}
