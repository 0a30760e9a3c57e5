package foldersync

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"strings"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/filetree"
)

// record is what the index knows of one path: the last state in which disk and tree
// agreed.
type record struct {
	path string // in the tree
	// local is the last part of the name on disk where it is not that of path.
	local string
	// version is what the tree had. A folder that the tree does not list by itself,
	// or does not have any more while it cannot be removed here, has none.
	version filetree.Version
	kind    filetree.Kind
	stat    stat
	// hash is the content's, or that of the target of a symlink.
	hash hypercrypto.Hash
	// doubt says that the content has to be read even if stat agrees.
	doubt bool
	// unsure is doubt after a power failure: what was written may be cut off.
	unsure bool
	// own says that the version was committed here.
	own bool
}

// stat is what the system says of a file without opening it.
type stat struct {
	size         uint64
	mtime, ctime int64 // nanoseconds since 1970
	ino          uint64
	mode         fs.FileMode // permission bits
}

// same tells whether what is on disk is certainly what the record is about.
func (r *record) same(kind filetree.Kind, s stat) bool {
	if r.kind != kind || r.stat.mode != s.mode && kind != filetree.Symlink {
		return false
	}
	return kind == filetree.Dir || !r.doubt && !r.unsure && r.stat == s
}

var errRecord = errors.New("damaged record")

// Bits of the first byte of an encoded record, above the kind.
const (
	kindBits   = 3
	bitDoubt   = 1 << 2
	bitLocal   = 1 << 3
	bitVersion = 1 << 4
	bitHash    = 1 << 5
	bitUnsure  = 1 << 6
	bitOwn     = 1 << 7
)

// append encodes all but the path.
func (r *record) append(b []byte) []byte {
	head := byte(r.kind) & kindBits
	if r.doubt {
		head |= bitDoubt
	}
	if r.unsure {
		head |= bitUnsure
	}
	if r.own {
		head |= bitOwn
	}
	if r.local != "" {
		head |= bitLocal
	}
	if r.version != (filetree.Version{}) {
		head |= bitVersion
	}
	if r.hash != (hypercrypto.Hash{}) {
		head |= bitHash
	}
	b = append(b, head)
	b = binary.AppendUvarint(b, uint64(r.stat.mode))
	b = binary.AppendUvarint(b, r.stat.size)
	b = binary.AppendVarint(b, r.stat.mtime)
	b = binary.AppendVarint(b, r.stat.ctime)
	b = binary.AppendUvarint(b, r.stat.ino)
	if head&bitVersion != 0 {
		b = append(b, r.version[:]...)
	}
	if head&bitHash != 0 {
		b = append(b, r.hash[:]...)
	}
	if head&bitLocal != 0 {
		b = appendText(b, r.local)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// decoder reads what append functions wrote. After the first error it returns
// zeros.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail() { d.b, d.err = nil, errRecord }

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) text() string { return string(d.bytes(d.uvarint())) }

func (d *decoder) byte() byte {
	if v := d.bytes(1); len(v) == 1 {
		return v[0]
	}
	return 0
}

// record decodes all but the path.
func (d *decoder) record(path string) record {
	head := d.byte()
	r := record{path: path, kind: filetree.Kind(head & kindBits), doubt: head&bitDoubt != 0, unsure: head&bitUnsure != 0, own: head&bitOwn != 0}
	r.stat.mode = fs.FileMode(d.uvarint())
	r.stat.size = d.uvarint()
	r.stat.mtime, r.stat.ctime = d.varint(), d.varint()
	r.stat.ino = d.uvarint()
	if head&bitVersion != 0 {
		copy(r.version[:], d.bytes(uint64(len(r.version))))
	}
	if head&bitHash != 0 {
		copy(r.hash[:], d.bytes(uint64(len(r.hash))))
	}
	if head&bitLocal != 0 {
		r.local = d.text()
	}
	if d.err == nil && (r.kind == 0 || r.stat.mode&^fs.ModePerm != 0 || path == "") {
		d.fail()
	}
	return r
}

// compare orders paths so that a folder comes before what is in it, and all that is
// in it before anything else: as if a slash were the lowest character.
func compare(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if x, y := a[i], b[i]; x != y {
			if x == '/' || y != '/' && x < y {
				return -1
			}
			return 1
		}
	}
	return len(a) - len(b)
}

// below tells whether path is dir or lies in it. Everything lies in "".
func below(path, dir string) bool {
	return dir == "" || strings.HasPrefix(path, dir) && (len(path) == len(dir) || path[len(dir)] == '/')
}
