package spacefs

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/filetree"
	"github.com/tradle/cloudpal/internal/foldersync"
	"github.com/tradle/cloudpal/internal/space"
)

func randomText(seed byte, n int) string {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return string(b)
}

// held returns how many blocks of all blob logs are held.
func (m *machine) held() (blocks uint64) {
	m.t.Helper()
	devices, err := m.space.Devices(m.t.Context())
	must(m.t, err)
	for _, d := range devices {
		core := m.space.BlobLog()
		if d.Blobs != core.Key() {
			b, _, err := m.logs.get(m.t.Context(), d.Blobs)
			must(m.t, err)
			core = b.Core()
		}
		for from, to := range core.Held(0, core.Length()) {
			blocks += to - from
		}
	}
	return blocks
}

func TestEmptiedTrashIsGoneFromAllDevices(t *testing.T) {
	a, b, _ := pair(t, Options{Policy: Policy{Everything: true}})
	big := randomText(1, 3<<20)
	a.put(map[string]string{"gone.bin": big, "stays.bin": big[:2<<20] + "another end", "small": "small"})
	eventually(t, "b has all", func() bool {
		h := b.survey()
		return h.Files == 3 && h.Lacks[0] == (Lack{})
	})
	before := b.held()
	b.del("gone.bin")
	agree(t, a, b)
	must(t, a.EmptyTrash(t.Context(), ""))
	for _, m := range []*machine{a, b} {
		eventually(t, "blocks are freed", func() bool { return m.held() < before })
	}
	agree(t, a, b)
	for _, m := range []*machine{a, b} {
		if got := m.read("stays.bin"); got != big[:2<<20]+"another end" {
			t.Errorf("%s: %d bytes of what stays", m.name, len(got))
		}
		h := m.survey()
		if h.Lacks[0] != (Lack{}) || h.Contents != 2 || h.Trash != 0 {
			t.Errorf("%s: %+v", m.name, h)
		}
	}
}

func TestTrashIsEmptiedAfterSomeDays(t *testing.T) {
	a, b, _ := pair(t, Options{})
	a.put(map[string]string{"a": "a", "b": "b"})
	a.del("a")
	agree(t, a, b)
	if n := b.count().Trash; n != 1 {
		t.Fatalf("%d in the trash", n)
	}
	must(t, a.SetDays(t.Context(), SettingTrashDays, 0))
	eventually(t, "the trash is empty", func() bool { return a.count().Trash == 0 && b.count().Trash == 0 })
	if err := a.SetDays(t.Context(), "other", 1); err == nil {
		t.Error("another setting is accepted")
	}
}

func TestSnapshotKeepsWhatIsDeleted(t *testing.T) {
	a, b, _ := pair(t, Options{})
	a.put(map[string]string{"a": "first"})
	must(t, a.TakeSnapshot(t.Context(), "v1"))
	if err := a.TakeSnapshot(t.Context(), "v1"); err == nil {
		t.Error("a name is given twice")
	}
	agree(t, a, b)
	b.del("a")
	agree(t, a, b)
	must(t, b.EmptyTrash(t.Context(), ""))
	agree(t, a, b)
	v, release := b.View()
	s, ok, err := v.Snapshot(t.Context(), "v1")
	release()
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if n, left, err := b.Restore(t.Context(), "", s.Seq); n != 1 || len(left) > 0 || err != nil {
		t.Fatalf("%d changes, %v, %v", n, left, err)
	}
	agree(t, a, b)
	if got := a.read("a"); got != "first" {
		t.Errorf("restored %q", got)
	}
	must(t, a.DropSnapshot(t.Context(), "v1"))
}

func TestPolicySaysWhatIsFetched(t *testing.T) {
	a, b, _ := pair(t, Options{})
	a.put(map[string]string{"docs/a": "in docs", "docs2/b": "not in docs", "c": "neither"})
	agree(t, a, b)
	if h := b.survey(); h.Lacks[0].Contents != 3 || h.Lacks[0].Bytes != h.Size || h.Contents != 3 || h.Present != 3 {
		t.Fatalf("%+v", h)
	}
	must(t, b.SetPolicy(Policy{Paths: []string{"docs"}}))
	has := func(n uint64) func() bool {
		return func() bool {
			h := b.survey()
			return h.Contents-h.Lacks[0].Contents == n
		}
	}
	eventually(t, "docs are here", has(1))
	a.put(map[string]string{"docs/new": "more in docs", "more": "not in docs either"})
	eventually(t, "the new one is here too", has(2))
	a.put(map[string]string{"docs/new": "again"})
	eventually(t, "the newest is here too", has(3))
	must(t, b.SetPolicy(Policy{Everything: true}))
	if got, err := decodePolicy(Policy{Paths: []string{"a", ""}}.encode()); err != nil || got.Everything || len(got.Paths) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	eventually(t, "all is here", func() bool {
		h, err := b.Survey(t.Context(), b.Here(t.Context()))
		must(t, err)
		return h.Lacks[0] == (Lack{}) && h.Contents == 6
	})
}

