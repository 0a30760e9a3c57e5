package space

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/identitykey"
	"github.com/tradle/cloudpal/hyper/protomux"
	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/hyper/storage"
	"github.com/tradle/cloudpal/internal/fault"
)

const patience = 90 * time.Second

// notes is a collection of keys and values: the body "k=v" sets one, "k" removes it,
// "!" is refused.
type notes struct {
	typ   string
	level uint64
}

func (n notes) Type() string  { return n.typ }
func (n notes) Level() uint64 { return n.level }

var errNote = errors.New("no such note")

func (notes) Apply(ctx context.Context, s State, op *Op) error {
	k, v, put := slices.Clone(op.Body), []byte(nil), false
	if i := slices.Index(op.Body, '='); i >= 0 {
		k, v, put = op.Body[:i], op.Body[i+1:], true
	}
	switch {
	case string(k) == "!":
		return errNote
	case put:
		return s.Put(ctx, k, v)
	}
	return s.Del(ctx, k)
}

// human is a person with a phrase.
type human struct {
	name string
	keys *identitykey.Keys
	at   time.Time
}

func newHuman(name string) *human {
	return &human{name: name, keys: identitykey.NewMnemonic().Keys(), at: time.Now()}
}

func (h *human) key() hypercrypto.PublicKey { return h.keys.Identity.Public }

// badge is an identity on a device.
type badge struct {
	proof *identitykey.Proof
	key   *hypercrypto.KeyPair
}

func (h *human) badge() *badge {
	k := hypercrypto.NewKeyPair()
	return &badge{identitykey.Bootstrap(h.keys.Identity, k.Public, h.at), k}
}

func (b *badge) Attest(data []byte) (*identitykey.Proof, error) {
	return identitykey.AttestData(b.proof, b.key, data)
}

// vouch makes a device of the same person.
func (b *badge) vouch(t testing.TB) *badge {
	k := hypercrypto.NewKeyPair()
	p, err := identitykey.AttestDevice(b.proof, b.key, k.Public)
	if err != nil {
		t.Fatal(err)
	}
	return &badge{p, k}
}

// machine is a store with a library on it.
type machine struct {
	*Library
	t       testing.TB
	dir     string
	disk    *storage.Options // nil: dir on that of the system
	opts    Options
	badge   *badge
	store   *corestore.Store
	pairing *blindpairing.Pairing
}

func newMachine(t testing.TB, who *human, name string, change ...func(*Options)) *machine {
	return newMachineOf(t, who, who.badge(), name, change...)
}

func newMachineOf(t testing.TB, who *human, b *badge, name string, change ...func(*Options)) *machine {
	m := &machine{t: t, dir: t.TempDir(), badge: b}
	m.opts = Options{
		Identity: m.badge, PersonName: who.name, DeviceName: name, AckInterval: 50 * time.Millisecond,
		Collections: []Collection{notes{"notes", 1}},
	}
	for _, f := range change {
		f(&m.opts)
	}
	m.open()
	t.Cleanup(m.close)
	return m
}

func (m *machine) open() {
	m.t.Helper()
	if err := m.tryOpen(); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) tryOpen() (err error) {
	dir, o := m.dir, new(corestore.Options)
	if m.disk != nil {
		dir, o.Storage, o.PrimaryKey = "store", m.disk, &[32]byte{1}
	}
	if m.store, err = corestore.Open(m.t.Context(), dir, o); err != nil {
		return err
	}
	m.pairing = blindpairing.New(nil, nil)
	m.opts.Pairing = m.pairing
	if m.Library, err = Open(m.t.Context(), m.store, m.opts); err != nil {
		err = errors.Join(err, m.pairing.Close(), m.store.Close())
		m.store = nil
	}
	return err
}

func (m *machine) close() {
	if err := m.tryClose(); err != nil {
		m.t.Error(err)
	}
}

func (m *machine) tryClose() error {
	if m.store == nil {
		return nil
	}
	err := errors.Join(m.pairing.Close(), m.Library.Close(), m.store.Close())
	m.store = nil
	return err
}

func (m *machine) restart() {
	m.t.Helper()
	m.close()
	m.open()
}

func (m *machine) get(name string) *Space {
	m.t.Helper()
	s, err := m.Get(name)
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

// connect connects machines pairwise until the result is called.
func connect(t testing.TB, ms ...*machine) (cut func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	n := 0
	done := make(chan struct{}, len(ms)*len(ms))
	serve := func(m *machine, open func() (*secretstream.Conn, error)) {
		defer func() { done <- struct{}{} }()
		s, err := open()
		if err != nil {
			return
		}
		mux := protomux.New(s, nil)
		defer m.Attach(mux)()
		m.pairing.Attach(mux)
		_ = m.store.ReplicateMux(ctx, mux) // ends with the test
	}
	for i, a := range ms {
		for _, b := range ms[i+1:] {
			x, y := net.Pipe()
			n += 2
			go serve(a, func() (*secretstream.Conn, error) { return secretstream.Server(ctx, x, nil) })
			go serve(b, func() (*secretstream.Conn, error) { return secretstream.Client(ctx, y, nil) })
		}
	}
	var cutOnce bool
	cut = func() {
		if cutOnce {
			return
		}
		cutOnce = true
		cancel()
		for range n {
			<-done
		}
	}
	t.Cleanup(cut)
	return cut
}

func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func write(t testing.TB, s *Space, bodies ...string) {
	t.Helper()
	var list [][]byte
	for _, b := range bodies {
		list = append(list, []byte(b))
	}
	if _, err := s.Append(t.Context(), "notes", list...); err != nil {
		t.Fatal(err)
	}
}

func dump(t testing.TB, r Reader) (list []string) {
	t.Helper()
	for e, err := range r.Entries(t.Context(), hyperbee.Range{}) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%s=%s", e.Key, e.Value))
	}
	return list
}

func wantNotes(t testing.TB, s *Space, want ...string) {
	t.Helper()
	if got := dump(t, s.View("notes")); !slices.Equal(got, want) {
		t.Errorf("notes %q, want %q", got, want)
	}
}

func wantKind(t testing.TB, err error, kind fault.Kind) {
	t.Helper()
	if err == nil || fault.KindOf(err) != kind {
		t.Errorf("error %v is not of kind %v", err, kind)
	}
}

// agree waits until spaces are in the same state.
func agree(t testing.TB, spaces ...*Space) {
	t.Helper()
	for until := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		same := true
		for _, s := range spaces {
			a, b := s.base.Status(), spaces[0].base.Status()
			same = same && a.Hash == b.Hash && a.Tip == b.Tip && a.Views[0].Hash == b.Views[0].Hash && len(a.Heads) == len(b.Heads)
		}
		if same {
			return
		}
		if time.Now().After(until) {
			for i, s := range spaces {
				t.Logf("%d: %+v %v", i, s.base.Status(), s.base.Err())
			}
			t.Fatal("they do not agree")
		}
	}
}
