package handoff

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/secretstream"
)

// meadow is a Rendezvous over loopback.
type meadow struct {
	mu    sync.Mutex // guards what follows
	hosts map[Topic]string
	wrap  func(net.Conn) net.Conn // of the side that joins
}

func newMeadow() *meadow { return &meadow{hosts: make(map[Topic]string)} }

func (m *meadow) Host(ctx context.Context, topic Topic, accept func(*secretstream.Conn)) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.hosts[topic] = l.Addr().String()
	m.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		wg.Go(func() {
			conn, err := secretstream.Server(ctx, c, nil)
			if err != nil {
				return
			}
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			accept(conn)
			stop()
		})
	}
}

func (m *meadow) Join(ctx context.Context, topic Topic) (*secretstream.Conn, error) {
	for {
		m.mu.Lock()
		addr, wrap := m.hosts[topic], m.wrap
		m.mu.Unlock()
		if addr != "" {
			if c, err := net.Dial("tcp", addr); err == nil {
				if wrap != nil {
					c = wrap(c)
				}
				return secretstream.Client(ctx, c, nil)
			}
		}
		if !wait(ctx, 10*time.Millisecond) {
			return nil, ctx.Err()
		}
	}
}

// brittle is a connection that breaks after a number of bytes in both directions.
type brittle struct {
	net.Conn
	mu   sync.Mutex // guards left
	left int
}

var errBroken = errors.New("the cable was cut")

func (b *brittle) spend(n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left -= n; b.left < 0 {
		b.Conn.Close()
		return errBroken
	}
	return nil
}

func (b *brittle) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	if e := b.spend(n); e != nil {
		return 0, e
	}
	return n, err
}

func (b *brittle) Write(p []byte) (int, error) {
	if err := b.spend(len(p)); err != nil {
		return 0, err
	}
	return b.Conn.Write(p)
}

// outcome of one side.
type outcome struct {
	Result
	err error
}

// pass runs a transfer in which the sender shows the code.
func pass(t *testing.T, m *meadow, s SendOptions, r ReceiveOptions) (sent, got outcome) {
	t.Helper()
	codes := make(chan string, 1)
	done := make(chan outcome, 1)
	s.Watch.Code = func(c string) { codes <- c }
	go func() {
		res, err := Send(t.Context(), m, s)
		done <- outcome{res, err}
		close(codes)
	}()
	code, ok := <-codes
	if !ok {
		return <-done, outcome{}
	}
	r.Code = code
	res, err := Receive(t.Context(), m, r)
	return <-done, outcome{res, err}
}

// pipe returns the two ends of an encrypted connection.
func pipe(t *testing.T) (a, b *secretstream.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			a, err = secretstream.Server(context.Background(), c, nil)
		}
		done <- err
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if b, err = secretstream.Client(context.Background(), c, nil); err != nil {
		t.Fatal(err)
	}
	// The last message of the handshake leaves with the first write.
	if _, err := b.Write(nil); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return a, b
}
