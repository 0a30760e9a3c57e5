package hypercore

import (
	"math/rand/v2"
	"time"

	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

// All functions here run with repl.mu held.

// cursor is how far a peer was asked for the blocks of a download.
type cursor struct {
	next    uint64
	stop    uint64 // where the second round ends
	wrapped bool
}

// back makes the cursor see block i again.
func (c *cursor) back(i uint64) {
	if c.wrapped {
		c.next = min(c.next, i)
		c.stop = max(c.stop, i+1)
		return
	}
	if i < c.next {
		c.stop = max(c.stop, c.next)
		c.next = min(c.next, i)
	}
}

// pump asks the peer for as much of what is wanted as it has room for.
func (p *Peer) pump() {
	r := p.repl
	if !p.opened || !p.synced || p.paused || r.closed || !p.remote.Uploading || len(r.queue) > 4096 {
		return
	}
	if !r.restUntil.IsZero() && time.Now().Before(r.restUntil) {
		return
	}
	l := r.log
	l.mu.RLock()
	h, rules, frozen, failed := l.head, l.rules, l.frozen, l.failed
	l.mu.RUnlock()
	if frozen || failed != nil || l.opts.AllowPush && !r.downloading {
		return
	}
	needManifest := rules == nil && p.remote.HasManifest
	if p.remote.Length == 0 {
		if needManifest && len(p.inflight) == 0 && p.room(0) {
			q := &request{}
			q.Fork, q.Manifest = p.remote.Fork, true
			p.send(q)
		}
		return
	}
	if p.remote.Fork != h.Fork {
		return // see checkReorg
	}
	p.pumpUpgrade(&h, needManifest)
	if h.Length == 0 {
		return
	}
	// Blocks above what the peer has can only be proven below its roots.
	if p.remote.Length < h.Length && !p.canUpgrade {
		return
	}
	end := min(h.Length, p.remote.Length)
	p.pumpSeeks(end)
	p.pumpGets(&h, end)
	p.pumpDownloads(&h, end)
	p.steal(&h, end)
}

// room tells whether a request whose answer has size bytes may be sent.
func (p *Peer) room(size int) bool {
	o := &p.repl.log.opts
	n := len(p.inflight) + p.checking
	switch {
	case n == 0:
		return true
	case p.stalled:
		return false
	default:
		return n < o.MaxInflight && p.inflightBytes+p.unchecked+size <= o.MaxInflightBytes
	}
}

// pumpUpgrade asks for a newer head. A block that a reader waits for comes with
// it.
func (p *Peer) pumpUpgrade(h *head, needManifest bool) {
	r := p.repl
	if r.upgrade != nil || r.reorg != nil || !p.remote.CanUpgrade || p.remote.Length <= h.Length || p.lengthAcked != h.Length {
		return
	}
	if !r.wantsUpgrade(h.Length) || !p.room(0) {
		return
	}
	q := &request{}
	q.Fork, q.Manifest = h.Fork, needManifest
	q.Upgrade = &merkle.UpgradeRequest{Start: h.Length, Length: p.remote.Length - h.Length}
	for i := range r.gets {
		if i >= h.Length && i < p.remote.Length && p.has(i) && r.asked[i] == 0 {
			q.Block = &merkle.BlockRequest{Index: i}
			q.Priority = 1
			break
		}
	}
	p.send(q)
}

func (r *replicator) wantsUpgrade(length uint64) bool {
	if !r.log.opts.NoEagerUpgrade && r.downloading || len(r.updates) > 0 {
		return true
	}
	for i := range r.gets {
		if i >= length {
			return true
		}
	}
	return false
}

// pumpGets asks for blocks that readers wait for.
func (p *Peer) pumpGets(h *head, end uint64) {
	r := p.repl
	for i := range r.gets {
		if i >= end || r.asked[i] > 0 {
			continue
		}
		if !p.ask(h, i, 1) {
			return
		}
	}
}

// ask requests block i if the peer has it. It returns false when there is no
// room for more.
func (p *Peer) ask(h *head, i uint64, priority uint64) bool {
	if !p.has(i) {
		p.sendWant(i)
		return true
	}
	if _, ok := p.missing[i]; ok {
		return true
	}
	levels, bound, err := p.repl.levels(2*i, h.Length)
	if err != nil {
		return false
	}
	size := bound
	if bound > largeBlock {
		size = int(min(h.ByteLength/h.Length, largeBlock))
	}
	if !p.room(size) {
		return false
	}
	q := &request{size: size, bound: bound, alone: bound > largeBlock}
	q.Fork, q.Priority = h.Fork, priority
	q.Block = &merkle.BlockRequest{Index: i, Levels: levels}
	p.send(q)
	return true
}

// pumpDownloads asks for the blocks of downloads.
func (p *Peer) pumpDownloads(h *head, end uint64) {
	for _, d := range p.repl.downloads {
		if d.r.Blocks != nil {
			if !p.pumpList(d, h, end) {
				return
			}
			continue
		}
		if !p.pumpRange(d, h, end) {
			return
		}
	}
}

func (p *Peer) pumpList(d *Download, h *head, end uint64) bool {
	for _, i := range d.r.Blocks[d.listed:] {
		if i >= end || p.repl.asked[i] > 0 || p.repl.log.holds(i) {
			continue
		}
		if !p.ask(h, i, 0) {
			return false
		}
	}
	return true
}

func (p *Peer) pumpRange(d *Download, h *head, end uint64) bool {
	r := p.repl
	end = min(end, d.end(h.Length))
	if d.next >= end || !p.room(1) {
		return d.next >= end
	}
	c := p.cursor(d, end)
	l := r.log
	for {
		i := d.nextMissing(l, max(c.next, d.next))
		if i >= end || c.wrapped && i >= c.stop {
			if c.wrapped || c.stop == 0 {
				c.next = i
				return true
			}
			c.wrapped, c.next = true, d.next
			continue
		}
		if !p.has(i) {
			p.sendWant(i)
			// Skip to what the peer has, or to where nobody asked it yet.
			next, ok := p.nextHeld(i)
			if !ok {
				next = end
			}
			for at := i/segment + 1; at*segment < min(next, end) && len(p.wanted) < maxWants; at++ {
				p.sendWant(at * segment)
			}
			c.next = next
			continue
		}
		c.next = i
		if r.asked[i] == 0 {
			if !p.ask(h, i, 0) {
				return false
			}
		}
		c.next = i + 1
	}
}

// cursor returns where to go on with a download at this peer. Readers of the
// same log that start at different places can help each other; a linear one
// starts at the front.
func (p *Peer) cursor(d *Download, end uint64) *cursor {
	c := p.cursors[d]
	if c != nil {
		return c
	}
	c = &cursor{next: d.next}
	const stride = 1024
	if n := (end - d.next) / stride; !d.r.Linear && n > 1 {
		c.next = d.next + rand.Uint64N(n)*stride
		c.stop = c.next
	}
	if p.cursors == nil {
		p.cursors = make(map[*Download]*cursor)
	}
	p.cursors[d] = c
	return c
}

// addDownload starts a standing order.
func (r *replicator) addDownload(d *Download) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		d.finish(ErrClosed)
		return
	}
	r.downloads = append(r.downloads, d)
	r.checkDownloads()
	r.pump()
}

