package corestore

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/storage"
)

func (s *Store) entryOf(dk hypercrypto.DiscoveryKey) *entry {
	s.root.mu.Lock()
	defer s.root.mu.Unlock()
	return s.root.cores[dk]
}

func appendTo(t testing.TB, c *hypercore.Core, text string) {
	t.Helper()
	if _, err := c.Append(t.Context(), []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func TestIdleCoresAreClosed(t *testing.T) {
	s := open(t, t.TempDir(), nil)
	c := get(t, s, GetOptions{Name: "a"})
	appendTo(t, c, "kept")
	dk := c.DiscoveryKey()
	e := s.entryOf(dk)
	s.root.closeIfIdle(e)
	if s.entryOf(dk) != e {
		t.Fatal("a core with a handle was closed")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	s.root.closeIfIdle(e)
	if s.entryOf(dk) != nil {
		t.Fatal("a core that nobody uses stays open")
	}
	again := get(t, s, GetOptions{DiscoveryKey: &dk})
	if b, err := again.GetLocal(0); err != nil || string(b) != "kept" {
		t.Errorf("%q, %v", b, err)
	}

	// One that a peer is connected for is not idle.
	other := open(t, t.TempDir(), nil)
	join(t, s, other)
	key := again.Key()
	if b, err := get(t, other, GetOptions{Key: &key}).Get(patient(t), 0); err != nil || string(b) != "kept" {
		t.Fatalf("%q, %v", b, err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	e = s.entryOf(dk)
	s.root.closeIfIdle(e)
	if s.entryOf(dk) != e {
		t.Error("a core with a peer was closed")
	}
}

func TestGetWaitsForACoreThatIsBeingClosed(t *testing.T) {
	s := open(t, t.TempDir(), nil)
	c := get(t, s, GetOptions{Name: "a"})
	appendTo(t, c, "kept")
	dk := c.DiscoveryKey()
	if _, err := s.root.evict(t.Context(), dk); !errors.Is(err, ErrInUse) {
		t.Errorf("evict a core with a handle: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	release, err := s.root.evict(t.Context(), dk)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Get(ctx, GetOptions{DiscoveryKey: &dk}); !errors.Is(err, context.Canceled) {
		t.Errorf("get without time: %v", err)
	}
	if _, err := s.root.evict(ctx, dk); !errors.Is(err, context.Canceled) {
		t.Errorf("second evict without time: %v", err)
	}
	got := make(chan error, 1)
	go func() {
		c, err := s.Get(patient(t), GetOptions{DiscoveryKey: &dk})
		if err == nil {
			_, err = c.GetLocal(0)
		}
		got <- err
	}()
	select {
	case err := <-got:
		t.Fatalf("did not wait: %v", err)
	case <-time.After(10 * time.Millisecond):
	}
	release()
	if err := <-got; err != nil {
		t.Error(err)
	}
}

// TestOneWhoGivesUpDoesNotSpoilItForOthers waits for a core that somebody else
// opens.
func TestOneWhoGivesUpDoesNotSpoilItForOthers(t *testing.T) {
	s := open(t, t.TempDir(), nil)
	c := get(t, s, GetOptions{Name: "a"})
	appendTo(t, c, "kept")
	dk := c.DiscoveryKey()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	s.root.closeIfIdle(s.entryOf(dk))
	opening := &entry{ready: make(chan struct{})}
	opening.count(1, false)
	s.root.mu.Lock()
	s.root.cores[dk] = opening
	s.root.mu.Unlock()

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Get(ctx, GetOptions{DiscoveryKey: &dk}); !errors.Is(err, context.Canceled) {
		t.Errorf("get without time: %v", err)
	}
	if opening.users != 1 {
		t.Errorf("%d users", opening.users)
	}
	got := make(chan error, 1)
	go func() {
		_, err := s.Get(patient(t), GetOptions{DiscoveryKey: &dk})
		got <- err
	}()
	// The one who opens it has no patience either.
	s.root.mu.Lock()
	opening.err = context.Canceled
	delete(s.root.cores, dk)
	s.root.mu.Unlock()
	close(opening.ready)
	if err := <-got; err != nil {
		t.Errorf("the failure of another: %v", err)
	}
}

func TestClosedStoresRefuse(t *testing.T) {
	root := open(t, t.TempDir(), nil)
	s := root.Session()
	c, other := get(t, s, GetOptions{Name: "a"}), get(t, root, GetOptions{Name: "a"})
	late := s.Namespace("n")
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Append(t.Context(), []byte("x")); !errors.Is(err, hypercore.ErrClosed) {
		t.Errorf("append by a handle of a closed session: %v", err)
	}
	appendTo(t, other, "the other handle still works")
	for name, closed := range map[string]*Store{"session": s, "its namespace": late, "made afterwards": s.Session()} {
		if _, err := closed.Get(t.Context(), GetOptions{Name: "b"}); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := root.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := root.Get(t.Context(), GetOptions{Name: "a"}); !errors.Is(err, ErrClosed) {
		t.Errorf("get: %v", err)
	}
	if err := root.Delete(t.Context(), other.DiscoveryKey()); !errors.Is(err, ErrClosed) {
		t.Errorf("delete: %v", err)
	}
	if err := root.Replicate(t.Context(), nowhere{}); !errors.Is(err, ErrClosed) {
		t.Errorf("replicate: %v", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(t.Context(), dir, &Options{ManifestVersion: 4}); err == nil {
		t.Error("manifest version 4")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(gone, dir, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("open without time: %v", err)
	}
	s := open(t, dir, nil)
	if _, err := s.Get(t.Context(), GetOptions{Name: strings.Repeat("n", MaxName+1)}); !errors.Is(err, ErrName) {
		t.Errorf("a long name: %v", err)
	}
	get(t, s, GetOptions{Name: strings.Repeat("n", MaxName)})
	if _, err := s.Get(t.Context(), GetOptions{Name: "none", MustExist: true}); !errors.Is(err, hypercore.ErrNotFound) {
		t.Errorf("a name that must exist: %v", err)
	}
	key := hypercrypto.Key{1}
	if _, err := s.Get(t.Context(), GetOptions{Key: &key, MustExist: true}); !errors.Is(err, hypercore.ErrNotFound) {
		t.Errorf("a key that must exist: %v", err)
	}
	c := get(t, s, GetOptions{Name: "a"})
	if err := s.Delete(gone, c.DiscoveryKey()); !errors.Is(err, context.Canceled) {
		t.Errorf("delete without time: %v", err)
	}
	if err := s.Delete(t.Context(), hypercrypto.DiscoveryKey{9}); err != nil {
		t.Errorf("delete what is not there: %v", err)
	}
}

func TestReadersWaitWhilePeersAreLookedFor(t *testing.T) {
	s := open(t, t.TempDir(), nil)
	before := get(t, s, GetOptions{Key: &hypercrypto.Key{1}})
	done := s.FindingPeers()
	after := get(t, s, GetOptions{Key: &hypercrypto.Key{2}})
	answers := make(chan error, 2)
	for _, c := range []*hypercore.Core{before, after} {
		go func() {
			grew, err := c.Update(patient(t))
			if grew {
				err = errors.New("it grew")
			}
			answers <- err
		}()
	}
	select {
	case err := <-answers:
		t.Fatalf("a reader did not wait: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	done()
	done()
	for range 2 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if _, err := get(t, s, GetOptions{Key: &hypercrypto.Key{3}}).Update(patient(t)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestFailingDisks lets the disk fail from a write of an operation on: the
// operation says so, and the directory is good afterwards. Of a delete only the
// commit is tried: the database gives up for good if it cannot begin a new log.
func TestFailingDisks(t *testing.T) {
	const text = "kept"
	operations := map[string]func(t *testing.T, s *Store) error{
		"get a new name": func(t *testing.T, s *Store) error {
			_, err := s.Get(t.Context(), GetOptions{Name: "new"})
			return err
		},
		"delete": func(t *testing.T, s *Store) error {
			m := hypercrypto.DefaultManifest(s.KeyPair("old").Public)
			return s.Delete(t.Context(), m.Key().Discovery())
		},
	}
	for name, operate := range operations {
		failed := 0
		for at := int64(1); at == 1 || name != "delete"; at++ {
			mem := vfs.NewMem()
			var left atomic.Int64 // writes that succeed; negative: all
			left.Store(-1)
			hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
				for op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
					n := left.Load()
					if n == 0 {
						return errors.New("the disk fails")
					}
					if n < 0 || left.CompareAndSwap(n, n-1) {
						break
					}
				}
				return nil
			})
			s, err := Open(t.Context(), "d", &Options{Storage: &storage.Options{FS: errorfs.Wrap(mem, hook)}})
			if err != nil {
				t.Fatal(err)
			}
			old := get(t, s, GetOptions{Name: "old"})
			appendTo(t, old, text)
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			left.Store(at - 1)
			err = operate(t, s)
			reached := left.Load() == 0
			left.Store(-1)
			_ = s.Close() // what it could not write is lost
			if err != nil {
				failed++
			} else if !reached {
				break
			}

			s = open(t, "d", &Options{Storage: &storage.Options{FS: mem}})
			c, getErr := s.Get(t.Context(), GetOptions{Name: "old"})
			switch {
			case getErr == nil:
				if b, err := c.GetLocal(0); err != nil || string(b) != text {
					t.Errorf("%s, write %d: the block is %q, %v", name, at, b, err)
				}
			case name == "delete" && errors.Is(getErr, ErrDeleted):
			default:
				t.Errorf("%s, write %d: %v", name, at, getErr)
			}
			if err := operate(t, s); name != "delete" && err != nil {
				t.Errorf("%s, write %d: again: %v", name, at, err)
			}
		}
		if failed == 0 {
			t.Errorf("%s: no write failed", name)
		}
	}
}

// TestADirectoryThatCouldNotBeMadeIsMadeAgain lets the disk fail while the
// primary key is stored.
func TestADirectoryThatCouldNotBeMadeIsMadeAgain(t *testing.T) {
	mem := vfs.NewMem()
	var failing atomic.Bool
	hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if failing.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return errors.New("the disk fails")
		}
		return nil
	})
	db, err := storage.Open("d", &storage.Options{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db, err = storage.Open("d", &storage.Options{FS: errorfs.Wrap(mem, hook)})
	if err != nil {
		t.Fatal(err)
	}
	failing.Store(true)
	r := &root{db: db}
	if err := r.loadPrimaryKey(); err == nil {
		t.Error("a primary key that could not be stored")
	}
	failing.Store(false)
	_ = db.Close()
	s := open(t, "d", &Options{Storage: &storage.Options{FS: mem}})
	if s.PrimaryKey() == r.primary || s.PrimaryKey() == ([32]byte{}) {
		t.Error("the primary key that was not stored is used")
	}
}
