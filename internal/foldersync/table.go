package foldersync

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"sort"
	"sync/atomic"
)

// table is a file of records in order that does not change any more:
//
//	blocks of up to blockRecords records, each block with a checksum
//	footer: where the blocks are and how they begin, and notes
//	u64 place of the footer, u32 checksum of the footer, "cpindex1"
//
// A record begins with the number of bytes that its path has in common with the one
// before it. In memory is only the footer.
type table struct {
	f      *os.File
	refs   atomic.Int32
	count  int
	blocks []block
	notes  map[string][]byte
}

type block struct {
	first  string
	offset int64
	length int
}

const (
	blockRecords = 64
	tableMagic   = "cpindex1"
	trailerSize  = 8 + 4 + len(tableMagic)
	maxBlock     = 16 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errTable = errors.New("damaged table")

// openTable reads the footer of a table. The table has one reference.
func openTable(name string) (*table, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	t := &table{f: f}
	t.refs.Store(1)
	if err := t.readFooter(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
	}
	return t, nil
}

func (t *table) readFooter() error {
	info, err := t.f.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	var trailer [trailerSize]byte
	if size < int64(trailerSize) {
		return errTable
	}
	if _, err := t.f.ReadAt(trailer[:], size-int64(trailerSize)); err != nil {
		return err
	}
	at := binary.LittleEndian.Uint64(trailer[:])
	end := uint64(size) - uint64(trailerSize)
	if string(trailer[12:]) != tableMagic || at > end || end-at > math.MaxInt32 {
		return errTable
	}
	footer := make([]byte, end-at)
	if _, err := t.f.ReadAt(footer, int64(at)); err != nil {
		return err
	}
	if crc32.Checksum(footer, castagnoli) != binary.LittleEndian.Uint32(trailer[8:]) {
		return errTable
	}
	return t.decodeFooter(footer, at)
}

func (t *table) decodeFooter(footer []byte, end uint64) error {
	d := decoder{b: footer}
	t.count = int(d.uvarint() & math.MaxInt32)
	blocks := d.uvarint()
	var offset uint64
	for range blocks {
		length := d.uvarint()
		first := d.text()
		if d.err != nil || length < 4 || length > maxBlock || length > end-offset || first == "" {
			return errTable
		}
		t.blocks = append(t.blocks, block{first: first, offset: int64(offset), length: int(length)})
		offset += length
	}
	notes := d.uvarint()
	t.notes = make(map[string][]byte)
	for range notes {
		k := d.text()
		v := d.bytes(d.uvarint())
		if d.err != nil {
			return errTable
		}
		t.notes[k] = append([]byte(nil), v...)
	}
	if d.err != nil {
		return errTable
	}
	return nil
}

func (t *table) release() {
	if t != nil && t.refs.Add(-1) == 0 {
		_ = t.f.Close() // only read from
	}
}

// block reads the records of a block.
func (t *table) block(i int) ([]record, error) {
	b := make([]byte, t.blocks[i].length)
	if _, err := t.f.ReadAt(b, t.blocks[i].offset); err != nil {
		return nil, fmt.Errorf("read the index: %w", err)
	}
	return decodeBlock(b)
}

func decodeBlock(b []byte) ([]record, error) {
	if len(b) < 4 || crc32.Checksum(b[4:], castagnoli) != binary.LittleEndian.Uint32(b) {
		return nil, errTable
	}
	records := make([]record, 0, blockRecords)
	path := ""
	for d := (decoder{b: b[4:]}); len(d.b) > 0; {
		shared := d.uvarint()
		rest := d.bytes(d.uvarint())
		if d.err != nil || shared > uint64(len(path)) {
			return nil, errTable
		}
		path = path[:shared] + string(rest)
		r := d.record(path)
		if d.err != nil {
			return nil, errTable
		}
		records = append(records, r)
	}
	return records, nil
}

// find returns the block that has path, if any has: the last that begins at or
// before it. It may be -1.
func (t *table) find(path string) int {
	return sort.Search(len(t.blocks), func(i int) bool { return compare(t.blocks[i].first, path) > 0 }) - 1
}

// writeTable writes a table and makes it durable. next returns the records in order.
func writeTable(name string, notes map[string][]byte, next func() (record, bool, error)) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 256<<10)
	var index, body []byte
	var offset, blocks, count uint64
	var first, last string
	n := 0
	flush := func() error {
		if n == 0 {
			return nil
		}
		var sum [4]byte
		binary.LittleEndian.PutUint32(sum[:], crc32.Checksum(body, castagnoli))
		index = binary.AppendUvarint(index, uint64(len(body)+4))
		index = appendText(index, first)
		offset += uint64(len(body) + 4)
		blocks++
		_, _ = w.Write(sum[:]) // the writer keeps its first error
		_, err := w.Write(body)
		body, n, last = body[:0], 0, ""
		return err
	}
	for {
		r, ok, err := next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if n == 0 {
			first = r.path
		}
		shared := commonPrefix(last, r.path)
		body = binary.AppendUvarint(body, uint64(shared))
		body = appendText(body, r.path[shared:])
		body = r.append(body)
		last = r.path
		count++
		if n++; n == blockRecords {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	footer := binary.AppendUvarint(nil, count)
	footer = binary.AppendUvarint(footer, blocks)
	footer = append(footer, index...)
	footer = binary.AppendUvarint(footer, uint64(len(notes)))
	for k, v := range notes {
		footer = appendText(footer, k)
		footer = appendText(footer, string(v))
	}
	trailer := binary.LittleEndian.AppendUint64(nil, offset)
	trailer = binary.LittleEndian.AppendUint32(trailer, crc32.Checksum(footer, castagnoli))
	_, _ = w.Write(footer)
	_, _ = w.Write(trailer)
	_, _ = io.WriteString(w, tableMagic)
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Sync()
}

func commonPrefix(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
