package spacefs

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/filetree"
)

// logOf returns the log of contents of another device, once that is known.
func (m *machine) logOf(key hypercrypto.Key) (log *hyperblobs.Blobs) {
	m.t.Helper()
	eventually(m.t, "the other device is known", func() bool {
		var err error
		log, _, err = m.logs.get(m.t.Context(), key)
		return err == nil
	})
	return log
}

// The content of a large file is here before the change that names it. What no change
// names is cleared in the end.
func TestContentsComeWhileOthersStoreThem(t *testing.T) {
	a, b, _ := pair(t, Options{})
	key := a.space.BlobLog().Key()
	log := b.logOf(key)
	w := follow(log)
	defer w.stop()

	data := make([]byte, 6<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data) // never fails
	stored, err := a.Store(t.Context(), strings.NewReader(string(data)), nil)
	must(t, err)
	dropped, err := a.Store(t.Context(), strings.NewReader("never in a change"), nil)
	must(t, err)
	has := func(r hyperblobs.ID) bool { return log.Core().Has(r.BlockOffset, r.End()) }
	kept, lost := stored.Ref.Parts[0].Blob, dropped.Ref.Parts[0].Blob
	eventually(t, "both contents are here", func() bool { return has(kept) && has(lost) })

	ref := stored.Ref
	_, err = a.Commit(t.Context(), []filetree.Change{{Action: filetree.Put, Path: "big", Item: filetree.Item{
		Kind: filetree.File, Mode: 0o644, Modified: time.Unix(1_700_000_000, 0), Size: ref.Size, Hash: ref.Hash, Content: ref.Encode()}}})
	must(t, err)
	eventually(t, "the file is here", func() bool { _, ok := b.lookup("big"); return ok })

	followed := map[hypercrypto.Key]*follower{key: w}
	must(t, b.clearUnnamed(context.Background(), followed, time.Now()))
	if !has(lost) {
		t.Error("what may still be named was cleared")
	}
	must(t, b.clearUnnamed(context.Background(), followed, time.Now().Add(2*followTime)))
	if has(lost) || !has(kept) {
		t.Errorf("after a while: named %v, not named %v", has(kept), has(lost))
	}
}

// A device that starts again while another one is storing a large file keeps what it has of
// that: the change that names it comes later.
func TestARestartKeepsWhatNoChangeNamesYet(t *testing.T) {
	a, b, cut := pair(t, Options{})
	key := a.space.BlobLog().Key()
	log := b.logOf(key)
	w := follow(log)
	stored, err := a.Store(t.Context(), strings.NewReader(randomText(9, 1<<20)), nil)
	must(t, err)
	id := stored.Ref.Parts[0].Blob
	eventually(t, "the content is here", func() bool { return log.Core().Has(id.BlockOffset, id.End()) })
	w.stop()
	cut()
	b.stop()
	b.start()
	s, err := b.library.Get("home")
	must(t, err)
	b.use(s)
	eventually(t, "it was looked for what is not needed", func() bool { return len(b.Released()) > 0 })
	if log = b.logOf(key); !log.Core().Has(id.BlockOffset, id.End()) {
		t.Error("it is gone")
	}
}
