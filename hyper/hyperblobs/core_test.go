package hyperblobs

import (
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/storage"
)

// newCore returns an empty writable log.
func newCore(t testing.TB) *hypercore.Core { return newCoreWith(t, nil) }

func newCoreWith(t testing.TB, opts *hypercore.Options) *hypercore.Core {
	t.Helper()
	db, err := storage.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	core, err := hypercore.Open(t.Context(), db, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := core.Close(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return core
}
