package spacefs

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperdrive"
)

// drive returns the files of a drive, as a stranger with its key reads them.
func (m *machine) drive(p Published) map[string]string {
	m.t.Helper()
	d, err := hyperdrive.Open(m.t.Context(), m.store.Session(), &hyperdrive.Options{Key: &p.Key})
	must(m.t, err)
	defer d.Close()
	list := map[string]string{}
	for e, err := range d.List(m.t.Context(), "/") {
		must(m.t, err)
		// A newer state may have taken the place of this one, and nobody has what it had.
		ctx, cancel := context.WithTimeout(m.t.Context(), 5*time.Second)
		b, err := d.Get(ctx, e.Path)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return nil
		}
		must(m.t, err)
		list[e.Path] = string(b)
	}
	return list
}

func (m *machine) wantDrive(p Published, want map[string]string) {
	m.t.Helper()
	eventually(m.t, "the drive is up to date", func() bool {
		got := m.drive(p)
		for name, text := range want {
			if got[name] != text {
				return false
			}
		}
		return len(got) == len(want)
	})
}

func TestPublishedFolderIsKeptUpToDate(t *testing.T) {
	a, b, _ := pair(t, Options{})
	a.put(map[string]string{"site/index.html": "<h1>", "site/deep/page": "page", "site2": "no", "private": "secret"})
	agree(t, a, b)
	p, err := b.Publish(t.Context(), "site") // the contents come from a
	must(t, err)
	b.wantDrive(p, map[string]string{"/index.html": "<h1>", "/deep/page": "page"})
	a.put(map[string]string{"site/index.html": "<h2>", "site/new": "new"})
	a.del("site/deep/page")
	b.wantDrive(p, map[string]string{"/index.html": "<h2>", "/new": "new"})
	a.wantDrive(p, map[string]string{"/index.html": "<h2>", "/new": "new"})

	one, err := b.Publish(t.Context(), "private")
	must(t, err)
	b.wantDrive(one, map[string]string{"/private": "secret"})
	if again, err := b.Publish(t.Context(), "site"); again.Key != p.Key || err != nil {
		t.Errorf("published again under another key: %v", err)
	}
	if _, err := b.Publish(t.Context(), "nothing"); err == nil {
		t.Error("nothing is published")
	}
	must(t, b.Unpublish(t.Context(), "private"))
	b.stop()
	b.start()
	s, err := b.library.Get("home")
	must(t, err)
	b.use(s)
	if list := b.Published(); len(list) != 1 || list[0].Key != p.Key {
		t.Errorf("after a restart %+v", list)
	}
	b.put(map[string]string{"site/late": "late"})
	b.wantDrive(p, map[string]string{"/index.html": "<h2>", "/new": "new", "/late": "late"})
}

// An update writes what changed and nothing else: contents would pile up otherwise, and
// be sent again.
func TestPublishedFolderWritesOnlyWhatChanged(t *testing.T) {
	a, b, _ := pair(t, Options{})
	a.put(map[string]string{"site/kept": "kept", "site/changed": "1"})
	agree(t, a, b)
	p, err := b.Publish(t.Context(), "site")
	must(t, err)
	b.wantDrive(p, map[string]string{"/kept": "kept", "/changed": "1"})
	seq := func(name string) uint64 {
		d, err := hyperdrive.Open(t.Context(), b.store.Session(), &hyperdrive.Options{Key: &p.Key})
		must(t, err)
		defer d.Close()
		e, err := d.Entry(t.Context(), name)
		must(t, err)
		return e.Seq
	}
	kept, changed := seq("/kept"), seq("/changed")
	a.put(map[string]string{"site/changed": "2"})
	b.wantDrive(p, map[string]string{"/kept": "kept", "/changed": "2"})
	if now := seq("/kept"); now != kept {
		t.Errorf("a file that nobody changed was written again, as entry %d after %d", now, kept)
	}
	if now := seq("/changed"); now == changed {
		t.Error("the change was not written")
	}
}

func FuzzDecodePublished(f *testing.F) {
	f.Add((&published{list: []*publication{{path: "a/b", id: "x"}, {}}}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := decodePublished(b)
		if err != nil {
			return
		}
		again, err := decodePublished((&published{list: list}).encode())
		if err != nil || len(again) != len(list) {
			t.Fatalf("%d folders become %d, %v", len(list), len(again), err)
		}
	})
}

func TestUnpublishDoesNotWaitForContentsThatNobodyHas(t *testing.T) {
	a, b, cut := pair(t, Options{})
	a.put(map[string]string{"site/1": "one", "site/2": "two", "site/3": "three", "site/4": "four"})
	agree(t, a, b)
	cut()
	_, err := b.Publish(t.Context(), "site")
	must(t, err)
	waits := 0
	eventually(t, "the contents are waited for", func() bool {
		if waits++; b.publishing.TryLock() {
			b.publishing.Unlock()
			waits = 0
		}
		return waits > 20
	})
	ended := make(chan error, 1)
	go func() { ended <- b.Unpublish(context.Background(), "site") }()
	select {
	case err := <-ended:
		must(t, err)
	case <-time.After(publishWait - 10*time.Second):
		t.Fatal("it waits")
	}
	if list := b.Published(); len(list) != 0 {
		t.Errorf("published are %+v", list)
	}
}
