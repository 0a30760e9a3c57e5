package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	walrecord "github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/wal"
)

// logTail decides, when the store is opened, how much of the write-ahead log
// counts. After a power failure the log may tell of blocks whose bytes never
// reached their segment. Everything from the first such commit on is ignored: a
// prefix of the commits is left, each of them whole.
//
// That loses nothing that was acknowledged as durable, since the segments are
// synced before that, and nothing that lies in tables, since the segments are
// synced before a table is. A block that is missing although the log says that
// its segment was synced is another matter: there the disk has failed, and going
// back behind what was promised would be worse than a hole. It is left to
// [DB.recoverSegments].
type logTail struct {
	fs             vfs.FS
	logDir, segDir string

	once  sync.Once
	err   error
	limit map[string]int64 // how much of which log counts; absent: all
}

// mark is a position up to which segments were synced, as durable commits note
// it in the log.
type mark struct {
	seg uint32
	off int64
}

func (m mark) less(o mark) bool { return m.seg < o.seg || m.seg == o.seg && m.off < o.off }

// markTag distinguishes marks from other data in the log.
const markTag = 'm'

func (m mark) append(b []byte) []byte {
	return appendUint48(binary.BigEndian.AppendUint32(append(b, markTag), m.seg), uint64(m.off))
}

func decodeMark(b []byte) (m mark, ok bool) {
	if len(b) != 11 || b[0] != markTag {
		return m, false
	}
	return mark{binary.BigEndian.Uint32(b[1:]), int64(uint48(b[5:]))}, true
}

// open returns the part of a log that counts. The database opens what it needs,
// oldest first.
func (t *logTail) open(f vfs.File, name string) (vfs.File, error) {
	base := t.fs.PathBase(name)
	t.once.Do(func() { t.err = t.scan(base) })
	if t.err != nil {
		return nil, errors.Join(fmt.Errorf("storage: read log: %w", t.err), f.Close())
	}
	if n, ok := t.limit[base]; ok {
		return &cutFile{File: f, left: n}, nil
	}
	return f, nil
}

// cutFile is a file that ends early.
type cutFile struct {
	vfs.File
	left int64
}

func (f *cutFile) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, io.EOF
	}
	n, err := f.File.Read(p[:min(int64(len(p)), f.left)])
	f.left -= int64(n)
	return n, err
}

// logged is a large block that a commit in the log put into a segment.
type logged struct {
	ptr    pointer
	log    int // which log, and where in it the commit begins
	commit int64
}

// scan reads the logs from first on.
func (t *logTail) scan(first string) error {
	names, err := t.fs.List(t.logDir)
	if err != nil {
		return err
	}
	from, _, ok := wal.ParseLogFilename(first)
	if !ok {
		return fmt.Errorf("%w: log name %q", ErrCorrupt, first)
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		n, _, ok := wal.ParseLogFilename(name)
		return !ok || n < from
	})
	slices.SortFunc(names, compareLogs)
	var blocks []logged
	var synced mark
	for i, name := range names {
		if err := t.read(name, i, &blocks, &synced); err != nil {
			return err
		}
	}
	lost, err := t.firstLost(blocks, synced)
	if err != nil || lost == nil {
		return err
	}
	t.limit = map[string]int64{names[lost.log]: lost.commit}
	for _, name := range names[lost.log+1:] {
		t.limit[name] = 0
	}
	return nil
}

// read collects the large blocks and the highest mark of one log. A log that
// ends in garbage just ends there; it is the database that judges it.
func (t *logTail) read(name string, log int, blocks *[]logged, synced *mark) error {
	f, err := t.fs.Open(t.fs.PathJoin(t.logDir, name))
	if err != nil {
		return err
	}
	defer f.Close()
	n, _, _ := wal.ParseLogFilename(name)
	r := recordReader(walrecord.NewReader, f, uint64(n))
	var buf bytes.Buffer
	for {
		commit := r.Offset()
		rec, err := r.Next()
		if err == nil {
			buf.Reset()
			_, err = buf.ReadFrom(rec)
		}
		if errors.Is(err, io.EOF) || walrecord.IsInvalidRecord(err) {
			return nil
		}
		if err != nil {
			return err
		}
		for ops := batchrepr.Read(buf.Bytes()); ; {
			kind, key, value, ok, err := ops.Next()
			if err != nil || !ok {
				break
			}
			switch kind {
			case pebble.InternalKeyKindLogData:
				if m, ok := decodeMark(key); ok && synced.less(m) {
					*synced = m
				}
			case pebble.InternalKeyKindSet:
				if len(key) == 11 && key[0] == tabTail {
					err := eachTail(key, value, func(b tailBlock) error {
						*blocks = append(*blocks, logged{b.ptr, log, commit})
						return nil
					})
					if err != nil {
						return err
					}
				}
			}
		}
	}
}

// recordReader names Pebble's log number type, which it does not export.
func recordReader[N ~uint64](open func(io.Reader, N) *walrecord.Reader, r io.Reader, n uint64) *walrecord.Reader {
	return open(r, N(n))
}

// firstLost returns the first block that never reached the disk, nil if there is
// none, after syncing those before it: they may be in the memory of the
// operating system only, and the database is about to make its part durable.
func (t *logTail) firstLost(blocks []logged, synced mark) (*logged, error) {
	open := map[uint32]vfs.File{}
	defer func() {
		for _, f := range open {
			f.Close()
		}
	}()
	var lost *logged
	var buf []byte
	for i := range blocks {
		b := &blocks[i]
		if (mark{b.ptr.seg, b.ptr.off}).less(synced) {
			continue
		}
		f, ok := open[b.ptr.seg]
		if !ok {
			var err error
			f, err = t.fs.Open(t.fs.PathJoin(t.segDir, segmentName(b.ptr.seg)))
			if errors.Is(err, os.ErrNotExist) {
				lost = b
				break
			}
			if err != nil {
				return nil, err
			}
			open[b.ptr.seg] = f
		}
		ok, err := b.intact(f, &buf)
		if err != nil {
			return nil, err
		}
		if !ok {
			lost = b
			break
		}
	}
	for _, f := range open {
		if err := f.Sync(); err != nil {
			return nil, err
		}
	}
	return lost, nil
}

// intact tells whether the block's bytes are in the segment.
func (b *logged) intact(f vfs.File, buf *[]byte) (bool, error) {
	fi, err := f.Stat()
	if err != nil || b.ptr.end() > fi.Size() {
		return false, err
	}
	*buf = grow((*buf)[:0], int(b.ptr.length))
	if _, err := f.ReadAt(*buf, b.ptr.off); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return crc32.Checksum(*buf, castagnoli) == b.ptr.crc, nil
}
