package filetree

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// errState is the error of a state that Apply has not written.
var errState = errors.New("filetree: damaged state")

// stamp is when something was done and by which device. Later stamps win.
type stamp struct {
	at     uint64 // hybrid logical time
	device uint64 // number of the device
}

// record is what the state holds of an entry, in the tree or in the history.
type record struct {
	item    Item // without content
	version Version
	written stamp
	born    uint64 // position of the operation that wrote it
	parents []Version

	implicit bool  // a directory that came into being for what is in it
	conflict bool  // it is a conflict copy
	moved    stamp // of the last Move of its own, zero for none
}

const (
	recordImplicit = 1 << iota
	recordConflict
	recordMoved
	recordParents
)

// maxParents bounds the parents of an entry.
const maxParents = 8

// placed is when the entry came to be where it is.
func (e *record) placed() stamp {
	if e.moved != (stamp{}) {
		return e.moved
	}
	return e.written
}

// forwarded tells whether keyForward says where it is.
func (e *record) forwarded() bool { return e.conflict || e.moved != stamp{} }

func appendStamp(b []byte, s stamp) []byte {
	return compact.AppendUint64(compact.AppendUint(b, s.device), s.at)
}

func readStamp(r *compact.Reader) stamp {
	device := r.Uint()
	return stamp{device: device, at: r.Uint64()}
}

func (e *record) append(b []byte) []byte {
	var flags uint64
	for i, has := range []bool{e.implicit, e.conflict, e.moved != stamp{}, len(e.parents) > 0} {
		if has {
			flags |= 1 << i
		}
	}
	b = compact.AppendUint(b, flags)
	b = append(b, e.version[:]...)
	b = appendItem(b, &e.item)
	b = appendStamp(b, e.written)
	b = compact.AppendUint(b, e.born)
	if flags&recordMoved != 0 {
		b = appendStamp(b, e.moved)
	}
	if flags&recordParents != 0 {
		b = appendVersions(b, e.parents)
	}
	return b
}

func readRecord(r *compact.Reader) (e record) {
	flags := r.Uint()
	copy(e.version[:], r.Fixed(len(e.version)))
	e.item = readItem(r)
	e.written = readStamp(r)
	e.born = r.Uint()
	if flags&recordMoved != 0 {
		e.moved = readStamp(r)
	}
	if flags&recordParents != 0 {
		e.parents = readVersions(r, 2*maxParents+MaxResolves)
	}
	e.implicit = flags&recordImplicit != 0
	e.conflict = flags&recordConflict != 0
	return e
}

// former is an entry that is not in the tree any more.
type former struct {
	record
	path string
	// next is the version that replaced it, zero if it was deleted.
	next Version
	// died is the position of the operation that took it out of the tree, gone when
	// and by whom.
	died uint64
	gone stamp
	// links is how many records have it among their parents.
	links uint64
}

// deleted tells whether it is in the trash.
func (f *former) deleted() bool { return f.next == Version{} }

func (f *former) append(b []byte) []byte {
	b = compact.AppendFrame(b, f.record.append)
	b = compact.AppendString(b, f.path)
	b = append(b, f.next[:]...)
	b = compact.AppendUint(b, f.died)
	b = appendStamp(b, f.gone)
	return compact.AppendUint(b, f.links)
}

func readFormer(r *compact.Reader) (f former) {
	frame := r.Frame()
	f.record = readRecord(&frame)
	if frame.Err() != nil {
		r.Fail(frame.Err())
	}
	f.path = r.String()
	copy(f.next[:], r.Fixed(len(f.next)))
	f.died = r.Uint()
	f.gone = readStamp(r)
	f.links = r.Uint()
	return f
}

// maxAlternatives bounds the references that are kept for one content.
const maxAlternatives = 8

// contentRecord is what the state holds of a content.
type contentRecord struct {
	// refs is how many records, in the tree or not, have it.
	refs uint64
	// released is the position of the operation that dropped the last of them.
	released uint64
	// contents are the references that authors gave, the first first.
	contents [][]byte
}

func (c *contentRecord) append(b []byte) []byte {
	b = compact.AppendUint(b, c.refs)
	if c.refs == 0 {
		b = compact.AppendUint(b, c.released)
	}
	b = compact.AppendUint(b, uint64(len(c.contents)))
	for _, x := range c.contents {
		b = compact.AppendBuffer(b, x)
	}
	return b
}

func readContentRecord(r *compact.Reader) (c contentRecord) {
	c.refs = r.Uint()
	if c.refs == 0 {
		c.released = r.Uint()
	}
	for range r.Count(1) {
		c.contents = append(c.contents, slices.Clone(r.Buffer()))
	}
	return c
}

