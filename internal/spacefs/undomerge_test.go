package spacefs

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// Taking back a merge that was made by itself leaves both sides, for a person to decide.
func TestAMergeThatIsTakenBackIsNotMadeAgain(t *testing.T) {
	a, b, cut := pair(t, Options{MergeWait: time.Hour})
	text := strings.Repeat("a line\n", 3) + "middle\n" + strings.Repeat("more lines\n", 3)
	a.put(map[string]string{"notes.txt": text})
	agree(t, a, b)
	cut()
	a.put(map[string]string{"notes.txt": "from ada\n" + text})
	b.put(map[string]string{"notes.txt": text + "from bob\n"})
	connect(t, a, b)
	merged := "from ada\n" + text + "from bob\n"
	eventually(t, "the text is merged", func() bool { return a.read("notes.txt") == merged && b.read("notes.txt") == merged })
	agree(t, a, b)
	merger := b
	for _, m := range []*machine{a, b} {
		v, release := m.View()
		self, err := m.self(t.Context())
		must(t, err)
		for r, err := range v.Journal(t.Context(), 0) {
			must(t, err)
			if r.Device == self.Key {
				merger = m
			}
			break
		}
		release()
	}
	u, err := merger.Undo(t.Context())
	if err != nil || u.Changes != 2 {
		t.Fatalf("%+v, %v", u, err)
	}
	both := func() bool {
		list := a.files()
		var texts []string
		for _, f := range list {
			texts = append(texts, a.read(f))
		}
		slices.Sort(texts)
		return slices.Equal(texts, []string{text + "from bob\n", "from ada\n" + text})
	}
	eventually(t, "both sides are there", both)
	agree(t, a, b)
	// Whoever merges has looked again, more than once.
	for until := time.Now().Add(10 * minPause); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if !both() {
			t.Fatalf("merged again: %q", a.files())
		}
	}
}
