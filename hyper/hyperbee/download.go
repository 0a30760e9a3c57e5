package hyperbee

import (
	"sync"

	"github.com/tradle/cloudpal/hyper/hypercore"
)

// maxDownloads is the number of block lists that are fetched ahead at a time.
// The oldest gives way to a new one.
const maxDownloads = 64

// downloads are the blocks asked for ahead of their use.
type downloads struct {
	mu     sync.Mutex
	active [maxDownloads]*hypercore.Download
	next   int
	closed bool
}

func (d *downloads) start(core *hypercore.Core, blocks []uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	if old := d.active[d.next]; old != nil {
		old.Close()
	}
	d.active[d.next] = core.Download(hypercore.Range{Blocks: blocks})
	d.next = (d.next + 1) % maxDownloads
}

func (d *downloads) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for i, a := range d.active {
		if a != nil {
			a.Close()
			d.active[i] = nil
		}
	}
}
