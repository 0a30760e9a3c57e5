package content

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// device is one of a space: a directory with the logs of all of them.
type device struct {
	*Store
	t     testing.TB
	store *corestore.Store
	mu    sync.Mutex
	open  map[hypercrypto.Key]*hyperblobs.Blobs
}

// space lets the devices know each other's logs.
type space struct {
	secret hypercrypto.EncryptionKey
	keys   map[hypercrypto.Key]bool
}

var errNotOfSpace = errors.New("not a blob log of the space")

func newSpace() *space {
	return &space{secret: hypercrypto.EncryptionKey{1, 2, 3}, keys: make(map[hypercrypto.Key]bool)}
}

func (s *space) device(t testing.TB) *device {
	t.Helper()
	store, err := corestore.Open(t.Context(), t.TempDir(), &corestore.Options{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.deviceIn(t, store, "blobs")
}

// deviceIn makes a device whose log is a name in a store, which several may share.
func (s *space) deviceIn(t testing.TB, store *corestore.Store, name string) *device {
	t.Helper()
	core, err := store.Get(t.Context(), corestore.GetOptions{Name: name, EncryptionKey: &s.secret})
	if err != nil {
		t.Fatal(err)
	}
	s.keys[core.Key()] = true
	d := &device{t: t, store: store, open: make(map[hypercrypto.Key]*hyperblobs.Blobs)}
	d.Store = New(hyperblobs.New(core), func(ctx context.Context, key hypercrypto.Key) (*hyperblobs.Blobs, func(), error) {
		if !s.keys[key] {
			return nil, nil, errNotOfSpace
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if b := d.open[key]; b != nil {
			return b, nil, nil
		}
		core, err := store.Get(ctx, corestore.GetOptions{Key: &key, EncryptionKey: &s.secret})
		if err != nil {
			return nil, nil, err
		}
		d.open[key] = hyperblobs.New(core)
		return d.open[key], nil, nil
	})
	return d
}

// local makes n devices that share one directory, so that each holds all.
func local(t testing.TB, n int) (*space, []*device) {
	t.Helper()
	s := newSpace()
	first := s.device(t)
	all := []*device{first}
	for i := 1; i < n; i++ {
		all = append(all, s.deviceIn(t, first.store, "blobs"+string(rune('0'+i))))
	}
	return s, all
}

// connect replicates the stores of two devices until the test ends.
func connect(t testing.TB, a, b *device) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c1, c2 := net.Pipe()
	var group sync.WaitGroup
	type handshake func(context.Context, io.ReadWriteCloser, *secretstream.Options) (*secretstream.Conn, error)
	run := func(d *device, c net.Conn, shake handshake) {
		s, err := shake(ctx, c, nil)
		if err != nil {
			t.Error(err)
			return
		}
		_ = d.store.Replicate(ctx, s)
	}
	group.Go(func() { run(a, c1, secretstream.Client) })
	group.Go(func() { run(b, c2, secretstream.Server) })
	t.Cleanup(func() {
		cancel()
		c1.Close()
		c2.Close()
		group.Wait()
	})
}

func random(seed uint64, n int) []byte {
	b := make([]byte, n)
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	rand.NewChaCha8(key).Read(b)
	return b
}

func (d *device) write(data []byte, prev *Ref) Written {
	d.t.Helper()
	w, err := d.Write(d.t.Context(), bytes.NewReader(data), &WriteOptions{Prev: prev})
	if err != nil {
		d.t.Fatal(err)
	}
	return w
}

// want wants the content of a Ref, read in sequence and as it comes back from its
// encoded form.
func (d *device) want(ref Ref, data []byte) {
	d.t.Helper()
	ref, err := Decode(ref.Hash, ref.Encode())
	if err != nil {
		d.t.Fatal(err)
	}
	r, err := d.Open(d.t.Context(), ref)
	if err != nil {
		d.t.Fatal(err)
	}
	defer r.Close()
	var buf bytes.Buffer
	if _, err := r.WriteTo(&buf); err != nil || !bytes.Equal(buf.Bytes(), data) {
		d.t.Fatalf("WriteTo gives %d of %d bytes: %v", buf.Len(), len(data), err)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		d.t.Fatal(err)
	}
	got, err := io.ReadAll(struct{ io.Reader }{r})
	if err != nil || !bytes.Equal(got, data) {
		d.t.Fatalf("Read gives %d of %d bytes: %v", len(got), len(data), err)
	}
	for range 20 {
		if len(data) == 0 {
			break
		}
		off := rand.IntN(len(data))
		p := make([]byte, min(rand.IntN(200_000)+1, len(data)-off))
		if _, err := r.ReadAt(p, int64(off)); err != nil || !bytes.Equal(p, data[off:off+len(p)]) {
			d.t.Fatalf("ReadAt %d bytes at %d: %v", len(p), off, err)
		}
	}
}
