package content

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercore"
)

// fragmented writes large content with edits by both devices until its parts are in
// a table.
func fragmented(t *testing.T, a, b *device) (Ref, []byte) {
	t.Helper()
	const edits = 50
	data, rng := random(6, 8<<20), rand.New(rand.NewPCG(6, 0))
	w := a.write(data, nil)
	var stored uint64
	for i := range edits {
		d := a
		if i%2 == 1 {
			d = b
			if err := b.Download(t.Context(), []Ref{w.Ref}, nil); err != nil {
				t.Fatal(err)
			}
		} else if i > 0 {
			if err := a.Download(t.Context(), []Ref{w.Ref}, nil); err != nil {
				t.Fatal(err)
			}
		}
		data[rng.IntN(len(data))] ^= 0x55
		w = d.write(data, &w.Ref)
		stored += w.Stored
	}
	if stored > edits*averageEdit {
		t.Fatalf("%d edits store %d bytes", edits, stored)
	}
	if w.Ref.Table == nil {
		t.Fatalf("%d parts are no table", len(w.Ref.Parts))
	}
	return w.Ref, data
}

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestContentComesFromPeers(t *testing.T) {
	s := newSpace()
	a, b, c := s.device(t), s.device(t), s.device(t)
	connect(t, a, b)
	connect(t, b, c)
	ref, data := fragmented(t, a, b)
	if err := b.Download(patient(t), []Ref{ref}, nil); err != nil {
		t.Fatal(err)
	}

	if _, err := c.OpenLocal(t.Context(), ref); !errors.Is(err, hypercore.ErrNotAvailable) {
		t.Errorf("reading what is not here: %v", err)
	}
	small := a.write([]byte("small"), nil).Ref
	if r, err := c.OpenLocal(t.Context(), small); err != nil {
		t.Error(err)
	} else if _, err := r.Read(make([]byte, 5)); !errors.Is(err, hypercore.ErrNotAvailable) {
		t.Errorf("reading what is not here: %v", err)
	}
	if held, total, err := c.Has(t.Context(), ref); held != 0 || total != ref.Size || err != nil {
		t.Errorf("%d of %d bytes are held, %v", held, total, err)
	}
	r, err := c.Open(patient(t), ref)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := make([]byte, 1000)
	if _, err := r.ReadAt(p, 5<<20); err != nil || !bytes.Equal(p, data[5<<20:5<<20+1000]) {
		t.Fatalf("range: %v", err)
	}
	if held, _, err := c.Has(t.Context(), ref); held == 0 || held > 1<<20 || err != nil {
		t.Errorf("after a range %d bytes are held, %v", held, err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("read %d bytes: %v", len(got), err)
	}
	if held, _, err := c.Has(t.Context(), ref); held != ref.Size || err != nil {
		t.Errorf("after all %d of %d bytes are held, %v", held, ref.Size, err)
	}
	c.want(ref, data)
}

func TestDownloadFetchesManyContents(t *testing.T) {
	s := newSpace()
	a, b := s.device(t), s.device(t)
	batch, err := a.Batch()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		batch.Add(random(uint64(i), 100+i))
	}
	refs, err := batch.Flush(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	large := random(7, 5<<20)
	refs = append(refs[:400], a.write(large, nil).Ref, Empty())
	connect(t, a, b)
	var mu sync.Mutex
	var last Progress
	if err := b.Download(patient(t), refs, func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		if p.Blocks > last.Blocks {
			last = p
		}
	}); err != nil {
		t.Fatal(err)
	}
	if last.Blocks != last.Total || last.Total < 440 || last.Bytes < 4<<20 {
		t.Errorf("progress ends with %+v", last)
	}
	for i, ref := range refs {
		if held, total, err := b.Has(t.Context(), ref); held != total || err != nil {
			t.Errorf("content %d: %d of %d held, %v", i, held, total, err)
		}
	}
	blobs, _, err := b.Store.open(t.Context(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if blobs.Core().Has(400, 401) {
		t.Error("what was not asked for came too")
	}
	if err := b.Download(t.Context(), refs, func(Progress) { t.Error("a block comes twice") }); err != nil {
		t.Fatal(err)
	}
}

func TestDownloadEndsWithItsContext(t *testing.T) {
	s := newSpace()
	a, b := s.device(t), s.device(t)
	ref := a.write(random(8, 100), nil).Ref
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := b.Download(ctx, []Ref{ref}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a peer: %v", err)
	}
	foreign := Ref{Size: 1, Parts: []Part{part(77, 0, 1, 0, 1)}}
	if err := b.Download(t.Context(), []Ref{foreign}, nil); !errors.Is(err, errNotOfSpace) {
		t.Errorf("a log that is not of the space: %v", err)
	}
}

func TestWrongBytesAreNotTakenForContent(t *testing.T) {
	_, all := local(t, 1)
	d := all[0]
	data := random(9, 3<<20)
	ref := d.write(data, nil).Ref
	ref.Hash[0] ^= 1
	r, err := d.Open(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var buf bytes.Buffer
	if _, err := r.WriteTo(&buf); !errors.Is(err, ErrMismatch) || buf.Len() >= len(data) {
		t.Errorf("WriteTo gives %d bytes and %v", buf.Len(), err)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, len(data))); !errors.Is(err, ErrMismatch) {
		t.Errorf("Read gives %v", err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, ErrMismatch) {
		t.Errorf("after the end: %v", err)
	}
}

func TestReferencesThatLogsContradict(t *testing.T) {
	_, all := local(t, 1)
	d := all[0]
	good := d.write(random(10, 3<<20), nil).Ref.Parts[0]
	for name, change := range map[string]func(*hyperblobs.ID){
		"fewer blocks":    func(id *hyperblobs.ID) { id.BlockLength-- },
		"fewer bytes":     func(id *hyperblobs.ID) { id.ByteLength-- },
		"more bytes":      func(id *hyperblobs.ID) { id.ByteLength++ },
		"beyond the end":  func(id *hyperblobs.ID) { id.BlockLength++; id.ByteLength += 10 },
		"far beyond":      func(id *hyperblobs.ID) { id.BlockOffset = 1 << 50 },
		"other bytes":     func(id *hyperblobs.ID) { id.BlockOffset++; id.BlockLength-- },
		"not where it is": func(id *hyperblobs.ID) { id.ByteOffset += 1 << 40 },
	} {
		p := good
		change(&p.Blob)
		ref := Ref{Size: p.Size(), Parts: []Part{p}}
		r, err := d.Open(t.Context(), ref)
		if err != nil {
			t.Errorf("%s: open %v", name, err)
			continue
		}
		if n, err := io.Copy(io.Discard, r); err == nil {
			t.Errorf("%s: read %d bytes", name, n)
		}
		if _, _, err := d.Has(t.Context(), ref); err != nil {
			t.Errorf("%s: has %v", name, err)
		}
		r.Close()
		d.write(random(11, 2<<20), &ref) // as a version before it is no use, and no harm
	}
	table := good
	table.Blob.BlockLength, table.Blob.ByteLength = 1, 1000
	if _, err := d.Open(t.Context(), Ref{Size: 5, Table: &table}); !errors.Is(err, hyperblobs.ErrInvalid) && !errors.Is(err, ErrInvalid) {
		t.Errorf("table that is none: %v", err)
	}
}

func TestClearFreesWhatNobodyNeeds(t *testing.T) {
	s := newSpace()
	a, b := s.device(t), s.device(t)
	connect(t, a, b)
	old, _ := fragmented(t, a, b)
	data := random(12, 8<<20)
	v1 := a.write(data, nil).Ref
	if err := b.Download(patient(t), []Ref{v1, old}, nil); err != nil {
		t.Fatal(err)
	}
	data[4<<20] ^= 1
	v2 := b.write(data, &v1).Ref
	if err := a.Download(patient(t), []Ref{v2}, nil); err != nil {
		t.Fatal(err)
	}
	for _, d := range []*device{a, b} {
		var keep Blocks
		if err := keep.Add(t.Context(), d.Store, v2); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time there is nothing to do
			if err := d.Clear(t.Context(), []Ref{old, v1, Empty()}, &keep); err != nil {
				t.Fatal(err)
			}
		}
		if held, _, err := d.Has(t.Context(), old); held != 0 || err != nil {
			t.Errorf("%d bytes of cleared content are held, %v", held, err)
		}
		if held, _, err := d.Has(t.Context(), v1); held == 0 || held == v1.Size || err != nil {
			t.Errorf("%d of %d bytes of the old version are held, %v", held, v1.Size, err)
		}
		if held, total, err := d.Has(t.Context(), v2); held != total || err != nil {
			t.Errorf("%d of %d bytes of the new version are held, %v", held, total, err)
		}
		d.want(v2, data)
		if err := d.Clear(t.Context(), []Ref{v2}, nil); err != nil {
			t.Fatal(err)
		}
		if held, _, err := d.Has(t.Context(), v2); held != 0 || err != nil {
			t.Errorf("%d bytes are held in the end, %v", held, err)
		}
	}
}
