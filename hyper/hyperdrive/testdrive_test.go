package hyperdrive

import (
	"testing"

	"github.com/tradle/cloudpal/hyper/corestore"
)

// newStore returns an empty store.
func newStore(t testing.TB, opts *corestore.Options) *corestore.Store {
	t.Helper()
	s, err := corestore.Open(t.Context(), t.TempDir(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// newTestDrive returns an empty drive that can be written.
func newTestDrive(t testing.TB, opts *Options) *Drive {
	t.Helper()
	return openDrive(t, newStore(t, &corestore.Options{Relaxed: true}), opts)
}

func openDrive(t testing.TB, s *corestore.Store, opts *Options) *Drive {
	t.Helper()
	d, err := Open(t.Context(), s, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}