func TestContentThatIsHeldIsNotStoredAgain(t *testing.T) {
	a, b, _ := pair(t, Options{})
	text := randomText(2, 200_000)
	a.put(map[string]string{"a": text})
	length := a.space.BlobLog().Length()
	a.put(map[string]string{"copy": text})
	if n := a.space.BlobLog().Length() - length; n != 0 {
		t.Errorf("%d blocks for a copy", n)
	}
	agree(t, a, b)
	// b does not hold it: its copy is a second place.
	b.put(map[string]string{"b": text})
	if n := b.space.BlobLog().Length(); n == 0 {
		t.Error("nothing is stored")
	}
	agree(t, a, b)
	v, release := a.View()
	defer release()
	list, err := v.Contents(t.Context(), hypercrypto.Sum([]byte(text)))
	if err != nil || len(list) != 2 {
		t.Errorf("%d places, %v", len(list), err)
	}
}

func TestWrongPlacesAreNotUsedTwice(t *testing.T) {
	a, b, _ := pair(t, Options{})
	right, wrong := randomText(3, 1000), randomText(4, 1000)
	a.put(map[string]string{"wrong": wrong})
	e, _ := a.lookup("wrong")
	// A liar says that the place of one content is that of another.
	e.Hash = hypercrypto.Sum([]byte(right))
	_, err := a.Commit(t.Context(), []filetree.Change{{Action: filetree.Put, Path: "right", Item: e.Item}})
	must(t, err)
	foreign, err := a.Files.store.Write(t.Context(), strings.NewReader("x"), nil)
	must(t, err)
	foreign.Ref.Parts[0].Log = hypercrypto.Key{7}
	_, err = a.Commit(t.Context(), []filetree.Change{{Action: filetree.Put, Path: "foreign", Item: filetree.Item{
		Kind: filetree.File, Size: 1, Hash: foreign.Ref.Hash, Content: foreign.Ref.Encode(),
	}}})
	must(t, err)
	agree(t, a, b)
	bad, _ := b.lookup("right")
	r, err := b.Open(patient(t), bad)
	must(t, err)
	if _, err := r.WriteTo(&strings.Builder{}); err == nil {
		t.Error("wrong bytes are read")
	}
	r.Close()
	other, _ := b.lookup("foreign")
	if _, err := b.Open(patient(t), other); err == nil {
		t.Error("a log that is not of the space is read")
	}
	// Neither b, which knows, nor a, which does not, takes the liar's word.
	a.put(map[string]string{"ada's": right})
	b.put(map[string]string{"mine": right})
	agree(t, a, b)
	if got := b.read("right"); got != right {
		t.Error("the right place is not used")
	}
	for _, m := range []*machine{a, b} {
		m.survey()
	}
	// What is freed is found in spite of references that lead nowhere.
	a.put(map[string]string{"more": randomText(9, 300_000)})
	before := a.held()
	a.del("more")
	must(t, a.EmptyTrash(t.Context(), "more"))
	eventually(t, "it is freed", func() bool { return a.held() < before })
}

func TestViewersReadOnly(t *testing.T) {
	a, b := newMachine(t, "ada", Options{}), newMachine(t, "vic", Options{})
	a.create()
	a.put(map[string]string{"a": "for all"})
	connect(t, a, b)
	a.join(b, space.Viewer)
	eventually(t, "the viewer sees it", func() bool { return len(b.files()) == 1 })
	if got := b.read("a"); got != "for all" {
		t.Errorf("reads %q", got)
	}
	if _, err := b.Commit(t.Context(), []filetree.Change{{Action: filetree.Put, Path: "b", Item: filetree.Item{Kind: filetree.Dir}}}); err == nil {
		t.Error("a viewer writes")
	}
}

// A folder tries again and again to send what nobody may send. That takes no space.
func TestWhatAViewerAddsIsNotStored(t *testing.T) {
	a, b := newMachine(t, "ada", Options{}), newMachine(t, "vic", Options{})
	a.create()
	connect(t, a, b)
	a.join(b, space.Viewer)
	b.sync()
	b.write("small", "mine")
	b.write("larger", randomText(7, 1<<20))
	eventually(t, "it is told", func() bool { return strings.Contains(b.folder.Status().Reason, "may not write") })
	if n := b.space.BlobLog().ByteLength(); n > 0 {
		t.Errorf("%d bytes are stored", n)
	}
	_, err := b.Store(t.Context(), strings.NewReader("mine"), nil)
	if fault.KindOf(err) != fault.Permission {
		t.Errorf("got %v", err)
	}
}

