package hyperdrive

import (
	"context"
	"testing"

	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercore"
)

// newTestDrive returns an empty drive that can be written.
func newTestDrive(t testing.TB, opts *Options) *Drive {
	t.Helper()
	d, err := newDrive(hypercore.NewStub(), &hyperbee.Metadata{}, opts.withDefaults(), func(context.Context) (*hypercore.Core, error) {
		return hypercore.NewStub(), nil
	})
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
