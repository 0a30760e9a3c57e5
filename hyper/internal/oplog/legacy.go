package oplog

import "github.com/tradle/cloudpal/hyper/compact"

// decode1 reads version 1.
//
//	uint 1, uint newest version, uint flags (1 checkpoint, 2 optimistic),
//	[1: uint count, signed …, digest] node
//
// The first signature is that of the system core. A signature is a uint pointer
// and, if that is 0, 64 bytes and a uint length; a digest a uint pointer and, if
// that is 0, 32 bytes.
func (k *Block) decode1(r *compact.Reader) {
	r.Uint()
	flags := r.Uint()
	k.Optimistic = flags&2 != 0
	if flags&1 != 0 {
		k.Checkpoint = decodeCheckpoint1(r)
		k.Digest = new(Digest)
		if k.Digest.Pointer = r.Uint(); k.Digest.Pointer == 0 {
			k.Digest.Key = r.Fixed32()
		}
	}
	k.decodeNode(r)
}

// decode0 reads version 0.
//
//	uint 0, uint flags (1 checkpoint),
//	[1: indexers, uint count, signed …] node, additional, [uint newest version]
//
// Indexers are a uint pointer and, if that is 0, a count of { uint type, 32
// namespace, 32 key }; additional is a uint pointer and, if that is 0, uint flags,
// [1: 32 bytes] [2: uint]. Neither is of use today.
func (k *Block) decode0(r *compact.Reader) {
	if r.Uint()&1 != 0 {
		if r.Uint() == 0 {
			for range r.Count(65) {
				r.Uint()
				r.Fixed(64)
			}
		}
		k.Checkpoint = decodeCheckpoint1(r)
	}
	k.decodeNode(r)
	if r.Uint() == 0 {
		flags := r.Uint()
		if flags&1 != 0 {
			r.Fixed(32)
		}
		if flags&2 != 0 {
			r.Uint()
		}
	}
}

func decodeCheckpoint1(r *compact.Reader) *Checkpoint {
	list := decodeSigned(r, func(s *Signed, r *compact.Reader) {
		if s.Pointer = r.Uint(); s.Pointer == 0 {
			s.here(r)
		}
	})
	c := new(Checkpoint)
	if len(list) > 0 {
		c.System, c.User = &list[0], list[1:]
	}
	return c
}
