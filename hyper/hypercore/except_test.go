package hypercore

import "testing"

// heldRuns returns the runs that are held.
func heldRuns(c *Core) (runs []Run) {
	for start, end := range c.Held(0, c.Length()) {
		runs = append(runs, Run{start, end})
	}
	return runs
}

func TestDownloadLeavesOutWhatItIsToldTo(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, w, testBlocks(0, 100)...)
	r := reader(t, w, nil)
	l := replicate(t, w, r)
	d := r.Download(Range{Start: 0, End: 100, Except: []Run{{0, 3}, {10, 20}, {95, 200}}})
	if err := d.Wait(timeout(t)); err != nil {
		t.Fatal(err)
	}
	want := []Run{{3, 10}, {20, 95}}
	if got := heldRuns(r); len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Fatalf("held is %v", got)
	}
	// What is cleared and left out does not come back; what is only cleared does.
	d = r.Download(Range{Start: 0, End: 101, Except: []Run{{0, 20}, {95, 100}}})
	if err := r.Clear(timeout(t), 3, 30); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, w, testBlocks(100, 101)...)
	if err := d.Wait(timeout(t)); err != nil {
		t.Fatal(err)
	}
	if got := heldRuns(r); len(got) != 2 || got[0] != (Run{20, 95}) || got[1] != (Run{100, 101}) {
		t.Fatalf("held is %v", got)
	}
	// A reader can still have it.
	if _, err := r.Get(timeout(t), 12); err != nil {
		t.Error(err)
	}
	l.stop()
	if err := r.Download(Range{Start: 20, End: 95, Except: []Run{{0, 3}}}).Wait(timeout(t)); err != nil {
		t.Error(err)
	}
}
