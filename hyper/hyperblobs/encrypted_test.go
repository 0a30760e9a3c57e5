package hyperblobs

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

func TestEncryptedBlobsMatchJavaScript(t *testing.T) {
	v := vectorsOf(t, "blobs-encrypted")
	primary := [32]byte(bytes.Repeat([]byte{7}, 32))
	s, err := corestore.Open(t.Context(), t.TempDir(), &corestore.Options{PrimaryKey: &primary})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	raw, err := hex.DecodeString(v.EncryptionKey)
	if err != nil {
		t.Fatal(err)
	}
	key := hypercrypto.EncryptionKey(raw)
	core, err := s.Get(t.Context(), corestore.GetOptions{Name: "blobs-encrypted", EncryptionKey: &key})
	if err != nil {
		t.Fatal(err)
	}
	b := New(core)
	for i, want := range v.IDs {
		data := prngBytes(want.Seed, want.Length)
		id, err := b.Put(t.Context(), data)
		if err != nil || id != want.ID {
			t.Errorf("blob %d: %+v, %v, want %+v", i, id, err, want.ID)
		}
		r, err := b.Open(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		part := make([]byte, 3)
		if _, err := r.ReadAt(part, int64(want.Length-3)); err != nil || !bytes.Equal(part, data[want.Length-3:]) {
			t.Errorf("blob %d: end is %x, %v", i, part, err)
		}
	}
	for i, want := range v.Leaves {
		block, err := core.GetRaw(t.Context(), uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		if got := hypercrypto.LeafHash(block).String(); got != want {
			t.Errorf("leaf %d: %s, want %s", i, got, want)
		}
	}
	checkTreeHash(t, b, v.TreeHash)
}
