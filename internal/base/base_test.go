package base

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/hyper/storage"
	"github.com/tradle/cloudpal/internal/fault"
)

const patience = 90 * time.Second

// device is a store with a library on it.
type device struct {
	*Library
	t       testing.TB
	dir     string
	disk    *storage.Options // nil: dir on that of the system
	store   *corestore.Store
	pairing *blindpairing.Pairing
}

func newDevice(t testing.TB) *device {
	d := &device{t: t, dir: t.TempDir()}
	d.open()
	t.Cleanup(d.close)
	return d
}

func (d *device) open() {
	d.t.Helper()
	if err := d.tryOpen(); err != nil {
		d.t.Fatal(err)
	}
}

func (d *device) tryOpen() (err error) {
	dir, o := d.dir, new(corestore.Options)
	if d.disk != nil {
		dir, o.Storage, o.PrimaryKey = "store", d.disk, &[32]byte{1}
	}
	if d.store, err = corestore.Open(d.t.Context(), dir, o); err != nil {
		return err
	}
	d.pairing = blindpairing.New(nil, nil)
	if d.Library, err = Open(d.t.Context(), d.store, Options{Pairing: d.pairing}); err != nil {
		err = errors.Join(err, d.pairing.Close(), d.store.Close())
		d.store = nil
	}
	return err
}

func (d *device) close() {
	if err := d.tryClose(); err != nil {
		d.t.Error(err)
	}
}

func (d *device) tryClose() error {
	if d.store == nil {
		return nil
	}
	err := errors.Join(d.pairing.Close(), d.Library.Close(), d.store.Close())
	d.store = nil
	return err
}

func (d *device) restart() {
	d.t.Helper()
	d.close()
	d.open()
}

// join connects two devices until the result is called.
func join(t testing.TB, a, b *device) (cut func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	x, y := net.Pipe()
	done := make(chan struct{}, 2)
	serve := func(d *device, open func() (*secretstream.Conn, error)) {
		defer func() { done <- struct{}{} }()
		s, err := open()
		if err != nil {
			t.Error(err)
			return
		}
		m := protomux.New(s, nil)
		defer d.Attach(m)()
		d.pairing.Attach(m)
		_ = d.store.ReplicateMux(ctx, m) // ends with the test
	}
	go serve(a, func() (*secretstream.Conn, error) { return secretstream.Server(ctx, x, nil) })
	go serve(b, func() (*secretstream.Conn, error) { return secretstream.Client(ctx, y, nil) })
	cut = func() {
		cancel()
		<-done
		<-done
	}
	return cut
}

