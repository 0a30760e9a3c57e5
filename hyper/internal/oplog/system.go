package oplog

import (
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// ErrSystem is the error of an entry of the system view that cannot be read.
var ErrSystem = errors.New("oplog: invalid system entry")

// ErrNewer is the error of a base whose system view is of a version that this
// program does not know: it has to be updated.
var ErrNewer = errors.New("oplog: the base was written by a newer version")

// MaxSystemVersion is the highest version of a system view that is understood.
const MaxSystemVersion = 2

// maxMembers bounds the indexers and heads of a base.
const maxMembers = 65536

// Keys of the system view, which is a bee.
var infoKey = []byte{0, 0, 'i', 'n', 'f', 'o'}

// InfoKey returns the key of the [Info].
func InfoKey() []byte { return append([]byte(nil), infoKey...) }

// MemberKey returns the key of the [Member] that writes a log.
func MemberKey(log hypercrypto.Key) []byte { return append([]byte{1, 0}, log[:]...) }

// Info is the state of a base after a node.
//
//	uint version, uint members, uint count, 32 … pending indexers,
//	refs indexers, refs heads, refs views,
//	[version 2: uint encryption length, uint flags (1 entropy), [32 entropy]]
type Info struct {
	Version uint64
	// Members is how many may write.
	Members uint64
	// Pending are indexers that have not written yet.
	Pending []hypercrypto.Key
	// Indexers are those who decide, with the lengths of their logs.
	Indexers []Ref
	// Heads are the nodes without a successor.
	Heads []Ref
	// Views are the cores of the views that are not empty, in the order in which
	// they became so.
	Views []Ref
	// EncryptionLength is the length of the core with encryption keys.
	EncryptionLength uint64
	// Entropy keeps the keys of views apart after a fork; nil before one.
	Entropy *[32]byte
}

// AppendTo appends the encoded entry.
func (i *Info) AppendTo(b []byte) []byte {
	b = compact.AppendUint(b, i.Version)
	b = compact.AppendUint(b, i.Members)
	b = compact.AppendUint(b, uint64(len(i.Pending)))
	for _, k := range i.Pending {
		b = append(b, k[:]...)
	}
	b = appendRefs(appendRefs(appendRefs(b, i.Indexers), i.Heads), i.Views)
	if i.Version < 2 {
		return b
	}
	b = compact.AppendUint(b, i.EncryptionLength)
	if i.Entropy == nil {
		return compact.AppendUint(b, 0)
	}
	return append(compact.AppendUint(b, 1), i.Entropy[:]...)
}

// DecodeInfo reads the entry. The error wraps [ErrSystem] or [ErrNewer].
func DecodeInfo(b []byte) (*Info, error) {
	r := compact.NewReader(b)
	i := &Info{Version: r.Uint()}
	if i.Version > MaxSystemVersion {
		return nil, fmt.Errorf("%w: its version is %d, this program knows %d", ErrNewer, i.Version, MaxSystemVersion)
	}
	i.Members = r.Uint()
	n := r.Count(32)
	if n > maxMembers {
		return nil, fmt.Errorf("%w: %d pending indexers", ErrSystem, n)
	}
	for range n {
		i.Pending = append(i.Pending, r.Fixed32())
	}
	i.Indexers, i.Heads, i.Views = decodeRefs(&r, maxMembers), decodeRefs(&r, maxMembers), decodeRefs(&r, maxViews)
	if i.Version >= 2 {
		i.EncryptionLength = r.Uint()
		if r.Uint()&1 != 0 {
			e := r.Fixed32()
			i.Entropy = &e
		}
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: info: %w", ErrSystem, err)
	}
	return i, nil
}

// Member is the entry of somebody who writes or wrote.
//
//	uint flags (1 indexer, 2 removed), uint length
type Member struct {
	Indexer, Removed bool
	// Length is how many of its nodes were applied.
	Length uint64
}

// AppendTo appends the encoded entry.
func (m Member) AppendTo(b []byte) []byte {
	var flags uint64
	if m.Indexer {
		flags |= 1
	}
	if m.Removed {
		flags |= 2
	}
	return compact.AppendUint(compact.AppendUint(b, flags), m.Length)
}

// DecodeMember reads the entry. The error wraps [ErrSystem].
func DecodeMember(b []byte) (Member, error) {
	r := compact.NewReader(b)
	flags := r.Uint()
	m := Member{Indexer: flags&1 != 0, Removed: flags&2 != 0, Length: r.Uint()}
	if err := r.Err(); err != nil {
		return Member{}, fmt.Errorf("%w: member: %w", ErrSystem, err)
	}
	return m, nil
}
