package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hyperdrive"
)

// mend stores damaged blocks of an own drive's contents again, from the files on
// disk that they came from, as far as these still have the same content. It
// returns how many.
func (l *Library) mend(ctx context.Context, r Record, damaged []uint64) (mended uint64, err error) {
	h, release, err := l.acquire(ctx, r)
	if err != nil {
		return 0, err
	}
	defer release()
	blobs, err := h.drive.Blobs(ctx)
	if err != nil {
		return 0, err
	}
	m := &mender{ctx: ctx, record: r, blobs: blobs, wanted: make(map[uint64]bool, len(damaged))}
	for _, i := range damaged {
		m.wanted[i] = true
	}
	for e, err := range h.drive.List(ctx, "") {
		if err != nil {
			if e != nil && errors.Is(err, hyperdrive.ErrEntry) {
				continue
			}
			return m.mended, err
		}
		if e.Blob == nil || len(m.wanted) == 0 {
			continue
		}
		if err := m.file(e); err != nil {
			return m.mended, err
		}
	}
	return m.mended, nil
}

// mender is one run of mend.
type mender struct {
	ctx    context.Context
	record Record
	blobs  *hyperblobs.Blobs
	wanted map[uint64]bool
	mended uint64
}

// file mends the blocks of one file.
func (m *mender) file(e *hyperdrive.Entry) error {
	pieces, err := m.pieces(*e.Blob)
	if err != nil {
		return nil // its map is damaged itself, or it is none of ours
	}
	var f *os.File
	offset := int64(0)
	for _, p := range pieces {
		at := offset
		offset += int64(p.Length)
		if !m.wanted[p.Index] {
			continue
		}
		if f == nil {
			if f, err = os.Open(m.path(e.Path)); err != nil {
				return nil // gone, or not ours to read
			}
			defer f.Close()
		}
		content := make([]byte, p.Length)
		if _, err := f.ReadAt(content, at); err != nil {
			if errors.Is(err, io.EOF) {
				return nil // shorter by now
			}
			return fmt.Errorf("read %s: %w", f.Name(), err)
		}
		ok, err := m.blobs.Core().Mend(m.ctx, p.Index, content)
		if err != nil {
			return err
		}
		if ok {
			m.mended++
			delete(m.wanted, p.Index)
		}
	}
	return nil
}

// path returns where a path of the drive is on disk.
func (m *mender) path(p string) string {
	if isFile(m.record.Path) {
		return m.record.Path
	}
	return filepath.Join(m.record.Path, filepath.FromSlash(p))
}

// pieces returns the blocks of a content, in order.
func (m *mender) pieces(id hyperblobs.ID) ([]hyperblobs.Piece, error) {
	if id.BlockMap {
		return m.blobs.Map(m.ctx, id)
	}
	core := m.blobs.Core()
	var pieces []hyperblobs.Piece
	start, err := core.ByteOffset(id.BlockOffset)
	if err != nil {
		return nil, err
	}
	for i := id.BlockOffset; i < id.End(); i++ {
		end, err := byteEnd(core, i)
		if err != nil {
			return nil, err
		}
		pieces = append(pieces, hyperblobs.Piece{Index: i, Length: end - start})
		start = end
	}
	return pieces, nil
}

// byteEnd returns how many bytes lie up to the end of a block.
func byteEnd(core *hypercore.Core, i uint64) (uint64, error) {
	if i+1 == core.Length() {
		return core.ByteLength(), nil
	}
	return core.ByteOffset(i + 1)
}
