package hypercore

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/storage"
)

func TestDownloadOfListedBlocks(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, w, testBlocks(0, 200)...)
	r := reader(t, w, nil)
	want := []uint64{150, 3, 77, 199, 78}
	early := r.Download(Range{Blocks: want}) // before anything is known
	stop := join(t, w, r)
	defer stop()
	if err := early.Wait(timeout(t)); err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	var held []uint64
	for start, end := range r.Held(0, 200) {
		for ; start < end; start++ {
			held = append(held, start)
		}
	}
	if !slices.Equal(held, want) {
		t.Errorf("holds %v, not %v", held, want)
	}
	if err := r.Download(Range{Blocks: want}).Wait(timeout(t)); err != nil {
		t.Errorf("download of what is held: %v", err)
	}
	// One that cannot end is withdrawn.
	d := r.Download(Range{Blocks: []uint64{1000}})
	d.Close()
	if err := d.Wait(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("closed download: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Download(Range{Start: 500, End: 600}).Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("wait that was given up: %v", err)
	}
}

func TestClearedBlocksAreFetchedAgainByADownload(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, w, testBlocks(0, 100)...)
	r := reader(t, w, nil)
	stop := join(t, w, r)
	defer stop()
	d := r.Download(Range{Live: true})
	defer d.Close()
	if err := r.Download(Range{}).Wait(timeout(t)); err != nil {
		t.Fatal(err)
	}
	if err := r.Clear(t.Context(), 10, 60); err != nil {
		t.Fatal(err)
	}
	if err := r.Download(Range{Start: 5, End: 90}).Wait(timeout(t)); err != nil {
		t.Fatal(err)
	}
	// A block is held a moment before it is counted.
	wait(t, "the count", func() bool { return r.Info().BlocksDownloaded >= 150 })
	if n := r.Info().BlocksDownloaded; n != 150 {
		t.Errorf("%d blocks downloaded", n)
	}
	report, err := r.Audit(t.Context(), nil)
	if err != nil || !report.OK() || report.Blocks != 100 {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestBlocksAreReadInOrderFromPeers(t *testing.T) {
	key := hypercrypto.EncryptionKey{5}
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1), EncryptionKey: &key})
	mustAppend(t, w, testBlocks(0, 300)...)
	r := reader(t, w, &Options{EncryptionKey: &key})
	stop := join(t, w, r)
	defer stop()
	i := 50
	for b, err := range r.Blocks(timeout(t), 50, 260) {
		if err != nil || !bytes.Equal(b, testBlock(i)) {
			t.Fatalf("block %d: %q, %v", i, b, err)
		}
		i++
	}
	if i != 260 {
		t.Errorf("ended at %d", i)
	}
	buf, err := r.AppendLocal([]byte("> "), 51)
	if err != nil || !bytes.Equal(buf, append([]byte("> "), testBlock(51)...)) {
		t.Errorf("%q, %v", buf, err)
	}
	for _, err := range r.Blocks(t.Context(), 0, 1) {
		if err != nil {
			t.Error(err)
		}
		break
	}
	// Another key is told apart from damage.
	wrong := hypercrypto.EncryptionKey{6}
	s, err := r.Session(&SessionOptions{EncryptionKey: &wrong})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if b, err := s.GetLocal(51); err == nil && bytes.Equal(b, testBlock(51)) {
		t.Error("decrypted with another key")
	}
}

func TestSeekFetchesWhatItNeeds(t *testing.T) {
	for name, key := range map[string]*hypercrypto.EncryptionKey{"plain": nil, "encrypted": {7}} {
		t.Run(name, func(t *testing.T) {
			w := openCore(t, openDB(t), &Options{KeyPair: seeded(1), EncryptionKey: key})
			mustAppend(t, w, testBlocks(0, 500)...)
			r := reader(t, w, &Options{EncryptionKey: key})
			stop := join(t, w, r)
			defer stop()
			settled(t, r, w)
			offset := uint64(0)
			for i := range 500 {
				if size := uint64(len(testBlock(i))); i%71 == 3 {
					if _, _, err := r.SeekLocal(offset + size - 1); !errors.Is(err, ErrNotAvailable) {
						t.Errorf("found without asking anybody: %v", err)
					}
					block, within, err := r.Seek(timeout(t), offset+size-1)
					if err != nil || block != uint64(i) || within != size-1 {
						t.Fatalf("byte %d is in block %d at %d, not %d at %d; %v", offset+size-1, block, within, i, size-1, err)
					}
				}
				offset += uint64(len(testBlock(i)))
			}
			if block, within, err := r.Seek(timeout(t), offset); err != nil || block != 500 || within != 0 {
				t.Errorf("end: %d, %d, %v", block, within, err)
			}
			if held := r.Info().Held; held > 30 {
				t.Errorf("%d blocks were fetched for it", held)
			}
		})
	}
}