func TestUnwrittenContentIsSwept(t *testing.T) {
	a := newMachine(t, "ada", Options{})
	a.create()
	a.put(map[string]string{"a": randomText(5, 100_000)})
	before := a.held()
	_, err := a.Store(t.Context(), strings.NewReader(randomText(6, 3<<20)), nil)
	must(t, err)
	a.stop()
	a.start()
	s, err := a.library.Get("home")
	must(t, err)
	a.use(s)
	eventually(t, "it is swept", func() bool { return a.held() == before })
	if got := a.read("a"); got != randomText(5, 100_000) {
		t.Error("what was written is damaged")
	}
}

// A folder may have written what came after the position that it noted, and what is gone
// before it looks again.
func TestTheDifferenceHasWhatCameAndWent(t *testing.T) {
	a := newMachine(t, "ada", Options{})
	a.create()
	a.put(map[string]string{"stays": "1"})
	tree := a.Tree()
	defer tree.Close()
	at, err := tree.Position(t.Context())
	must(t, err)
	a.put(map[string]string{"comes": "2"})
	a.del("comes")
	var paths []string
	for d, err := range tree.Diff(t.Context(), at) {
		must(t, err)
		if d.Exists {
			t.Errorf("%s is there", d.Path)
		}
		paths = append(paths, d.Path)
	}
	if !slices.Equal(paths, []string{"comes"}) {
		t.Errorf("the difference has %q", paths)
	}
}

func TestPositionsSurviveAnotherOrder(t *testing.T) {
	a, b, cut := pair(t, Options{})
	a.put(map[string]string{"base": "base", "both": "base"})
	agree(t, a, b)
	cut()
	ta, tb := a.Tree(), b.Tree()
	defer ta.Close()
	defer tb.Close()
	type view struct {
		m     *machine
		tree  *Tree
		at    []byte
		files map[string]filetree.Version
	}
	look := func(m *machine, tree *Tree) view {
		at, err := tree.Position(t.Context())
		must(t, err)
		files := map[string]filetree.Version{}
		for e, err := range tree.Walk(t.Context()) {
			must(t, err)
			files[e.Path] = e.Version
		}
		return view{m, tree, at, files}
	}
	for i := range 5 {
		a.put(map[string]string{"both": strings.Repeat("a", i+1), "a" + strings.Repeat("x", i): "a"})
		b.put(map[string]string{"both": strings.Repeat("b", i+1), "b" + strings.Repeat("x", i): "b"})
	}
	views := []view{look(a, ta), look(b, tb)}
	connect(t, a, b)
	agree(t, a, b)
	for _, old := range views {
		for d, err := range old.tree.Diff(t.Context(), old.at) {
			must(t, err)
			if delete(old.files, d.Path); d.Exists {
				old.files[d.Path] = d.Entry.Version
			}
		}
		now := look(old.m, old.tree)
		for path, version := range now.files {
			if old.files[path] != version {
				t.Errorf("%s: the difference lacks %q", old.m.name, path)
			}
			delete(old.files, path)
		}
		for path := range old.files {
			t.Errorf("%s: the difference does not say that %q is gone", old.m.name, path)
		}
	}
	if _, err := decodePosition([]byte{9}); err == nil {
		t.Error("nonsense is a position")
	}
	for _, err := range ta.Diff(t.Context(), []byte("nonsense")) {
		if err == nil {
			t.Error("nonsense has differences")
		}
	}
	for d, err := range ta.Diff(t.Context(), look(a, ta).at) {
		t.Errorf("nothing differs, but %+v, %v", d, err)
	}
	p := position{seq: 1 << 40, touched: []string{}}
	for _, err := range ta.Diff(t.Context(), p.encode()) {
		if err == nil {
			break
		}
		if !strings.Contains(err.Error(), foldersync.ErrPosition.Error()) {
			t.Error(err)
		}
	}
}

func FuzzDecodePosition(f *testing.F) {
	f.Add((&position{seq: 9, final: 3, touched: []string{"a", "b/c"}}).encode())
	f.Add((&position{}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodePosition(b)
		if err != nil {
			return
		}
		q, err := decodePosition(p.encode())
		if err != nil || q.seq != p.seq || q.final != p.final || len(q.touched) != len(p.touched) {
			t.Fatalf("%+v becomes %+v, %v", p, q, err)
		}
	})
}
