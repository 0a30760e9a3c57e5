package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tradle/cloudpal/hyper/internal/bitfield"
)

// Problem is something Check found wrong.
type Problem struct {
	Core *Core  // nil if it concerns the store as a whole
	Text string // what, in a sentence
	// Block is the index of a block whose bytes are damaged or missing, for
	// which ClearBlocks and fetching it again is the cure; else -1.
	Block int64
}

func (p Problem) String() string {
	if p.Core == nil {
		return p.Text
	}
	return fmt.Sprintf("core %s: %s", p.Core.dk, p.Text)
}

// CheckOptions configures Check. The zero value checks everything.
type CheckOptions struct {
	// SkipData leaves the bytes of large blocks unread.
	SkipData bool
	// Progress is called now and then with the number of blocks checked and of
	// those held by all cores; nil for none.
	Progress func(done, total uint64)
}

// Check compares the parts of the store with each other and with what is on
// disk: every page decodes, exactly the held blocks have bytes, the bytes match
// their checksums, the contiguous length is right, and no segment has fewer
// bytes than are in use. It calls report for each problem and returns an error
// only if it cannot go on. Commits may go on meanwhile; each core is checked as
// of one moment.
func (db *DB) Check(ctx context.Context, o CheckOptions, report func(Problem)) error {
	if err := db.checkDatabase(report); err != nil {
		return err
	}
	var cores []*Core
	var total uint64
	for c, err := range db.allCores() {
		if err != nil {
			report(Problem{Text: fmt.Sprintf("directory of cores: %v", err), Block: -1})
			break
		}
		cores = append(cores, c)
	}
	for _, c := range cores {
		total += c.CountHeld(0, MaxIndex+1)
	}
	var done uint64
	for _, c := range cores {
		k := coreCheck{c: c, o: o, report: func(i int64, format string, args ...any) {
			report(Problem{Core: c, Text: fmt.Sprintf(format, args...), Block: i})
		}}
		k.step = func() {
			if done++; done%1024 == 0 && o.Progress != nil {
				o.Progress(done, total)
			}
		}
		if err := k.run(ctx); err != nil {
			return err
		}
	}
	if o.Progress != nil {
		o.Progress(total, total)
	}
	return db.checkSegments(report)
}

// checkDatabase reads every record once, so that Pebble checks its checksums
// and our merge operator every page.
func (db *DB) checkDatabase(report func(Problem)) error {
	if !db.gate.enter() {
		return ErrClosed
	}
	defer db.leave()
	if err := db.scan(db.pebble, []byte{0}, []byte{0xff}, func(key, value []byte) error { return nil }); err != nil {
		report(Problem{Text: fmt.Sprintf("database: %v", err), Block: -1})
	}
	return nil
}

type coreCheck struct {
	c      *Core
	o      CheckOptions
	report func(block int64, format string, args ...any)
	step   func()
}

func (k *coreCheck) run(ctx context.Context) error {
	// A snapshot and the bits must be of one moment.
	k.c.writeMu.Lock()
	if k.c.deleted {
		k.c.writeMu.Unlock()
		return nil
	}
	held := k.c.Held()
	s, err := k.c.Snapshot()
	k.c.writeMu.Unlock()
	if err != nil {
		return err
	}
	defer s.Close()
	h, err := s.Head()
	if err != nil {
		k.report(-1, "head: %v", err)
		return nil
	}
	if n := held.NextUnset(0); h.Contiguous != n {
		k.report(-1, "contiguous length is %d instead of %d", h.Contiguous, n)
	}
	if _, err := s.Auth(); err != nil && !isNotFound(err) {
		k.report(-1, "auth: %v", err)
	}
	k.tree(s)
	return k.blocks(ctx, s, held)
}

// tree looks at the roots: without them the core cannot be used.
func (k *coreCheck) tree(s *Snapshot) {
	h, _ := s.Head()
	if !k.c.isMain() {
		return // may lie in the parent
	}
	start := uint64(0)
	for d := 52; d >= 0; d-- {
		if h.Length>>d&1 == 0 {
			continue
		}
		x := (2*(start>>d)+1)<<d - 1
		if _, err := s.Node(x); err != nil {
			k.report(-1, "root %d: %v", x, err)
		}
		start += 1 << d
	}
}

func (k *coreCheck) blocks(ctx context.Context, s *Snapshot, held *bitfield.Bitfield) error {
	found := &bitfield.Bitfield{}
	var buf []byte
	var stop error
	db := k.c.db
	if !db.gate.enter() {
		return ErrClosed
	}
	defer db.leave()
	err := k.c.eachBlockPage(s.snap, 0, MaxIndex+1, func(first uint64, p *page) error {
		for slot := range uint(blockSlots) {
			if !has(p.set, slot) {
				continue
			}
			if stop = ctx.Err(); stop != nil {
				return errStop
			}
			i := first + uint64(slot)
			found.Set(i, true)
			if !held.Get(i) {
				k.report(-1, "block %d has bytes but is not held", i)
			}
			if _, ptr, large := p.block(slot); large && !k.o.SkipData {
				var err error
				if buf, err = db.segs.read(ptr, buf[:0]); err != nil {
					k.report(int64(i), "block %d: %v", i, err)
				}
			}
			k.step()
		}
		return nil
	})
	if stop != nil {
		return stop
	}
	if err != nil {
		k.report(-1, "blocks: %v", err)
		return nil
	}
	for s, e := range held.Runs(0, MaxIndex+1) {
		for i := found.NextUnset(s); i < e; i = found.NextUnset(i + 1) {
			k.report(int64(i), "block %d is held but has no bytes", i)
		}
	}
	return nil
}

// checkSegments compares what is in use with what the accounting says.
func (db *DB) checkSegments(report func(Problem)) error {
	db.reclaim.runMu.Lock()
	defer db.reclaim.runMu.Unlock()
	live, err := db.liveBytes(db.pebble)
	if err != nil {
		report(Problem{Text: fmt.Sprintf("segments: %v", err), Block: -1})
		return nil
	}
	db.segs.mu.RLock()
	defer db.segs.mu.RUnlock()
	for id, n := range live {
		g := db.segs.m[id]
		if g == nil {
			report(Problem{Text: fmt.Sprintf("segment %d is missing", id), Block: -1})
			continue
		}
		if used := g.end - segmentHeaderLen - g.dead; n > used {
			report(Problem{Text: fmt.Sprintf("segment %d: %d bytes in use, accounting says %d", id, n, used), Block: -1})
		}
	}
	return nil
}

// liveBytes returns the bytes in use of each segment, record headers included.
func (db *DB) liveBytes(r pebble.Reader) (map[uint32]int64, error) {
	if !db.gate.enter() {
		return nil, ErrClosed
	}
	defer db.leave()
	live := map[uint32]int64{}
	var errs []error
	for c, err := range db.allCores() {
		if err != nil {
			return nil, err
		}
		if c.largeBytes() == 0 {
			continue
		}
		errs = append(errs, c.eachPointer(r, 0, MaxIndex+1, func(_ uint64, p pointer) error {
			live[p.seg] += p.extent().n
			return nil
		}))
	}
	return live, errors.Join(errs...)
}
