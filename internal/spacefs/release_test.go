package spacefs

import (
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/content"
	"github.com/tradle/cloudpal/internal/filetree"
)

// interrupted is a content in whose midst something else is stored.
type interrupted struct {
	io.Reader
	at int
	do func()
}

func (r *interrupted) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if before := r.at; before > 0 {
		if r.at -= n; r.at <= 0 {
			r.do()
		}
	}
	return n, err
}

func TestWhatIsReleasedIsAllThatWasDeleted(t *testing.T) {
	a := newMachine(t, "ada", Options{})
	a.create()
	var between []content.Ref
	r := &interrupted{strings.NewReader(randomText(2, 24<<20)), 12 << 20, func() {
		var err error
		data := []byte(randomText(3, 100_000))
		between, err = a.StoreBatch(t.Context(), []Small{{data, hypercrypto.Sum(data)}})
		must(t, err)
	}}
	w, err := a.Store(t.Context(), r, nil)
	must(t, err)
	small := between[0]
	var changes []filetree.Change
	for name, ref := range map[string]content.Ref{"large": w.Ref, "small": small} {
		changes = append(changes, filetree.Change{Action: filetree.Put, Path: name, Item: filetree.Item{
			Kind: filetree.File, Size: ref.Size, Hash: ref.Hash, Content: ref.Encode(),
		}})
	}
	_, err = a.Commit(t.Context(), changes)
	must(t, err)
	if len(w.Ref.Parts) < 2 {
		t.Fatalf("the content is in one part: %+v", w.Ref.Parts)
	}
	a.del("large")
	must(t, a.EmptyTrash(t.Context(), ""))
	length, at := a.space.BlobLog().Length(), small.Parts[0].Blob
	want := []hyperblobs.Run{{Start: 0, End: at.BlockOffset}, {Start: at.End(), End: length}}
	eventually(t, "it is released", func() bool {
		list := a.Released()
		return len(list) == 1 && list[0].Own && list[0].Log == a.space.BlobLog().Key() && slices.Equal(list[0].Runs, want)
	})
	if n := a.held(); n != at.BlockLength {
		t.Errorf("%d blocks are held", n)
	}
}

func TestWhatAFolderDeletedIsGoneFromAllDevices(t *testing.T) {
	a, b, _ := pair(t, Options{})
	must(t, b.SetPolicy(Policy{Everything: true}))
	a.sync()
	// One after the other, so that the small one is not stored in the midst of the large one.
	for n, size := range []int{100_000, 16 << 20} {
		a.write([]string{"small", "large"}[n], randomText(byte(n), size))
		eventually(t, "the file is here", func() bool { return len(b.files()) == n+1 && b.held() == a.held() })
	}
	before := a.held()
	must(t, os.Remove(a.path("large")))
	eventually(t, "it is deleted", func() bool { return len(b.files()) == 1 })
	must(t, a.SetDays(t.Context(), SettingTrashDays, 0))
	for _, m := range []*machine{a, b} {
		eventually(t, m.name+" has only what is left", func() bool { return m.held() == 2 && m.count().Trash == 0 })
	}
	eventually(t, "all of it is released", func() bool {
		list := a.Released()
		return len(list) == 1 && len(list[0].Runs) == 1 && list[0].Runs[0].End-list[0].Runs[0].Start == before-2
	})
	// It does not come back, though b keeps everything.
	a.write("more", "more")
	eventually(t, "b has the next one", func() bool { return b.held() == 3 })
}

func TestOthersSpeakForDevicesThatAreGone(t *testing.T) {
	a, b, _ := pair(t, Options{Policy: Policy{Everything: true}})
	b.put(map[string]string{"gone": randomText(1, 300_000), "stays": randomText(2, 300_000)})
	agree(t, a, b)
	eventually(t, "a has all", func() bool { return a.held() == b.held() })
	length := b.space.BlobLog().Length()
	stays, _ := a.lookup("stays")
	ref, err := content.Decode(stays.Hash, stays.Content)
	must(t, err)
	members, err := a.space.Members(t.Context())
	must(t, err)
	for _, m := range members {
		if !m.Self {
			must(t, a.space.Remove(t.Context(), m.Person))
		}
	}
	a.del("gone")
	must(t, a.EmptyTrash(t.Context(), ""))
	kept := ref.Parts[0].Blob
	want := []hyperblobs.Run{{Start: 0, End: kept.BlockOffset}, {Start: kept.End(), End: length}}
	want = slices.DeleteFunc(want, func(r hyperblobs.Run) bool { return r.Start == r.End })
	eventually(t, "the log of the removed device is released, but for what stays", func() bool {
		list := a.Released()
		return len(list) == 2 && list[0].Own && !list[1].Own && list[1].Log == b.space.BlobLog().Key() && slices.Equal(list[1].Runs, want)
	})
	if got := a.read("stays"); got != randomText(2, 300_000) {
		t.Error("what stays is damaged")
	}
}

func TestWhatWasReleasedWhileADeviceWasAwayGoesWhenItStarts(t *testing.T) {
	a, b, cut := pair(t, Options{Policy: Policy{Everything: true}})
	a.put(map[string]string{"gone": randomText(1, 300_000), "stays": "stays"})
	agree(t, a, b)
	eventually(t, "b has all", func() bool { return a.held() == b.held() })
	cut()
	b.stop()
	a.del("gone")
	must(t, a.EmptyTrash(t.Context(), ""))
	eventually(t, "a has only what is left", func() bool { return a.held() == 1 })
	b.start()
	s, err := b.library.Get("home")
	must(t, err)
	b.use(s)
	connect(t, a, b)
	eventually(t, "b has only what is left", func() bool { return b.held() == 1 })
}
