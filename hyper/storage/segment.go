package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sort"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Large blocks lie in segment files, each block behind a record header:
//
//	core:u24 index:u32 length:u28 check:u12
//
// all little endian; of core and index there are the lower bits, check are those
// of the CRC-32C of the 11 bytes that the others fill, with zeros for itself. A
// batch writes its records in one go at the end of a segment. Pointers to
// blocks, with the CRC-32C of their bytes, are in the database; the headers serve
// to find out what a segment holds when it is rewritten. They are hints: what
// they say is compared with the database.
const (
	recordHeaderLen = 12
	recordCoreMask  = 1<<24 - 1

	segmentHeaderLen = 32
	segmentMagic     = "cloudpal segment"

	// largeBlock is the size from which a block goes to a segment.
	largeBlock = 2048
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type recordHeader struct {
	core   coreID // its lower 24 bits
	index  uint32 // the lower bits of the block's
	length uint32
}

func (h *recordHeader) append(b []byte) []byte {
	at := len(b)
	b = append(b, byte(h.core), byte(h.core>>8), byte(h.core>>16))
	b = binary.LittleEndian.AppendUint32(b, h.index)
	b = binary.LittleEndian.AppendUint32(b, h.length)
	check := crc32.Checksum(b[at:], castagnoli)
	b[len(b)-1] |= byte(check>>8) << 4
	return append(b, byte(check))
}

func (h *recordHeader) decode(b []byte) bool {
	if len(b) < recordHeaderLen {
		return false
	}
	h.core = coreID(b[0]) | coreID(b[1])<<8 | coreID(b[2])<<16
	h.index = binary.LittleEndian.Uint32(b[3:])
	h.length = binary.LittleEndian.Uint32(b[7:]) & MaxBlock
	var again [recordHeaderLen]byte
	return h.length >= largeBlock && bytes.Equal(h.append(again[:0]), b[:recordHeaderLen])
}

// segment is one open file.
type segment struct {
	id   uint32
	file vfs.File

	// Guarded by segments.mu.
	end      int64 // next free offset
	dead     int64 // bytes reclaimed or known to hold nothing
	durable  int64 // watermark on record: below it everything was synced
	inFlight map[int64]struct{}
	sealed   bool
	punched  bool // its file system punches holes

	// refs keeps the file open for readers; guarded by segments.mu.
	refs    int
	removed bool

	syncMu  sync.Mutex
	written uint64 // count of finished writes; guarded by segments.mu
	synced  uint64 // value of written covered by a finished sync; guarded by segments.mu
}

// segments owns all segment files of a store.
type segments struct {
	fs   vfs.FS
	dir  string
	size int64

	mu     sync.RWMutex
	m      map[uint32]*segment
	active *segment
	next   uint32
	wrote  int64 // bytes written since the last checkpoint of watermarks

	dirty   map[*segment]struct{} // with writes that no sync has covered
	writing map[mark]struct{}     // writes under way
}

func segmentName(id uint32) string { return fmt.Sprintf("%08x.seg", id) }

func (s *segments) path(id uint32) string { return s.fs.PathJoin(s.dir, segmentName(id)) }

// diskCategory names our writes in the statistics of the file system.
const diskCategory vfs.DiskWriteCategory = "cloudpal-segment"

// create makes the next segment and its directory entry durable. s.mu must be
// held.
func (s *segments) createLocked() error {
	id := s.next
	f, err := s.fs.OpenReadWrite(s.path(id), diskCategory)
	if err != nil {
		return fmt.Errorf("create segment %d: %w", id, err)
	}
	head := make([]byte, segmentHeaderLen)
	copy(head, segmentMagic)
	binary.LittleEndian.PutUint32(head[16:], 1)
	binary.LittleEndian.PutUint32(head[20:], id)
	_, err = f.WriteAt(head, 0)
	if err == nil {
		err = syncDir(s.fs, s.dir)
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("create segment %d: %w", id, err)
	}
	s.next++
	if s.active != nil {
		s.active.sealed = true
	}
	s.active = &segment{id: id, file: f, end: segmentHeaderLen, durable: segmentHeaderLen, inFlight: map[int64]struct{}{}, written: 1}
	s.m[id] = s.active
	s.dirty[s.active] = struct{}{}
	return nil
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}

// reserve allocates n adjacent bytes.
func (s *segments) reserve(n int64) (*segment, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active == nil || s.active.end+n > s.size && s.active.end > segmentHeaderLen {
		if err := s.createLocked(); err != nil {
			return nil, 0, err
		}
	}
	g := s.active
	off := g.end
	g.end += n
	g.inFlight[off] = struct{}{}
	s.writing[mark{g.id, off}] = struct{}{}
	s.wrote += n
	return g, off, nil
}

// finish ends what reserve began: the batch was applied, or will not be.
func (s *segments) finish(g *segment, off int64) {
	s.mu.Lock()
	delete(g.inFlight, off)
	s.mu.Unlock()
}

// write stores chunks one after the other at off.
func (s *segments) write(g *segment, chunks [][]byte, off int64) error {
	err := writeVector(g.file, chunks, off)
	s.mu.Lock()
	g.written++ // also after an error: some of it may be there
	s.dirty[g] = struct{}{}
	delete(s.writing, mark{g.id, off})
	s.mu.Unlock()
	return err
}

// writeEach is writeVector for file systems without vectored writes.
func writeEach(f vfs.File, chunks [][]byte, off int64) error {
	for _, c := range chunks {
		n, err := f.WriteAt(c, off)
		if err == nil && n < len(c) {
			err = io.ErrShortWrite
		}
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

// acquire returns an open segment, to be given back with release.
func (s *segments) acquire(id uint32) *segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.m[id]
	if g != nil {
		g.refs++
	}
	return g
}

func (s *segments) release(g *segment) {
	s.mu.Lock()
	g.refs--
	last := g.removed && g.refs == 0
	s.mu.Unlock()
	if last {
		g.file.Close()
	}
}

// read appends the block at p to dst after checking it.
func (s *segments) read(p pointer, dst []byte) ([]byte, error) {
	if p.length > MaxBlock {
		return dst, fmt.Errorf("%w: block of %d bytes", ErrCorrupt, p.length)
	}
	g := s.acquire(p.seg)
	if g == nil {
		return dst, fmt.Errorf("%w: segment %d is missing", ErrCorrupt, p.seg)
	}
	defer s.release(g)
	// The length is not trusted before the file is known to be that long.
	if int64(p.length) > s.size {
		if fi, err := g.file.Stat(); err != nil || p.end() > fi.Size() {
			return dst, fmt.Errorf("%w: segment %d ends before offset %d", ErrCorrupt, p.seg, p.end())
		}
	}
	at := len(dst)
	dst = grow(dst, int(p.length))
	if n, err := g.file.ReadAt(dst[at:], p.off); n < int(p.length) {
		if err == nil || errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: segment %d ends at offset %d", ErrCorrupt, p.seg, p.off+int64(n))
		}
		return dst[:at], fmt.Errorf("read segment %d: %w", p.seg, err)
	}
	if crc32.Checksum(dst[at:], castagnoli) != p.crc {
		return dst[:at], fmt.Errorf("%w: checksum of segment %d at offset %d", ErrCorrupt, p.seg, p.off)
	}
	return dst, nil
}

func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b[:len(b)+n]
	}
	c := make([]byte, len(b)+n)
	copy(c, b)
	return c
}

