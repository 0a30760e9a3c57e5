package spacefs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/identitykey"
	"github.com/tradle/cloudpal/hyper/protomux"
	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/hyper/storage"
	"github.com/tradle/cloudpal/internal/filetree"
	"github.com/tradle/cloudpal/internal/foldersync"
	"github.com/tradle/cloudpal/internal/space"
)

const patience = 90 * time.Second

func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// badge is a person on a device.
type badge struct {
	proof *identitykey.Proof
	key   *hypercrypto.KeyPair
}

func newBadge() *badge {
	k := hypercrypto.NewKeyPair()
	return &badge{identitykey.Bootstrap(identitykey.NewMnemonic().Keys().Identity, k.Public, time.Now()), k}
}

func (b *badge) Attest(data []byte) (*identitykey.Proof, error) {
	return identitykey.AttestData(b.proof, b.key, data)
}

// machine is a device with a space and a folder.
type machine struct {
	*Files
	t       testing.TB
	name    string
	dir     string
	fs      vfs.FS // nil: that of the system
	narrow  bool   // little of what is on disk is in memory as well
	badge   *badge
	opts    Options
	store   *corestore.Store
	pairing *blindpairing.Pairing
	library *space.Library
	space   *space.Space

	tree   *Tree
	folder *foldersync.Folder
	root   string
	watch  func(foldersync.Event) // nil: nobody does
	cancel context.CancelFunc
	done   chan struct{}
}

func newMachine(t testing.TB, name string, opts Options) *machine {
	m := &machine{t: t, name: name, dir: t.TempDir(), root: filepath.Join(t.TempDir(), name), badge: newBadge(), opts: opts}
	m.start()
	t.Cleanup(m.stop)
	return m
}

func (m *machine) start() {
	m.t.Helper()
	must(m.t, m.open())
}

func (m *machine) open() (err error) {
	dir, o := filepath.Join(m.dir, "store"), &corestore.Options{}
	if m.fs != nil {
		dir, o.Storage = "store", &storage.Options{FS: m.fs, MemTableSize: 512 << 10}
		if m.narrow {
			o.Storage.CacheSize, o.Storage.PageCacheSize = 1, 1
		}
		key := hypercrypto.Sum([]byte(m.name))
		o.PrimaryKey = (*[32]byte)(&key)
	}
	if m.store, err = corestore.Open(m.t.Context(), dir, o); err != nil {
		return err
	}
	m.pairing = blindpairing.New(nil, nil)
	m.library, err = space.Open(m.t.Context(), m.store, space.Options{
		Identity: m.badge, PersonName: m.name, DeviceName: m.name, AckInterval: 50 * time.Millisecond,
		Pairing: m.pairing, Collections: []space.Collection{Collection()},
	})
	if err != nil {
		err = errors.Join(err, m.pairing.Close(), m.store.Close())
		m.store = nil
	}
	return err
}

func (m *machine) stop() {
	if m.store == nil {
		return
	}
	m.leaveFolder()
	must(m.t, m.close())
}

func (m *machine) close() (err error) {
	if m.Files != nil {
		err = m.Files.Close()
	}
	err = errors.Join(err, m.pairing.Close(), m.library.Close(), m.store.Close())
	m.store, m.Files = nil, nil
	return err
}

// survey tells what the machine holds.
func (m *machine) survey() *Survey {
	m.t.Helper()
	s, err := m.Survey(m.t.Context(), m.Here(m.t.Context()))
	must(m.t, err)
	return s
}

// create makes the space that others join.
func (m *machine) create() {
	m.t.Helper()
	s, err := m.library.Create(m.t.Context(), "home")
	must(m.t, err)
	m.use(s)
}

func (m *machine) use(s *space.Space) {
	m.t.Helper()
	m.space = s
	m.opts.Drives = m.store
	m.Files = Open(s, &m.opts)
}

// join lets another machine in.
func (m *machine) join(other *machine, role space.Role) {
	m.t.Helper()
	i, err := m.space.Invite(m.t.Context(), space.InviteOptions{Role: role})
	must(m.t, err)
	s, err := other.library.Join(patient(m.t), i, "")
	must(m.t, err)
	must(m.t, s.WaitMember(patient(m.t)))
	other.use(s)
}

// connect connects two machines until the result is called.
func connect(t testing.TB, a, b *machine) (cut func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	serve := func(m *machine, open func() (*secretstream.Conn, error)) {
		defer func() { done <- struct{}{} }()
		s, err := open()
		if err != nil {
			return
		}
		mux := protomux.New(s, nil)
		defer m.library.Attach(mux)()
		m.pairing.Attach(mux)
		_ = m.store.ReplicateMux(ctx, mux) // ends with the test
	}
	x, y := net.Pipe()
	go serve(a, func() (*secretstream.Conn, error) { return secretstream.Server(ctx, x, nil) })
	go serve(b, func() (*secretstream.Conn, error) { return secretstream.Client(ctx, y, nil) })
	once := false
	cut = func() {
		if once {
			return
		}
		once = true
		cancel()
		<-done
		<-done
	}
	t.Cleanup(cut)
	return cut
}

// pair is two connected machines of one space.
func pair(t testing.TB, opts Options) (a, b *machine, cut func()) {
	t.Helper()
	a, b = newMachine(t, "ada", opts), newMachine(t, "bob", opts)
	a.create()
	cut = connect(t, a, b)
	a.join(b, space.Editor)
	return a, b, cut
}