func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func entries(t testing.TB, b *Base, prefix string) (list []Pair) {
	t.Helper()
	for p, err := range b.Entries(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

func (d *device) get(name string) *Base {
	d.t.Helper()
	b, err := d.Get(d.t.Context(), name)
	if err != nil {
		d.t.Fatal(err)
	}
	return b
}

func wantKind(t testing.TB, err error, kind fault.Kind) {
	t.Helper()
	if fault.KindOf(err) != kind {
		t.Errorf("error %v is of another kind", err)
	}
}

func TestBaseIsThereAfterRestart(t *testing.T) {
	d := newDevice(t)
	b, err := d.Create(t.Context(), "notes", true)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Change(t.Context(), []Pair{{"a", "1"}, {"b/1", "2"}, {"b/2", "3"}, {"c", "4"}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Change(t.Context(), nil, []string{"c"}); err != nil {
		t.Fatal(err)
	}
	record, local := b.Record(), b.Local()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	d.restart()
	b = d.get("notes")
	defer b.Close()
	if b.Record().Link != record.Link || b.Local() != local || b.Record().Key() != record.Key() {
		t.Errorf("%+v becomes %+v", record, b.Record())
	}
	if got := entries(t, b, ""); !slices.Equal(got, []Pair{{"a", "1"}, {"b/1", "2"}, {"b/2", "3"}}) {
		t.Errorf("entries %v", got)
	}
	if got := entries(t, b, "b/"); !slices.Equal(got, []Pair{{"b/1", "2"}, {"b/2", "3"}}) {
		t.Errorf("entries %v", got)
	}
	list, err := b.Members(t.Context())
	if err != nil || len(list) != 1 || !list[0].Self || !list[0].Indexer || list[0].Length != 5 {
		t.Errorf("members %+v, %v", list, err)
	}
}

func TestWhatCannotBeIsRefused(t *testing.T) {
	d := newDevice(t)
	ctx := t.Context()
	b, err := d.Create(ctx, "notes", false)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	_, err = d.Create(ctx, "notes", true)
	wantKind(t, err, fault.Conflict)
	_, err = d.Join(ctx, "again", b.Record().Link)
	wantKind(t, err, fault.Conflict)
	for _, name := range []string{"", "a/b", "x\n"} {
		_, err = d.Create(ctx, name, true)
		wantKind(t, err, fault.Usage)
	}
	_, err = d.Join(ctx, "other", "nonsense")
	wantKind(t, err, fault.Usage)
	_, err = d.Get(ctx, "nothing")
	wantKind(t, err, fault.NotFound)
	wantKind(t, b.Change(ctx, []Pair{{"", "x"}}, nil), fault.Usage)
	wantKind(t, b.Change(ctx, nil, []string{""}), fault.Usage)
	wantKind(t, b.RemoveMember(ctx, b.Local()), fault.Conflict)
	other := newDevice(t)
	r, err := other.Join(ctx, "theirs", hypercrypto.Key{1}.String())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	wantKind(t, r.Change(ctx, []Pair{{"a", "1"}}, nil), fault.Permission)
	_, err = r.Invite(ctx, InviteOptions{})
	wantKind(t, err, fault.Permission)
}

// Two devices write while they are apart, and agree afterwards; then one is removed.
func TestDevicesAgree(t *testing.T) {
	one, two := newDevice(t), newDevice(t)
	ctx := patient(t)
	a, err := one.Create(ctx, "notes", true)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.Change(ctx, []Pair{{"first", "1"}}, nil); err != nil {
		t.Fatal(err)
	}
	b, err := two.Join(ctx, "mine", a.Record().Link)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	cut := join(t, one, two)
	if err := a.AddMember(ctx, b.Local(), false); err != nil {
		t.Fatal(err)
	}
	if err := b.WaitWritable(ctx); err != nil {
		t.Fatal(err)
	}
	cut()
	for i, x := range []*Base{a, b} {
		if err := x.Change(ctx, []Pair{{"same", string(rune('x' + i))}, {string(rune('p' + i)), "alone"}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	cut = join(t, one, two)
	defer func() { cut() }()
	agree(t, a, b)
	if got := entries(t, b, ""); len(got) != 4 || !slices.Equal(got, entries(t, a, "")) {
		t.Errorf("entries %v and %v", got, entries(t, a, ""))
	}
	if err := a.RemoveMember(ctx, b.Local()); err != nil {
		t.Fatal(err)
	}
	agree(t, a, b)
	list, err := b.Members(ctx)
	if err != nil || len(list) != 2 {
		t.Fatalf("members %+v, %v", list, err)
	}
	for _, m := range list {
		if m.Removed != m.Self || m.Indexer == m.Self {
			t.Errorf("member %+v", m)
		}
	}
}

func agree(t testing.TB, bases ...*Base) {
	t.Helper()
	for until := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		same := true
		for _, b := range bases {
			same = same && b.Status().Hash == bases[0].Status().Hash && len(b.Status().Heads) == len(bases[0].Status().Heads)
		}
		if same {
			return
		}
		if time.Now().After(until) {
			t.Fatal("they do not agree")
		}
	}
}

// An invite lets a device in, once, also after the inviting one was restarted.
func TestInviteLetsADeviceIn(t *testing.T) {
	one, two, three := newDevice(t), newDevice(t), newDevice(t)
	a, err := one.Create(t.Context(), "notes", true)
	if err != nil {
		t.Fatal(err)
	}
	i, err := a.Invite(t.Context(), InviteOptions{Uses: 1, Lasts: time.Hour, Indexer: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	one.restart()
	a = one.get("notes")
	defer a.Close()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	joined := make(chan hypercrypto.Key, 2)
	go func() { served <- a.ServeInvites(ctx, func(k hypercrypto.Key) { joined <- k }) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	cut := join(t, one, two)
	b, err := two.Accept(patient(t), "mine", i)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if k := <-joined; k != b.Local() {
		t.Errorf("%s joined, not %s", k, b.Local())
	}
	if err := b.WaitWritable(patient(t)); err != nil {
		t.Fatal(err)
	}
	if err := b.Change(t.Context(), []Pair{{"a", "1"}}, nil); err != nil {
		t.Fatal(err)
	}
	agree(t, a, b)
	if list, err := a.Members(t.Context()); err != nil || len(list) != 2 || !list[0].Indexer || !list[1].Indexer {
		t.Errorf("members %+v, %v", list, err)
	}
	cut()
	defer join(t, one, three)()
	_, err = three.Accept(patient(t), "mine", i)
	wantKind(t, err, fault.Permission)
}
