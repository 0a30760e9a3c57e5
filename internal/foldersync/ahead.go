package foldersync

import (
	"context"

	"github.com/tradle/cloudpal/internal/filetree"
)

// orders fetches the contents of files before it is their turn to be written, many at
// once: those of the next windows of the list.
type orders struct {
	f       *Folder
	ctx     context.Context
	entries []filetree.Entry
	ends    []int // of the windows that were ordered
	stops   []func()
}

// The end of a window. The window behind the one that is being written is ordered too.
const (
	windowFiles = 1024
	windowBytes = 16 << 20
)

// upTo says that the files up to a position are written or being written.
func (o *orders) upTo(at int) {
	for len(o.ends) < 2 || at >= o.ends[len(o.ends)-2] {
		from := 0
		if n := len(o.ends); n > 0 {
			from = o.ends[n-1]
		}
		if from == len(o.entries) {
			return
		}
		o.ends = append(o.ends, o.order(from))
	}
}

// order orders a window and returns where it ends.
func (o *orders) order(from int) int {
	var list []*filetree.Entry
	to, bytes := from, uint64(0)
	for ; to < len(o.entries) && to-from < windowFiles && bytes < windowBytes; to++ {
		e := &o.entries[to]
		if e.Kind != kindFile || e.Size == 0 {
			continue
		}
		if r, known, err := o.f.idx.get(e.Path); err != nil || known && sameContent(*e, r) {
			continue // nothing is to be fetched, or it shows when it is written
		}
		list = append(list, e)
		bytes += e.Size
	}
	if len(list) > 0 {
		o.stops = append(o.stops, o.f.tree.Fetch(o.ctx, list))
	}
	return to
}

// stop withdraws what did not come.
func (o *orders) stop() {
	for _, stop := range o.stops {
		stop()
	}
}
