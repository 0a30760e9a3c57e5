package content

import "github.com/tradle/cloudpal/hyper/hypercore"

const (
	// aheadBytes and aheadParts bound what is ordered ahead of a sequential read.
	// The part that is being read is ordered whole.
	aheadBytes = 16 << 20
	aheadParts = 128
)

// ahead orders the blocks of the parts that come next from peers, before they are
// read. It belongs to the sequential reader.
type ahead struct {
	r      *Reader
	next   int // the first part that was not considered
	orders []order
}

type order struct {
	part int
	d    *hypercore.Download
}

// from says that part i is read now.
func (a *ahead) from(i int) {
	if a.r.local {
		return
	}
	n := 0
	for n < len(a.orders) && a.orders[n].part < i {
		a.orders[n].d.Close()
		n++
	}
	a.orders = a.orders[n:]
	a.next = max(a.next, i)
	bytes := int64(0)
	if a.next > i {
		bytes = a.r.starts[a.next-1] - a.r.starts[i]
	}
	for a.next < len(a.r.parts) && (a.next == i || bytes < aheadBytes && a.next-i < aheadParts) {
		a.order(a.next)
		bytes += int64(a.r.parts[a.next].Size())
		a.next++
	}
}

// order fetches what is not held of a part. A log that cannot be opened will tell
// so when it is read. Content of one block is ordered by reading it.
func (a *ahead) order(i int) {
	part := a.r.parts[i]
	if part.Zeros() || len(a.r.parts) == 1 && part.Blob.BlockLength == 1 {
		return
	}
	a.r.openMu.Lock()
	defer a.r.openMu.Unlock()
	b, err := a.r.blobsLocked(i)
	if err != nil || b.Core().Has(part.Blob.BlockOffset, part.Blob.End()) {
		return
	}
	d := b.Core().Download(hypercore.Range{Start: part.Blob.BlockOffset, End: part.Blob.End(), Linear: true})
	a.orders = append(a.orders, order{i, d})
}

// stop withdraws all orders.
func (a *ahead) stop() {
	for _, o := range a.orders {
		o.d.Close()
	}
	a.orders, a.next = nil, 0
}
