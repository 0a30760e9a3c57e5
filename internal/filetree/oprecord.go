package filetree

import (
	"slices"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

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
