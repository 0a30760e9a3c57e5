package hypercore

import (
	"bytes"
	"errors"
	"testing"
)

func TestMendTakesOnlyWhatTheTreeKnows(t *testing.T) {
	c := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	want := [][]byte{[]byte("zero"), bytes.Repeat([]byte("one"), 40_000), []byte("two")}
	if _, err := c.Append(t.Context(), want...); err != nil {
		t.Fatal(err)
	}
	if ok, err := c.Mend(t.Context(), 1, []byte("something else")); ok || err != nil {
		t.Errorf("other content: %v, %v", ok, err)
	}
	if ok, err := c.Mend(t.Context(), 1, want[1]); !ok || err != nil {
		t.Errorf("the content: %v, %v", ok, err)
	}
	if _, err := c.Mend(t.Context(), 3, want[1]); !errors.Is(err, ErrOutOfRange) {
		t.Errorf("beyond the end: %v", err)
	}
	// A block that was lost comes back.
	if err := c.Clear(t.Context(), 0, 1); err != nil {
		t.Fatal(err)
	}
	if ok, err := c.Mend(t.Context(), 0, want[0]); !ok || err != nil {
		t.Errorf("a lost block: %v, %v", ok, err)
	}
	for i, w := range want {
		if got, err := c.Get(t.Context(), uint64(i)); err != nil || !bytes.Equal(got, w) {
			t.Errorf("block %d has %d bytes, %v", i, len(got), err)
		}
	}
	if r, err := c.Audit(t.Context(), nil); err != nil || !r.OK() {
		t.Errorf("audit: %+v, %v", r, err)
	}
}
