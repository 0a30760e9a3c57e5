package oplog

import (
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// maxViews bounds the views of a base.
const maxViews = 4096

// Checkpoint are an indexer's signatures over the cores of a base.
//
//	uint flags (1 system, 2 encryption, 4 user), then each: signed, [4] uint count, signed …
type Checkpoint struct {
	System, Encryption *Signed
	// User are the views, in the order of [Info].Views.
	User []Signed
}

// Signed is a signature over a core, or a pointer to the block that has it.
//
//	one byte flags (1 pointer, 2 signature), [uint pointer] [64 signature, uint length]
type Signed struct {
	// Pointer is how many blocks before this one the signature is; 0: here.
	Pointer uint64
	// Signature is over the core's tree at Length.
	Signature [64]byte
	Length    uint64
}

// Digest names the system core that its writer uses.
//
//	uint flags (1 pointer, 2 key), [uint pointer] [32 key]
type Digest struct {
	// Pointer is how many blocks before this one the key is; 0: here.
	Pointer uint64
	Key     hypercrypto.Key
}

const (
	isPointer = 1
	isHere    = 2
)

const (
	signsSystem = 1 << iota
	signsEncryption
	signsUser
)

func (c *Checkpoint) appendTo(b []byte) []byte {
	var flags uint64
	if c.System != nil {
		flags |= signsSystem
	}
	if c.Encryption != nil {
		flags |= signsEncryption
	}
	if c.User != nil {
		flags |= signsUser
	}
	b = compact.AppendUint(b, flags)
	if c.System != nil {
		b = c.System.appendTo(b)
	}
	if c.Encryption != nil {
		b = c.Encryption.appendTo(b)
	}
	if c.User != nil {
		b = compact.AppendUint(b, uint64(len(c.User)))
		for i := range c.User {
			b = c.User[i].appendTo(b)
		}
	}
	return b
}

func decodeCheckpoint(r *compact.Reader) *Checkpoint {
	c := new(Checkpoint)
	flags := r.Uint()
	if flags&signsSystem != 0 {
		c.System = new(Signed)
		c.System.decode(r)
	}
	if flags&signsEncryption != 0 {
		c.Encryption = new(Signed)
		c.Encryption.decode(r)
	}
	if flags&signsUser != 0 {
		c.User = decodeSigned(r, (*Signed).decode)
	}
	return c
}

// decodeSigned reads a count and as many signatures.
func decodeSigned(r *compact.Reader, decode func(*Signed, *compact.Reader)) []Signed {
	n := r.Count(1)
	if n > maxViews {
		r.Fail(fmt.Errorf("signatures of %d views, at most %d are possible", n, maxViews))
		return nil
	}
	list := make([]Signed, n)
	for i := range list {
		decode(&list[i], r)
	}
	return list
}

func (s *Signed) appendTo(b []byte) []byte {
	if s.Pointer > 0 {
		return compact.AppendUint(append(b, isPointer), s.Pointer)
	}
	b = append(append(b, isHere), s.Signature[:]...)
	return compact.AppendUint(b, s.Length)
}

func (s *Signed) decode(r *compact.Reader) {
	flags := r.Byte()
	if flags&isPointer != 0 {
		s.Pointer = r.Uint()
	}
	if flags&isHere != 0 {
		s.here(r)
	}
	if (s.Pointer == 0) != (flags&isHere != 0) {
		r.Fail(fmt.Errorf("a checkpoint that is neither here nor elsewhere"))
	}
}

func (s *Signed) here(r *compact.Reader) {
	copy(s.Signature[:], r.Fixed(len(s.Signature)))
	s.Length = r.Uint()
}

func (d *Digest) appendTo(b []byte) []byte {
	if d.Pointer > 0 {
		return compact.AppendUint(append(b, isPointer), d.Pointer)
	}
	return append(append(b, isHere), d.Key[:]...)
}

func decodeDigest(r *compact.Reader) *Digest {
	d := new(Digest)
	flags := r.Uint()
	if flags&isPointer != 0 {
		d.Pointer = r.Uint()
	}
	if flags&isHere != 0 {
		d.Key = r.Fixed32()
	}
	if (d.Pointer == 0) != (flags&isHere != 0) {
		r.Fail(fmt.Errorf("a digest that is neither here nor elsewhere"))
	}
	return d
}