// sync keeps a folder on disk equal to the files until stop.
func (m *machine) sync() {
	m.t.Helper()
	must(m.t, os.MkdirAll(m.root, 0o755))
	m.tree = m.Tree()
	var err error
	m.folder, err = foldersync.Open(m.tree, m.root, filepath.Join(m.dir, "folder"), &foldersync.Options{Rescan: time.Second, OnEvent: m.watch})
	must(m.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel, m.done = cancel, make(chan struct{})
	go func() {
		defer close(m.done)
		if err := m.folder.Run(ctx); err != nil {
			m.t.Errorf("%s: %v", m.name, err)
		}
	}()
}

func (m *machine) leaveFolder() {
	if m.folder == nil {
		return
	}
	m.cancel()
	<-m.done
	must(m.t, m.folder.Close())
	m.tree.Close()
	m.folder = nil
}

func (m *machine) path(name string) string { return filepath.Join(m.root, filepath.FromSlash(name)) }

// write replaces a file as editors do: at once.
func (m *machine) write(name, text string) {
	m.t.Helper()
	temp := filepath.Join(m.dir, "new")
	must(m.t, os.MkdirAll(filepath.Dir(m.path(name)), 0o755), os.WriteFile(temp, []byte(text), 0o644), os.Rename(temp, m.path(name)))
}

// texts returns the files in the folder.
func (m *machine) texts() map[string]string {
	m.t.Helper()
	list := map[string]string{}
	err := filepath.WalkDir(m.root, func(name string, d fs.DirEntry, err error) error {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".cloudpal") {
			return nil
		}
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		rel, _ := filepath.Rel(m.root, name)
		list[filepath.ToSlash(rel)] = string(text)
		return err
	})
	must(m.t, err)
	return list
}

// eventually waits until something holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("it never holds that %s", what)
		}
	}
}

// wantFolders waits until the folders of machines have these files.
func wantFolders(t testing.TB, want map[string]string, ms ...*machine) {
	t.Helper()
	for _, m := range ms {
		until := time.Now().Add(patience)
		for !maps.Equal(m.texts(), want) {
			if time.Now().After(until) {
				got := m.texts()
				for _, name := range slices.Sorted(maps.Keys(got)) {
					t.Logf("%s has %q: %.60q", m.name, name, got[name])
				}
				t.Logf("%+v", m.folder.Status())
				t.Fatalf("%s does not come to have %d files: %v", m.name, len(want), slices.Sorted(maps.Keys(want)))
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// put puts files into the tree without a folder.
func (m *machine) put(files map[string]string) {
	m.t.Helper()
	must(m.t, m.tryPut(files))
}

func (m *machine) tryPut(files map[string]string) error {
	v, release := m.View()
	defer release()
	var changes []filetree.Change
	for name, text := range files {
		e, _, err := v.Lookup(m.t.Context(), name)
		if err != nil {
			return err
		}
		w, err := m.Store(m.t.Context(), strings.NewReader(text), e.Content)
		if err != nil {
			return err
		}
		changes = append(changes, filetree.Change{Action: filetree.Put, Path: name, Base: e.Version, Item: filetree.Item{
			Kind: filetree.File, Mode: 0o644, Modified: time.Unix(1_700_000_000, 123_456_789), Size: w.Ref.Size, Hash: w.Ref.Hash, Content: w.Ref.Encode(),
		}})
	}
	_, err := m.Commit(m.t.Context(), changes)
	return err
}

func (m *machine) del(name string) {
	m.t.Helper()
	e, ok := m.lookup(name)
	if !ok {
		m.t.Fatalf("%s has no %q", m.name, name)
	}
	_, err := m.Commit(m.t.Context(), []filetree.Change{{Action: filetree.Delete, Path: name, Base: e.Version}})
	must(m.t, err)
}

func (m *machine) lookup(name string) (filetree.Entry, bool) {
	m.t.Helper()
	v, release := m.View()
	defer release()
	e, ok, err := v.Lookup(m.t.Context(), name)
	must(m.t, err)
	return e, ok
}

// read returns the content of a file of the tree.
func (m *machine) read(name string) string {
	m.t.Helper()
	e, ok := m.lookup(name)
	if !ok {
		return "(nothing)"
	}
	r, err := m.Open(patient(m.t), e)
	must(m.t, err)
	defer r.Close()
	var b bytes.Buffer
	_, err = io.Copy(&b, r)
	must(m.t, err)
	return b.String()
}

// files returns the paths of the files in the tree.
func (m *machine) files() (list []string) {
	m.t.Helper()
	v, release := m.View()
	defer release()
	for e, err := range v.Walk(m.t.Context(), "") {
		must(m.t, err)
		if e.Kind == filetree.File {
			list = append(list, e.Path)
		}
	}
	return list
}

func (m *machine) count() filetree.Count {
	m.t.Helper()
	v, release := m.View()
	defer release()
	n, err := v.Count(m.t.Context())
	must(m.t, err)
	return n
}

// agree waits until machines have the same tree, of which the order is final.
func agree(t testing.TB, ms ...*machine) {
	t.Helper()
	mark := func(m *machine) (filetree.Mark, uint64) {
		v, release := m.View()
		defer release()
		n, err := v.Count(t.Context())
		must(t, err)
		x, err := v.Mark(t.Context(), n.Ops)
		must(t, err)
		final, err := m.final(t.Context())
		must(t, err)
		return x, n.Ops - min(final, n.Ops)
	}
	eventually(t, "all agree", func() bool {
		first, open := mark(ms[0])
		for _, m := range ms {
			x, o := mark(m)
			if x != first || o+open > 0 {
				return false
			}
		}
		return true
	})
}
