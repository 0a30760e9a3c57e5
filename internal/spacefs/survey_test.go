package spacefs

import (
	"context"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// nobody holds nothing, and everybody all.
type nobody struct{}

func (nobody) Holds(hypercrypto.Key, uint64, uint64) uint64 { return 0 }

type everybody struct{}

func (everybody) Holds(_ hypercrypto.Key, start, end uint64) uint64 { return end - start }

func TestASurveyTellsWhatIsPresentFromWhatWas(t *testing.T) {
	a, b, _ := pair(t, Options{})
	a.put(map[string]string{"note": "one", "gone": "gone", "twice": "same", "again": "same", "empty": ""})
	agree(t, a, b)
	a.put(map[string]string{"note": "another"})
	a.del("gone")
	agree(t, a, b)
	must(t, b.SetPolicy(Policy{Paths: []string{""}}))
	eventually(t, "all present files are here", func() bool { return b.survey().Lacks[0].Present == 0 })
	s, err := b.Survey(t.Context(), b.Here(t.Context()), nobody{}, everybody{})
	must(t, err)
	if s.Files != 4 || s.Contents != 4 || s.Size != 3+4+4+7 || s.Present != 2 || s.PresentSize != 4+7 {
		t.Errorf("%+v", s)
	}
	if l := s.Lacks[0]; l.Present != 0 || l.PresentBytes != 0 || l.Contents > 2 {
		t.Errorf("here lacks %+v", l)
	}
	if l := s.Lacks[1]; l != (Lack{4, s.Size, 2, s.PresentSize}) {
		t.Errorf("nobody lacks %+v", l)
	}
	if l := s.Lacks[2]; l != (Lack{}) {
		t.Errorf("everybody lacks %+v", l)
	}
}

// Here returns this device as a holder, until ctx ends.
func (f *Files) Here(ctx context.Context) Holder { return here{f, ctx} }

type here struct {
	f   *Files
	ctx context.Context
}

// Holds implements [Holder].
func (h here) Holds(log hypercrypto.Key, start, end uint64) (blocks uint64) {
	core := h.f.space.BlobLog()
	if log != core.Key() {
		b, _, err := h.f.logs.get(h.ctx, log)
		if err != nil {
			return 0
		}
		core = b.Core()
	}
	if core.Has(start, end) {
		return end - start
	}
	for from, to := range core.Held(start, end) {
		blocks += to - from
	}
	return blocks
}