// sync makes everything written so far durable. Concurrent callers share one
// fsync.
func (s *segments) sync() error {
	s.mu.RLock()
	var dirty []*segment
	for g := range s.dirty {
		dirty = append(dirty, g)
	}
	s.mu.RUnlock()
	sort.Slice(dirty, func(i, j int) bool { return dirty[i].id < dirty[j].id })
	for _, g := range dirty {
		if err := s.syncOne(g); err != nil {
			return fmt.Errorf("sync segment %d: %w", g.id, err)
		}
	}
	return nil
}

func (s *segments) syncOne(g *segment) error {
	s.mu.RLock()
	want := g.written
	s.mu.RUnlock()
	g.syncMu.Lock()
	defer g.syncMu.Unlock()
	s.mu.RLock()
	done, removed, covers := g.synced >= want, g.removed, g.written
	s.mu.RUnlock()
	if done || removed {
		return nil
	}
	if err := g.file.SyncData(); err != nil {
		return err
	}
	s.mu.Lock()
	g.synced = max(g.synced, covers)
	if g.synced == g.written {
		delete(s.dirty, g)
	}
	s.mu.Unlock()
	return nil
}

// written returns the position before which all writes are finished: a sync
// that begins afterwards covers them.
func (s *segments) written() mark {
	s.mu.RLock()
	defer s.mu.RUnlock()
	m := mark{seg: s.next}
	if s.active != nil {
		m = mark{s.active.id, s.active.end}
	}
	for w := range s.writing {
		if w.less(m) {
			m = w
		}
	}
	return m
}

// lowWater returns the offset below which all writes are finished. s.mu must be
// held.
func (g *segment) lowWater() int64 {
	w := g.end
	for off := range g.inFlight {
		w = min(w, off)
	}
	return w
}

// close closes all files.
func (s *segments) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, g := range s.m {
		errs = append(errs, g.file.Close())
	}
	clear(s.m)
	s.active = nil
	return errors.Join(errs...)
}
