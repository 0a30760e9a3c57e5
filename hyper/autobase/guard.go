package autobase

import (
	"context"
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Where the encryption key is kept, beside the own log.
const (
	plainKey  = "autobase/encryption"
	sealedKey = "autobase/blind-encryption"
)

// derivedKey is the name that the store derives an encryption key from.
const derivedKey = "autobase/encryption"

// maxSealed bounds a sealed key.
const maxSealed = 64 << 10

var (
	// ErrSealed: the encryption key of the base is sealed, and there is no
	// Options.Guard to open it.
	ErrSealed = errors.New("autobase: the encryption key is sealed")
	// ErrOtherKey: the base has another encryption key than the given one.
	ErrOtherKey = errors.New("autobase: the base has another encryption key")
)

// KeyGuard keeps the encryption key of a base from those who read the disk.
type KeyGuard interface {
	// Seal returns what is stored in place of the key; kind says how it was made.
	Seal(ctx context.Context, key hypercrypto.EncryptionKey) (kind uint64, sealed []byte, err error)
	// Open returns the key. If stale is set the key is sealed anew.
	Open(ctx context.Context, kind uint64, sealed []byte) (key hypercrypto.EncryptionKey, stale bool, err error)
}

// encryptionKey returns the key of the base, as it is remembered beside the own
// log or else given, and remembers it. It is nil for a base in clear.
func (b *Base) encryptionKey(ctx context.Context, local *hypercore.Core) (*hypercrypto.EncryptionKey, error) {
	given, guard := b.opts.EncryptionKey, b.opts.Guard
	plain, err := local.UserData(plainKey)
	if err != nil {
		return nil, err
	}
	sealed, err := local.UserData(sealedKey)
	if err != nil {
		return nil, err
	}
	var key hypercrypto.EncryptionKey
	keep := true
	switch {
	case len(sealed) > 0 && guard != nil:
		kind, value, err := decodeSealed(sealed)
		if err != nil {
			return nil, err
		}
		if key, keep, err = guard.Open(ctx, kind, value); err != nil {
			return nil, fmt.Errorf("open the encryption key: %w", err)
		}
	case len(sealed) > 0 && given != nil:
		k := *given
		return &k, nil
	case len(sealed) > 0:
		return nil, ErrSealed
	case len(plain) == len(key):
		key, keep = hypercrypto.EncryptionKey(plain), guard != nil
	case given != nil:
		key = *given
	case b.opts.Encrypt:
		key = b.store.KeyPair(derivedKey).Seed()
	default:
		return nil, nil
	}
	if given != nil && *given != key {
		return nil, ErrOtherKey
	}
	if keep {
		err = b.keepKey(ctx, local, key)
	} else if guard != nil && len(plain) > 0 {
		err = local.SetUserData(plainKey, nil) // a crash left it
	}
	return &key, err
}

// keepKey stores the encryption key for the next start.
func (b *Base) keepKey(ctx context.Context, local *hypercore.Core, key hypercrypto.EncryptionKey) error {
	if b.opts.Guard == nil {
		return local.SetUserData(plainKey, key[:])
	}
	kind, value, err := b.opts.Guard.Seal(ctx, key)
	if err != nil {
		return fmt.Errorf("seal the encryption key: %w", err)
	}
	if len(value) > maxSealed {
		return fmt.Errorf("seal the encryption key: %d bytes, %d are possible", len(value), maxSealed)
	}
	if err := local.SetUserData(sealedKey, appendSealed(nil, kind, value)); err != nil {
		return err
	}
	return local.SetUserData(plainKey, nil)
}

// A sealed key is stored as uint kind, buffer.
func appendSealed(b []byte, kind uint64, value []byte) []byte {
	return compact.AppendBuffer(compact.AppendUint(b, kind), value)
}

func decodeSealed(b []byte) (kind uint64, value []byte, err error) {
	r := compact.NewReader(b)
	kind, value = r.Uint(), r.Buffer()
	if err := r.Err(); err != nil {
		return 0, nil, fmt.Errorf("autobase: sealed encryption key: %w", err)
	}
	return kind, value, nil
}
