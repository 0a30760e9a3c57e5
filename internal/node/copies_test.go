package node

import (
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/identitykey"
	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/filetree"
	"github.com/tradle/cloudpal/internal/identity"
	"github.com/tradle/cloudpal/internal/space"
	"github.com/tradle/cloudpal/internal/spacefs"
)

// withSpace returns a node of somebody, who has a space with a mirror.
func withSpace(t *testing.T, mirror hypercrypto.PublicKey) (*Node, *space.Space) {
	t.Helper()
	n := open(t, t.TempDir())
	i, err := n.person.store.Create(identitykey.NewMnemonic(), identity.Plain, "", time.Now(), false)
	if err != nil {
		t.Fatal(err)
	}
	n.person.Set(i)
	s, err := n.spaces.Create(t.Context(), "family")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddMirror(t.Context(), mirror, "attic"); err != nil {
		t.Fatal(err)
	}
	return n, s
}

func copiesOf(t *testing.T, n *Node, s *space.Space) *api.Copies {
	t.Helper()
	c, err := n.copiesOf(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestACopyThatIsAwayIsOneAsLongAsNothingIsWritten(t *testing.T) {
	attic := hypercrypto.PublicKey{7}
	n, s := withSpace(t, attic)
	c := copiesOf(t, n, s)
	if full, present := c.Tally(); full != 1 || present != 1 || len(c.Copies) != 2 || !c.Copies[0].Self || c.Copies[1].Holds != api.HoldsUnknown || !c.Copies[1].Seen.IsZero() {
		t.Fatalf("%+v", c)
	}
	// It was here and had everything.
	at := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	if err := n.seen.note(s, attic, func(x *sighting) { x.Level, x.Seen, x.Looked, x.Proven = levelAll, at, at, at }); err != nil {
		t.Fatal(err)
	}
	x := copiesOf(t, n, s).Copies[1]
	if !x.Complete || x.Holds != api.HoldsAll || x.Online || !x.Seen.Equal(at) || !x.Verified.Equal(at) || x.Behind {
		t.Errorf("%+v", x)
	}
	// What is written since it cannot have.
	if _, err := n.content.Of(s).Commit(t.Context(), []filetree.Change{{Action: filetree.Put, Path: "photos", Item: filetree.Item{Kind: filetree.Dir, Mode: 0o755}}}); err != nil {
		t.Fatal(err)
	}
	if x := copiesOf(t, n, s).Copies[1]; x.Complete || x.Holds != api.HoldsPart || !x.Behind {
		t.Errorf("%+v", x)
	}
	standing, err := n.standing(t.Context(), s)
	if err != nil || len(standing) != 2 || !standing[1].Behind || standing[0].Holds != api.HoldsAll {
		t.Errorf("%+v, %v", standing, err)
	}
}

func TestWhatWasSeenIsRememberedAndForgottenWithTheMirror(t *testing.T) {
	attic := hypercrypto.PublicKey{7}
	n, s := withSpace(t, attic)
	at := time.UnixMilli(1_790_000_000_000)
	want := sighting{Seen: at, Looked: at, Failed: at, Level: levelPresent, Ops: 5, Logs: 2, Lack: spacefs.Lack{Contents: 1, Bytes: 10}}
	if err := n.seen.note(s, attic, func(x *sighting) { *x = want }); err != nil {
		t.Fatal(err)
	}
	// A little later is not worth a write, until the node closes.
	if err := n.seen.note(s, attic, func(x *sighting) { x.Seen = at.Add(time.Second) }); err != nil {
		t.Fatal(err)
	}
	stored := func() sighting {
		b, err := s.BlobLog().UserData(sightingsData)
		if err != nil {
			t.Fatal(err)
		}
		known, err := decodeSightings(b)
		if err != nil {
			t.Fatal(err)
		}
		return known[attic]
	}
	if stored() != want {
		t.Errorf("stored is %+v", stored())
	}
	if err := n.seen.flush(n.spaces.Spaces()); err != nil {
		t.Fatal(err)
	}
	if want.Seen = at.Add(time.Second); stored() != want {
		t.Errorf("stored is %+v", stored())
	}
	n.seen = sightings{}
	if got := n.seen.get(s, attic); got != want {
		t.Errorf("read again it is %+v", got)
	}
	if err := s.Remove(t.Context(), attic); err != nil {
		t.Fatal(err)
	}
	copiesOf(t, n, s)
	if stored() != (sighting{}) {
		t.Errorf("stored is %+v", stored())
	}
}
