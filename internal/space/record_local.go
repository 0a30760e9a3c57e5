package space

import (
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Record is what a device remembers of a space.
type Record struct {
	// Name is unique on the device. It is at first the name that the space has, or one
	// like it.
	Name string
	// Key names the space.
	Key hypercrypto.Key
	// Encryption encrypts the space.
	Encryption *hypercrypto.EncryptionKey
	// Home says that this is the space of all devices of one person.
	Home bool
	// Linked says that the home has the space.
	Linked bool
	// Forgotten says that the space is not kept on this device, though the person's home
	// has it.
	Forgotten bool

	cleared   bool                        // nothing of a forgotten space is stored any more
	namespace string                      // of this device's logs in the store
	epochs    []hypercrypto.EncryptionKey // that are known at first; not stored here
}

// recordVersion is the first field of a stored record: uint version, uint flags (1: home,
// 2: forgotten, 4: linked, 8: cleared), string name, string namespace, 32 key, 32 encryption key.
const recordVersion = 1

func (r *Record) appendTo(b []byte) []byte {
	b = compact.AppendUint(compact.AppendUint(b, recordVersion), flag(r.Home, 1)|flag(r.Forgotten, 2)|flag(r.Linked, 4)|flag(r.cleared, 8))
	b = compact.AppendString(compact.AppendString(b, r.Name), r.namespace)
	return append(append(b, r.Key[:]...), r.Encryption[:]...)
}

func decodeRecord(b []byte) (*Record, error) {
	r := compact.NewReader(b)
	if v := r.Uint(); r.Err() == nil && v != recordVersion {
		return nil, fmt.Errorf("%w: a space of version %d", errRecord, v)
	}
	flags := r.Uint()
	x := &Record{Home: flags&1 != 0, Forgotten: flags&2 != 0, Linked: flags&4 != 0, cleared: flags&8 != 0, Name: r.String(), namespace: r.String(), Key: r.Fixed32()}
	k := hypercrypto.EncryptionKey(r.Fixed32())
	x.Encryption = &k
	return finish(&r, "a space", x)
}
