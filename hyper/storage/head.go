package storage

import (
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// HeadFlags are properties of a core that the upper layer keeps with its head.
type HeadFlags uint64

// Flags of a head.
const (
	// Frozen: nothing may be appended any more.
	Frozen HeadFlags = 1 << iota
)

// Head is the state of a log. The store does not interpret it, except that
// Contiguous is its own.
type Head struct {
	Fork       uint64
	Length     uint64 // blocks
	ByteLength uint64 // bytes of all blocks, stored form
	// Contiguous is the number of blocks held from the start without a gap. The
	// store computes it; SetHead ignores it.
	Contiguous uint64
	Flags      HeadFlags
	// Signature covers Fork and Length; empty if there is none. It must not be
	// changed after SetHead or Head.
	Signature []byte
}

// Auth says whose log it is and who may write it.
type Auth struct {
	Key      hypercrypto.Key
	Manifest []byte // encoded; nil while unknown
	Secret   []byte // 64-byte secret key of the local key pair; nil if not writable
}

// headRecord is what is stored under a core's head key.
type headRecord struct {
	Head
	large uint64 // bytes of this core's blocks in segments
}

// encoding: flags, fork, length, byteLength, contiguous, large, signature
func (h *headRecord) append(b []byte) []byte {
	b = compact.AppendUint(b, uint64(h.Flags))
	b = compact.AppendUint(b, h.Fork)
	b = compact.AppendUint(b, h.Length)
	b = compact.AppendUint(b, h.ByteLength)
	b = compact.AppendUint(b, h.Contiguous)
	b = compact.AppendUint(b, h.large)
	return compact.AppendBuffer(b, h.Signature)
}

func (h *headRecord) decode(b []byte) error {
	r := compact.NewReader(b)
	h.Flags = HeadFlags(r.Uint())
	h.Fork = r.Uint()
	h.Length = r.Uint()
	h.ByteLength = r.Uint()
	h.Contiguous = r.Uint()
	h.large = r.Uint()
	h.Signature = append([]byte(nil), r.OptionalBuffer()...)
	if err := r.Err(); err != nil {
		return fmt.Errorf("%w: head record: %v", ErrCorrupt, err)
	}
	if h.Contiguous > MaxIndex+1 {
		return fmt.Errorf("%w: head record: contiguous length %d", ErrCorrupt, h.Contiguous)
	}
	return nil
}

func (a *Auth) append(b []byte) []byte {
	b = append(b, a.Key[:]...)
	b = compact.AppendBuffer(b, a.Manifest)
	return compact.AppendBuffer(b, a.Secret)
}

func (a *Auth) decode(b []byte) error {
	r := compact.NewReader(b)
	a.Key = r.Fixed32()
	a.Manifest = append([]byte(nil), r.OptionalBuffer()...)
	a.Secret = append([]byte(nil), r.OptionalBuffer()...)
	if err := r.Err(); err != nil {
		return fmt.Errorf("%w: auth record: %v", ErrCorrupt, err)
	}
	return nil
}