func TestChannelIsClosedWhenNobodyWantsData(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, w, testBlocks(0, 5)...)
	r := reader(t, w, nil)
	stop := join(t, w, r)
	defer stop()
	settled(t, r, w)
	gone, back := make(chan struct{}, 8), make(chan struct{}, 8)
	r.Events(func(e Event) {
		switch e.Type {
		case EventPeerRemove:
			gone <- struct{}{}
		case EventPeerAdd:
			back <- struct{}{}
		}
	})
	r.SetActive(false)
	w.SetActive(false)
	if r.Downloading() || w.Downloading() {
		t.Error("somebody still wants data")
	}
	select {
	case <-gone:
	case <-timeout(t).Done():
		t.Fatal("still open")
	}
}

func TestAuditFindsDamageAndRepairFetchesAgain(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, w, testBlocks(0, 50)...)
	r := reader(t, w, nil)
	stop := join(t, w, r)
	defer stop()
	if err := r.Download(Range{}).Wait(timeout(t)); err != nil {
		t.Fatal(err)
	}
	damage := func(c *Core, blocks ...uint64) {
		b := c.log.db.NewBatch()
		defer b.Close()
		for _, i := range blocks {
			b.PutBlock(c.log.st, i, []byte("not what was signed"))
		}
		if err := b.Commit(storage.Durable); err != nil {
			t.Fatal(err)
		}
	}
	damage(r, 7, 30)
	report, err := r.Audit(t.Context(), nil)
	if err != nil || report.OK() || !slices.Equal(report.Damaged, []uint64{7, 30}) || report.Dropped != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	var progress uint64
	report, err = r.Audit(t.Context(), &AuditOptions{Repair: true, Progress: func(done, total uint64) { progress = done }})
	if err != nil || report.Dropped != 2 || progress != 50 {
		t.Fatalf("%+v, %v, %d checked", report, err, progress)
	}
	if b, err := r.Get(timeout(t), 7); err != nil || !bytes.Equal(b, testBlock(7)) {
		t.Errorf("%q, %v", b, err)
	}
	if err := r.Download(Range{}).Wait(timeout(t)); err != nil {
		t.Fatal(err)
	}
	if report, err = r.Audit(t.Context(), nil); err != nil || !report.OK() {
		t.Errorf("after the repair: %+v, %v", report, err)
	}

	damage(w, 40)
	if report, err = w.Audit(t.Context(), &AuditOptions{Repair: true}); err != nil || report.DamagedN != 1 || report.CutTo != nil || w.Length() != 50 {
		t.Errorf("a writer is cut without being asked: %+v, %v", report, err)
	}
	if report, err = w.Audit(t.Context(), &AuditOptions{Repair: true, CutDamaged: true}); err != nil || report.CutTo == nil || *report.CutTo != 40 {
		t.Fatalf("%+v, %v", report, err)
	}
	if w.Length() != 40 || w.Fork() != 1 {
		t.Errorf("%d blocks of fork %d", w.Length(), w.Fork())
	}
	settled(t, r, w)
}

// tightFS is a file system that can claim to be full.
type tightFS struct {
	vfs.FS
	full atomic.Bool
}

func (f *tightFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	u := vfs.DiskUsage{AvailBytes: 1 << 30, TotalBytes: 1 << 40}
	if f.full.Load() {
		u.AvailBytes = 1
	}
	return u, nil
}

func TestFullDiskFailsTheReadsThatWait(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	for i := range 100 {
		mustAppend(t, w, bytes.Repeat([]byte{byte(i)}, 1<<20))
	}
	fs := &tightFS{FS: vfs.NewMem()}
	db, err := storage.Open("store", &storage.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	key := w.Key()
	r := openCore(t, db, &Options{Key: &key})
	stop := join(t, w, r)
	defer stop()
	settled(t, r, w)
	fs.full.Store(true)
	if err := r.Download(Range{}).Wait(timeout(t)); !errors.Is(err, storage.ErrFull) {
		t.Fatalf("download to a full disk: %v", err)
	}
	if held := r.Info().Held; held == 100 {
		t.Fatal("the disk was not full")
	}
	_, err = r.Get(timeout(t), r.ContiguousLength())
	if !errors.Is(err, storage.ErrFull) {
		t.Errorf("read from a full disk: %v", err)
	}
	fs.full.Store(false)
	if err := r.Download(Range{}).Wait(timeout(t)); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestReadersThatWaitForOneBlockGetTheirOwn(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, w, testBlocks(0, 10)...)
	r := reader(t, w, nil)
	got := make(chan error, 3)
	for range cap(got) {
		go func() {
			b, err := r.Get(timeout(t), 7)
			if err == nil && !bytes.Equal(b, testBlock(7)) {
				err = errors.New("another block")
			}
			clear(b)
			_ = append(b, make([]byte, 100)...)
			got <- err
		}()
	}
	stop := join(t, w, r)
	defer stop()
	for range cap(got) {
		if err := <-got; err != nil {
			t.Error(err)
		}
	}
	if b, err := r.GetLocal(7); err != nil || !bytes.Equal(b, testBlock(7)) {
		t.Errorf("%q, %v", b, err)
	}
}
