package hyperbee

import "testing"

// Memory for the indexes of operations runs out after any number of them.
func TestMemoryOfABatchRunsOutAnywhere(t *testing.T) {
	for n := range 5000 {
		w := &writer{r: new(reader), pending: make([]operation, n)}
		w.commit(new(node), []byte("k"), nil)
		w.copy([]byte("prefix"), []byte("k"))
		if len(w.pending) != n+1 || cap(w.index) > 512 || cap(w.bytes) < 4096 || cap(w.bytes) > 64<<10 {
			t.Fatalf("after %d operations: %d pending, room for %d and %d", n, len(w.pending), cap(w.index), cap(w.bytes))
		}
	}
}
