package filetree

import (
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
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

// decode reads one value of the state.
func decode[T any](value []byte, read func(*compact.Reader) T) (T, error) {
	r := compact.NewReader(value)
	v := read(&r)
	if r.Err() != nil {
		return v, fmt.Errorf("%w: %w", errState, r.Err())
	}
	return v, nil
}
