package baddisk

import "testing"

// Run tries a story on disks that fail, in all [Ways], each as a parallel subtest named after
// it: first at operation 0, then at later ones, as [Fault.Next] chooses, until the story ends
// before the fault begins. The story makes the disk fail as it is told, reports through its
// own t what is wrong then, and returns what [Disk.Mend] says.
func Run(t *testing.T, name string, every bool, story func(t *testing.T, f Fault) (seen, failed int64)) {
	for _, f := range Ways() {
		t.Run(name+"/"+f.String(), func(t *testing.T) {
			t.Parallel()
			var failures, tries int64
			for ; ; f = f.Next(every) {
				seen, failed := story(t, f)
				if t.Failed() {
					t.Fatalf("at operation %d of %d", f.At, seen)
				}
				if seen <= f.At {
					break
				}
				failures += failed
				tries++
			}
			t.Logf("%d failed operations in %d tries", failures, tries)
		})
	}
}
