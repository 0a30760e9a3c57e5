package hyperblobs

import (
	"context"
	"slices"
	"sync"
)

// layout is a block map made ready for reading. It is not changed any more.
type layout struct {
	pieces []Piece // without empty ones
	starts []int64 // where each begins in the content
	size   int64
}

// layout returns that of a mapped blob.
func (b *Blobs) layout(ctx context.Context, id ID, fork uint64) (*layout, error) {
	key := layoutKey{id, fork}
	if m := b.layouts.get(key); m != nil {
		return m, nil
	}
	pieces, err := b.Map(ctx, id)
	if err != nil {
		return nil, err
	}
	m := &layout{pieces: slices.DeleteFunc(pieces, func(p Piece) bool { return p.Length == 0 })}
	m.starts = make([]int64, len(m.pieces))
	for i, p := range m.pieces {
		m.starts[i] = m.size
		m.size += int64(p.Length)
	}
	if b.core.Fork() == fork {
		b.layouts.put(key, m)
	}
	return m, nil
}

// layouts keeps those that were used last: reading a range of a large file would
// otherwise take longer to decode the map than to read the range.
type layouts struct {
	mu   sync.Mutex
	list []keptLayout // the one used last comes last
}

type keptLayout struct {
	key layoutKey
	m   *layout
}

// layoutKey names a map. On one fork of a log an ID stands for one content.
type layoutKey struct {
	id   ID
	fork uint64
}

const (
	// maxLayouts and maxLayoutPieces bound what is kept: at most 6 MiB of pieces of
	// 24 bytes.
	maxLayouts      = 8
	maxLayoutPieces = 1 << 18
)

func (l *layouts) get(key layoutKey) *layout {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, k := range l.list {
		if k.key == key {
			l.list = append(slices.Delete(l.list, i, i+1), k)
			return k.m
		}
	}
	return nil
}

func (l *layouts) put(key layoutKey, m *layout) {
	if len(m.pieces) > maxLayoutPieces {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.ContainsFunc(l.list, func(k keptLayout) bool { return k.key == key }) {
		return
	}
	l.list = append(l.list, keptLayout{key, m})
	pieces := 0
	for i := len(l.list) - 1; i >= 0; i-- {
		if pieces += len(l.list[i].m.pieces); pieces > maxLayoutPieces || len(l.list)-i > maxLayouts {
			l.list = slices.Delete(l.list, 0, i+1)
			return
		}
	}
}
