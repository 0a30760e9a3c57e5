package foldersync

import (
	"context"
	"errors"
	"maps"
	"os"
	"testing"

	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/filetree"
)

func (m *memTree) Void(_ context.Context, at map[filetree.Version]string) (map[filetree.Version]bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	void := map[filetree.Version]bool{}
	for v := range at {
		if m.voided[v] {
			void[v] = true
		}
	}
	return void, nil
}

func (f *fork) Void(ctx context.Context, at map[filetree.Version]string) (map[filetree.Version]bool, error) {
	return filetree.NewView(f.state).Void(ctx, at)
}

// annul makes it as if what is at some paths had never been written: before counts.
func (m *memTree) annul(before map[string]filetree.Entry, paths ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.voided = map[filetree.Version]bool{}
	for _, p := range paths {
		m.voided[m.entries[p].Version] = true
		if e, ok := before[p]; ok {
			m.set(e)
		} else {
			m.del(p)
		}
	}
	m.fail = func(op, _ string) error {
		if op == "commit" {
			return fault.New(fault.Permission, "this device may not write")
		}
		return nil
	}
}

func TestChangesThatTurnOutNotToCountStayOnDisk(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, nil)
	tree.put("edited", "one")
	tree.put("of others", "one")
	must(t, b.Once(t.Context()))
	before := maps.Clone(tree.entries)
	for _, name := range []string{"edited", "new", "dir/new", "same"} {
		b.write(name, "mine")
	}
	must(t, os.Mkdir(b.path("empty"), 0o755))
	must(t, b.Once(t.Context()))
	if !maps.Equal(tree.texts(), map[string]string{"edited": "mine", "of others": "one", "new": "mine", "dir/": "", "dir/new": "mine", "same": "mine", "empty/": ""}) {
		t.Fatalf("the tree has %v", tree.texts())
	}
	tree.annul(before, "edited", "new", "dir/new", "dir", "same")
	for range 2 {
		if err := b.pull(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := b.push(t.Context(), []string{""}); fault.KindOf(err) != fault.Permission {
			t.Fatalf("pushed: %v", err)
		}
		want := map[string]string{"edited": "mine", "of others": "one", "new": "mine", "dir/": "", "dir/new": "mine", "same": "mine", "empty/": ""}
		if got := b.texts(); !maps.Equal(got, want) {
			t.Fatalf("on disk is %v, want %v", got, want)
		}
	}
	// What counts elsewhere is not asked about: it goes.
	tree.fail = nil
	tree.delete("of others")
	if err := b.Once(t.Context()); err != nil && !errors.Is(err, errLocal) {
		t.Fatal(err)
	}
	if _, err := os.Lstat(b.path("of others")); !errors.Is(err, os.ErrNotExist) {
		t.Error("a file that was deleted by others is kept")
	}
	// And who may write again sends what was kept.
	got := tree.texts()
	if got["new"] != "mine" || got["dir/new"] != "mine" || got["same"] != "mine" || got["edited"] != "one" || got["edited (conflict 1)"] != "mine" {
		t.Errorf("the tree has %v", got)
	}
}

func TestWhatCannotBeSentIsShownUntilItCan(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, nil)
	must(t, b.Once(t.Context()))
	tree.annul(nil)
	b.write("mine", "mine")
	ctx := t.Context()
	if err := b.pass(ctx, partPush, func() error { return b.push(ctx, []string{"mine"}) }); fault.KindOf(err) != fault.Permission {
		t.Fatalf("pushed: %v", err)
	}
	tree.fail = nil
	tree.put("theirs", "theirs")
	must(t, b.pass(ctx, partPull, func() error { return b.pull(ctx) }))
	if s := b.Status(); s.State != StateIdle || s.Reason != "this device may not write" {
		t.Errorf("after a pull it is %s, %q", s.State, s.Reason)
	}
	must(t, b.Once(ctx))
	if s := b.Status(); s.State != StateIdle || s.Reason != "" {
		t.Errorf("after a push it is %s, %q", s.State, s.Reason)
	}
}

// What comes together with the rules that keep it out is not sent, even if it is looked
// at first.
func TestRulesThatHaveJustComeCount(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, nil)
	must(t, b.Once(t.Context()))
	b.write(IgnoreFile, "private/\n")
	b.write("private/key", "secret")
	b.write("public", "for all")
	if err := b.push(t.Context(), []string{"private", "public"}); err != nil {
		t.Fatal(err)
	}
	if got := tree.texts(); len(got) != 0 && got["private/key"] != "" {
		t.Fatalf("the tree has %v", got)
	}
	must(t, b.Once(t.Context()))
	if got, want := tree.texts(), map[string]string{IgnoreFile: "private/\n", "public": "for all"}; !maps.Equal(got, want) {
		t.Errorf("the tree has %v, want %v", got, want)
	}
}

func TestWhatCannotBeReadIsNotAwaited(t *testing.T) {
	b := newBox(t, newMemTree(), nil)
	must(t, b.Once(t.Context()))
	b.dirty.after("quiet soon", quietTime)
	b.unreadable(edit{found: found{path: "secret"}}, fault.New(fault.Permission, "not for you"))
	if s := b.Status(); s.Waiting != 1 || len(s.Problems) != 1 {
		t.Errorf("%d are awaited, %d are problems", s.Waiting, len(s.Problems))
	}
}
