package blindpeer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

const patience = 90 * time.Second

func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("after %v: not %s", patience, what)
		}
	}
}

// mirror is a server that clients of the test reach.
type mirror struct {
	*Server
	t   testing.TB
	dir string
}

func startMirror(t testing.TB, o *Options) *mirror {
	t.Helper()
	return openMirror(t, t.TempDir(), o)
}

func openMirror(t testing.TB, dir string, o *Options) *mirror {
	t.Helper()
	s, err := Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close mirror: %v", err)
		}
	})
	return &mirror{Server: s, t: t, dir: dir}
}

// device is a client: a store, a key and connections in memory.
type device struct {
	*corestore.Store
	*Client
	t       testing.TB
	keyPair *hypercrypto.KeyPair
	onMux   func(*protomux.Mux) // for what else speaks on a connection

	mu      sync.Mutex
	mirrors map[hypercrypto.PublicKey]*mirror // who can be reached
	joined  map[hypercrypto.PublicKey]bool
	lines   map[hypercrypto.PublicKey]*line
}

type line struct {
	cancel context.CancelFunc
	mux    *protomux.Mux
	done   chan struct{}
}

func newDevice(t testing.TB, seed byte) *device {
	t.Helper()
	primary := hypercrypto.Sum([]byte{seed}, []byte("device"))
	p := [32]byte(primary)
	s, err := corestore.Open(t.Context(), t.TempDir(), &corestore.Options{PrimaryKey: &p})
	if err != nil {
		t.Fatal(err)
	}
	d := &device{Store: s, t: t, keyPair: hypercrypto.KeyPairFromSeed(primary), mirrors: make(map[hypercrypto.PublicKey]*mirror),
		joined: make(map[hypercrypto.PublicKey]bool), lines: make(map[hypercrypto.PublicKey]*line)}
	d.Client = NewClient(d)
	t.Cleanup(func() {
		d.Client.Close()
		d.offline()
		if err := s.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return d
}

// knows makes a mirror reachable.
func (d *device) knows(m *mirror) *device {
	d.mu.Lock()
	key := m.KeyPair().Public
	d.mirrors[key] = m
	joined := d.joined[key]
	d.mu.Unlock()
	if joined {
		d.connect(m)
	}
	return d
}

// JoinPeer implements Connector.
func (d *device) JoinPeer(key hypercrypto.PublicKey) {
	d.mu.Lock()
	d.joined[key] = true
	m := d.mirrors[key]
	d.mu.Unlock()
	if m != nil {
		d.connect(m)
	}
}

// LeavePeer implements Connector.
func (d *device) LeavePeer(key hypercrypto.PublicKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.joined, key)
}

// connect opens a connection, and returns its mux on this side.
func (d *device) connect(m *mirror) *protomux.Mux {
	d.t.Helper()
	key := m.KeyPair().Public
	d.mu.Lock()
	defer d.mu.Unlock()
	if l := d.lines[key]; l != nil {
		return l.mux
	}
	a, b := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		defer close(served)
		s, err := secretstream.Server(ctx, b, &secretstream.Options{KeyPair: m.KeyPair()})
		if err != nil {
			b.Close()
			return
		}
		_ = m.Serve(ctx, s) // ends with the connection
	}()
	s, err := secretstream.Client(ctx, a, &secretstream.Options{KeyPair: d.keyPair})
	if err != nil {
		d.t.Fatal(err)
	}
	l := &line{cancel: cancel, mux: protomux.New(s, nil), done: make(chan struct{})}
	d.lines[key] = l
	if d.onMux != nil {
		d.onMux(l.mux)
	}
	go func() {
		defer close(l.done)
		detach := d.Client.Attach(l.mux)
		defer detach()
		_ = d.Store.ReplicateMux(ctx, l.mux)
		cancel()
		<-served
	}()
	return l.mux
}

// offline ends all connections.
func (d *device) offline() {
	d.mu.Lock()
	lines := d.lines
	d.lines = make(map[hypercrypto.PublicKey]*line)
	d.mu.Unlock()
	for _, l := range lines {
		l.cancel()
		<-l.done
	}
}

// log opens a log of the device, of so many blocks of a size.
func (d *device) log(name string, blocks, size int) *hypercore.Core {
	d.t.Helper()
	c, err := d.Store.Get(d.t.Context(), corestore.GetOptions{Name: name})
	if err != nil {
		d.t.Fatal(err)
	}
	var list [][]byte
	for i := range blocks {
		b := make([]byte, size)
		copy(b, fmt.Sprintf("%s %d", name, i))
		list = append(list, b)
	}
	if _, err := c.Append(d.t.Context(), list...); err != nil {
		d.t.Fatal(err)
	}
	return c
}

// keep has mirrors keep one log.
func (d *device) keep(c *hypercore.Core, o Subject, mirrors ...*mirror) *Keeping {
	d.t.Helper()
	for _, m := range mirrors {
		d.knows(m)
		o.Mirrors = append(o.Mirrors, m.KeyPair().Public)
	}
	o.Target = c.Key()
	o.Logs = func() []Log { return []Log{{c.Key(), c.Length()}} }
	k, err := d.Keep(o)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(k.Close)
	return k
}

// holds waits until a mirror has all blocks of a log.
func (m *mirror) holds(c *hypercore.Core) {
	m.t.Helper()
	eventually(m.t, fmt.Sprintf("held: all %d blocks", c.Length()), func() bool {
		r, ok := m.Record(c.Key())
		return ok && r.Length == c.Length() && m.Holds(c.Key())
	})
}

// reads reads a whole log from a mirror, as a stranger that knows its key.
func (m *mirror) reads(seed byte, of *hypercore.Core) {
	m.t.Helper()
	d := newDevice(m.t, seed).knows(m)
	k := of.Key()
	c, err := d.Store.Get(m.t.Context(), corestore.GetOptions{Key: &k})
	if err != nil {
		m.t.Fatal(err)
	}
	d.connect(m)
	for i := range of.Length() {
		got, err := c.Get(patient(m.t), i)
		if err != nil {
			m.t.Fatalf("block %d: %v", i, err)
		}
		want, err := of.Get(m.t.Context(), i)
		if err != nil || string(got) != string(want) {
			m.t.Fatalf("block %d: %.20q, want %.20q: %v", i, got, want, err)
		}
	}
	d.offline()
}

func wantRefusal(t testing.TB, err error, cause string) {
	t.Helper()
	var r *RemoteError
	if !errors.As(err, &r) || r.Cause != cause {
		t.Errorf("error %v, want %q", err, cause)
	}
}

func decodeLogs(b []byte) ([]Log, error) {
	r := compact.NewReader(b)
	logs := readLogs(&r, 100)
	return logs, r.Err()
}
