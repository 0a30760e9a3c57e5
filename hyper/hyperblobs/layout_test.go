package hyperblobs

import (
	"testing"
)

func TestLayoutsUsedLastAreKept(t *testing.T) {
	var l layouts
	key := func(i int) layoutKey { return layoutKey{id: ID{BlockOffset: uint64(i), BlockMap: true}} }
	of := func(pieces int) *layout { return &layout{pieces: make([]Piece, pieces)} }
	for i := range maxLayouts {
		l.put(key(i), of(10))
	}
	first := l.get(key(0))
	if first == nil {
		t.Fatal("the first is gone too early")
	}
	l.put(key(100), of(10))
	if l.get(key(1)) != nil || l.get(key(0)) != first || l.get(key(100)) == nil {
		t.Error("it is not the one unused for longest that went")
	}
	l.put(key(200), of(maxLayoutPieces))
	if l.get(key(0)) != nil || l.get(key(200)) == nil || len(l.list) != 1 {
		t.Error("more pieces are kept than may be")
	}
	l.put(key(300), of(maxLayoutPieces+1))
	if l.get(key(300)) != nil || l.get(key(200)) == nil {
		t.Error("a layout above the limit is kept")
	}
	if l.get(layoutKey{id: key(200).id, fork: 1}) != nil {
		t.Error("a layout serves another fork")
	}
}