// totals are the counters of a state.
type totals struct {
	ops               uint64
	maxTime           uint64 // of all operations
	files, dirs, link uint64
	bytes             uint64 // of the files in the tree
	conflicts         uint64
	trash             uint64
	history           uint64 // replaced versions
	devices           uint64
	garbage           uint64 // released contents
	dirMoves          uint64
	snapshots         uint64
	pruned            uint64 // position of the last operation without effects
}

func (n *totals) fields() []*uint64 {
	return []*uint64{&n.ops, &n.files, &n.dirs, &n.link, &n.bytes, &n.conflicts, &n.trash, &n.history, &n.devices, &n.garbage, &n.dirMoves,
		&n.snapshots, &n.pruned}
}

func (n *totals) append(b []byte) []byte {
	b = compact.AppendUint64(b, n.maxTime)
	for _, f := range n.fields() {
		b = compact.AppendUint(b, *f)
	}
	return b
}

func readTotals(r *compact.Reader) (n totals) {
	n.maxTime = r.Uint64()
	for _, f := range n.fields() {
		if r.Len() > 0 {
			*f = r.Uint()
		}
	}
	return n
}

// chainHash stands for a sequence of operations: equal hashes, equal operations.
type chainHash [16]byte

func chain(before chainHash, id OpID) chainHash {
	h := hypercrypto.Sum(before[:], id[:])
	return chainHash(h[:len(before)])
}

// opRecord is what the state holds of an operation.
type opRecord struct {
	chain   chainHash // of this and all operations before
	log     hypercrypto.Key
	length  uint64
	device  uint64
	time    uint64
	maxTime uint64 // of this and all operations before
	undoes  OpID
	redo    bool
	changes uint64
	chunks  uint64 // of effects; 0: they are inline
	inline  []byte
	pruned  bool // the effects are gone
}

func (o *opRecord) author() Author { return Author{Log: o.log, Length: o.length} }

const (
	opRecordUndoes = 1 << iota
	opRecordRedo
	opRecordPruned
)

func (o *opRecord) append(b []byte) []byte {
	var flags uint64
	for i, has := range []bool{o.undoes != OpID{}, o.redo, o.pruned} {
		if has {
			flags |= 1 << i
		}
	}
	b = compact.AppendUint(b, flags)
	b = append(b, o.chain[:]...)
	b = append(b, o.log[:]...)
	b = compact.AppendUint(b, o.length)
	b = compact.AppendUint(b, o.device)
	b = compact.AppendUint64(b, o.time)
	b = compact.AppendUint64(b, o.maxTime)
	if flags&opRecordUndoes != 0 {
		b = append(b, o.undoes[:]...)
	}
	b = compact.AppendUint(b, o.changes)
	b = compact.AppendUint(b, o.chunks)
	return compact.AppendBuffer(b, o.inline)
}

func readOpRecord(r *compact.Reader) (o opRecord) {
	flags := r.Uint()
	copy(o.chain[:], r.Fixed(len(o.chain)))
	o.log = r.Fixed32()
	o.length = r.Uint()
	o.device = r.Uint()
	o.time = r.Uint64()
	o.maxTime = r.Uint64()
	if flags&opRecordUndoes != 0 {
		copy(o.undoes[:], r.Fixed(len(o.undoes)))
	}
	o.changes = r.Uint()
	o.chunks = r.Uint()
	o.inline = slices.Clone(r.Buffer())
	o.redo = flags&opRecordRedo != 0
	o.pruned = flags&opRecordPruned != 0
	return o
}

// decode reads one value of the state.
func decode[T any](value []byte, read func(*compact.Reader) T) (T, error) {
	r := compact.NewReader(value)
	v := read(&r)
	if r.Err() != nil {
		return v, fmt.Errorf("%w: %w", errState, r.Err())
	}
	return v, nil
}

// deviceRecord is a device that wrote something.
type deviceRecord struct {
	key  hypercrypto.PublicKey
	name string
}

func (d *deviceRecord) append(b []byte) []byte {
	return compact.AppendString(append(b, d.key[:]...), d.name)
}

func readDevice(r *compact.Reader) (d deviceRecord) {
	d.key = r.Fixed32()
	d.name = r.String()
	return d
}

// snapshotRecord is a named place in the order.
type snapshotRecord struct {
	seq uint64
	by  stamp
}

func (s *snapshotRecord) append(b []byte) []byte {
	return appendStamp(compact.AppendUint(b, s.seq), s.by)
}

func readSnapshot(r *compact.Reader) (s snapshotRecord) {
	s.seq = r.Uint()
	s.by = readStamp(r)
	return s
}
