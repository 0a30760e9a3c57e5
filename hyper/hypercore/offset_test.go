package hypercore

import (
	"errors"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

func TestByteOffsetsCountWithoutPadding(t *testing.T) {
	key := hypercrypto.EncryptionKey{4}
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1), EncryptionKey: &key})
	mustAppend(t, w, testBlocks(0, 20)...)
	sum := uint64(0)
	for i := range uint64(21) {
		if n, err := w.ByteOffset(i); err != nil || n != sum {
			t.Errorf("block %d begins at %d, not %d; %v", i, n, sum, err)
		}
		if i < 20 {
			sum += uint64(len(testBlock(int(i))))
		}
	}
	if w.ByteLength() != sum {
		t.Errorf("%d bytes, not %d", w.ByteLength(), sum)
	}
	if _, err := w.ByteOffset(22); !errors.Is(err, ErrOutOfRange) {
		t.Errorf("beyond the end: %v", err)
	}
	r := reader(t, w, nil)
	stop := join(t, w, r)
	settled(t, r, w)
	stop()
	if _, err := r.ByteOffset(7); !errors.Is(err, ErrNotAvailable) {
		t.Errorf("with nodes that are not here: %v", err)
	}
}
