package blindpeer

import (
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Methods of the mirror's calls.
const (
	methodAdd    = "add-core"
	methodDelete = "delete-core"
)

// addRequest asks to keep one log; the answer is its [Record].
//
//	uint flags (1 referrer, 2 and 4 obsolete, 8 priority, 16 announce), 32 key,
//	[32 referrer], [32 obsolete], [32 obsolete], [uint priority]
type addRequest struct {
	Key      hypercrypto.Key
	Referrer *hypercrypto.Key
	Priority uint64
	Announce bool
}

func decodeAdd(b []byte) (a addRequest, err error) {
	r := compact.NewReader(b)
	flags := r.Uint()
	a.Key = r.Fixed32()
	if flags&1 != 0 {
		k := hypercrypto.Key(r.Fixed32())
		a.Referrer = &k
	}
	for _, obsolete := range [...]uint64{2, 4} {
		if flags&obsolete != 0 {
			r.Fixed32()
		}
	}
	if flags&8 != 0 {
		a.Priority = r.Uint()
	}
	a.Announce = flags&16 != 0
	if err := r.Err(); err != nil {
		return addRequest{}, fmt.Errorf("%w: %s: %w", ErrMessage, methodAdd, err)
	}
	return a, nil
}

func (a *addRequest) appendTo(b []byte) []byte {
	var flags uint64
	if a.Referrer != nil {
		flags |= 1
	}
	if a.Priority != 0 {
		flags |= 8
	}
	if a.Announce {
		flags |= 16
	}
	b = append(compact.AppendUint(b, flags), a.Key[:]...)
	if a.Referrer != nil {
		b = append(b, a.Referrer[:]...)
	}
	if a.Priority != 0 {
		b = compact.AppendUint(b, a.Priority)
	}
	return b
}

// decodeKey reads the key of a log: the one to delete, where the answer is a bool, or the
// one of which is asked what is released, with a [releaseState] as answer.
func decodeKey(b []byte) (hypercrypto.Key, error) {
	r := compact.NewReader(b)
	k := hypercrypto.Key(r.Fixed32())
	if err := r.Err(); err != nil {
		return k, fmt.Errorf("%w: key of a log: %w", ErrMessage, err)
	}
	return k, nil
}