func (r *replicator) removeDownload(d *Download) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropDownload(d)
}

func (r *replicator) dropDownload(d *Download) {
	for i, o := range r.downloads {
		if o == d {
			r.downloads = append(r.downloads[:i:i], r.downloads[i+1:]...)
			break
		}
	}
	for _, p := range r.peers {
		delete(p.cursors, d)
	}
}

// checkDownloads finishes the downloads that have everything.
func (r *replicator) checkDownloads() {
	if len(r.downloads) == 0 {
		return
	}
	l := r.log
	for _, d := range append([]*Download(nil), r.downloads...) {
		l.mu.RLock()
		done := d.advance(l)
		l.mu.RUnlock()
		if done {
			r.dropDownload(d)
			d.finish(nil)
		}
	}
}

// advance moves next over what is held and tells whether all is. log.mu is
// held.
func (d *Download) advance(l *log) bool {
	if d.r.Blocks != nil {
		for d.listed < len(d.r.Blocks) && l.holds(d.r.Blocks[d.listed]) {
			d.listed++
		}
		return d.listed == len(d.r.Blocks)
	}
	d.next = d.nextMissing(l, d.next)
	if d.r.Live {
		return false
	}
	if !d.ended {
		if l.head.Length == 0 {
			return false
		}
		d.r.End, d.ended = l.head.Length, true
	}
	return d.next >= d.r.End
}

// end is where the download ends in a log of length blocks.
func (d *Download) end(length uint64) uint64 {
	if d.r.Live || !d.ended {
		return length
	}
	return d.r.End
}

// back makes the download ask for block i again.
func (d *Download) back(i uint64) {
	if i >= d.r.Start {
		d.next = min(d.next, i)
	}
	if d.r.Blocks != nil {
		d.listed = 0
	}
}

func (d *Download) covers(i uint64) bool {
	if d.r.Blocks == nil {
		_, not := d.except(i)
		return !not && i >= d.r.Start && (!d.ended || d.r.Live || i < d.r.End)
	}
	for _, b := range d.r.Blocks[d.listed:] {
		if b == i {
			return true
		}
	}
	return false
}
