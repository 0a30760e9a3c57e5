package hypercore

import "testing"

func TestRemoteContiguousLengthFollowsThePeers(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, w, testBlocks(0, 30)...)
	r := reader(t, w, nil)
	told := make(chan uint64, 64)
	w.Events(func(e Event) {
		if e.Type == EventRemoteContiguousLength {
			told <- e.Index
		}
	})
	defer join(t, w, r)()
	if n := w.RemoteContiguousLength(); n != 0 {
		t.Errorf("%d blocks with a peer that has none", n)
	}
	until := func(want uint64) {
		t.Helper()
		ctx := timeout(t)
		for {
			select {
			case n := <-told:
				if n == want {
					if w.RemoteContiguousLength() != want {
						t.Errorf("told of %d, then %d", want, w.RemoteContiguousLength())
					}
					return
				}
			case <-ctx.Done():
				t.Fatalf("still %d, not %d", w.RemoteContiguousLength(), want)
			}
		}
	}
	if err := r.Download(Range{}).Wait(timeout(t)); err != nil {
		t.Fatal(err)
	}
	until(30)
	mustAppend(t, w, testBlock(30))
	if _, err := r.Get(timeout(t), 30); err != nil {
		t.Fatal(err)
	}
	until(31)
	if err := w.Truncate(t.Context(), 12, nil); err != nil {
		t.Fatal(err)
	}
	if n := w.RemoteContiguousLength(); n > 12 {
		t.Errorf("%d blocks of a log of 12", n)
	}
}
