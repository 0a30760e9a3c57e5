package filetree

import "testing"

func TestWhatWasReleasedLongAgoIsForgotten(t *testing.T) {
	w := newWorld(t)
	anna := newDevice("Anna")
	const day = 24 * 60
	a := w.apply(anna.next(0), put("f", Version{}, "one"), put("g", Version{}, "two"), put("h", Version{}, "three"))
	released := func(want int) {
		t.Helper()
		if n := len(list(t, w.view().Garbage(bg, 0))); n != want {
			t.Fatalf("%d contents are listed as released, want %d", n, want)
		}
		n, err := w.view().Count(bg)
		check(t, err)
		if int(n.Garbage) != want {
			t.Fatalf("%d are counted, want %d", n.Garbage, want)
		}
	}
	w.apply(anna.next(1), Change{Action: Delete, Path: "f", Base: a.Version(0)})
	w.apply(anna.next(2), Change{Action: Purge})
	released(1)
	w.apply(anna.next(20*day), Change{Action: Delete, Path: "g", Base: a.Version(1)})
	w.apply(anna.next(20*day+1), Change{Action: Purge})
	released(2)
	w.apply(anna.next(30*day), Change{Action: Purge})
	released(2) // it is not time yet
	w.apply(anna.next(31*day), Change{Action: Purge, Path: "x"})
	released(2) // that is of a path
	w.apply(anna.next(31*day), Change{Action: Purge})
	released(1)
	w.apply(anna.next(60*day), Change{Action: Purge})
	released(0)
	// What is forgotten can come again.
	w.apply(anna.next(60*day), put("f", Version{}, "one"))
	w.apply(anna.next(61*day), Change{Action: Delete, Path: "h", Base: a.Version(2)})
	w.apply(anna.next(61*day), Change{Action: Purge})
	released(1)
	w.want("f: one")
}
