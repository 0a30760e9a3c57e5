package content

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercore"
)

// Progress tells how far a download is.
type Progress struct {
	// Blocks of Total have arrived; Bytes is what they had, as stored. The last
	// report of a download that succeeds has all blocks.
	Blocks, Total, Bytes uint64
}

const (
	// orderBlocks is the longest run that is ordered at once, maxOrders how many
	// orders wait in one log.
	orderBlocks = 1024
	maxOrders   = 16
	// maxTables is how many lists of parts are fetched at once.
	maxTables = 16
)

// Download fetches the blocks of contents that are not held here and waits for
// them. All logs are fetched at once, each front to back, with a bounded number of
// orders. progress, if set, is called for blocks that arrived, by several
// goroutines, and must return quickly.
//
// What arrived stays when it fails or ctx ends, so calling it again goes on.
func (s *Store) Download(ctx context.Context, refs []Ref, progress func(Progress)) error {
	need, err := s.blocksOf(ctx, refs)
	if err != nil {
		return err
	}
	l := s.logs()
	defer l.close()
	d := download{progress: progress}
	missing := make(map[*hypercore.Core][]hyperblobs.Run)
	for key := range need.logs {
		b, err := l.get(ctx, key)
		if err != nil {
			return err
		}
		runs := missingOf(b.Core(), need.Runs(key))
		for _, r := range runs {
			d.total += r.End - r.Start
		}
		missing[b.Core()] = runs
	}
	group, ctx := errgroup.WithContext(ctx)
	for core, runs := range missing {
		group.Go(func() error { return d.fetch(ctx, core, runs) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if progress != nil && d.total > 0 {
		progress(Progress{Blocks: d.total, Total: d.total, Bytes: d.bytes.Load()})
	}
	return nil
}

// blocksOf returns the blocks of all contents, fetching their lists first.
func (s *Store) blocksOf(ctx context.Context, refs []Ref) (*Blocks, error) {
	need := new(Blocks)
	tables := make([]Ref, 0)
	for _, ref := range refs {
		if ref.Table != nil {
			tables = append(tables, ref)
		} else if err := need.Add(ctx, s, ref); err != nil {
			return nil, err
		}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(maxTables)
	for _, ref := range tables {
		group.Go(func() error {
			l := s.logs()
			defer l.close()
			_, err := l.parts(groupCtx, ref, false)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, ref := range tables {
		if err := need.Add(ctx, s, ref); err != nil {
			return nil, err
		}
	}
	return need, nil
}

// missingOf returns what is not held of sorted runs.
func missingOf(core *hypercore.Core, runs []hyperblobs.Run) (missing []hyperblobs.Run) {
	add := func(start, end uint64) {
		if start < end {
			missing = append(missing, hyperblobs.Run{Start: start, End: end})
		}
	}
	for _, r := range runs {
		at := r.Start
		for start, end := range core.Held(r.Start, r.End) {
			add(at, start)
			at = end
		}
		add(at, r.End)
	}
	return missing
}

// download is one call of Download.
type download struct {
	progress      func(Progress)
	total         uint64
	blocks, bytes atomic.Uint64
}

// fetch orders sorted runs of a log and waits for them.
func (d *download) fetch(ctx context.Context, core *hypercore.Core, missing []hyperblobs.Run) error {
	if len(missing) == 0 {
		return nil
	}
	if d.progress != nil {
		wanted := blockSet{runs: missing}
		defer core.Events(func(e hypercore.Event) {
			if e.Type != hypercore.EventDownload {
				return
			}
			if _, ordered := wanted.find(e.Index); ordered {
				d.progress(Progress{Blocks: d.blocks.Add(1), Bytes: d.bytes.Add(uint64(e.Bytes)), Total: d.total})
			}
		})()
	}
	orders := make([]*hypercore.Download, 0, maxOrders)
	defer func() {
		for _, o := range orders {
			o.Close()
		}
	}()
	for next := missing[0].Start; len(missing) > 0 || len(orders) > 0; {
		if len(missing) > 0 && len(orders) < maxOrders {
			end := min(missing[0].End, next+orderBlocks)
			orders = append(orders, core.Download(hypercore.Range{Start: next, End: end}))
			if next = end; next == missing[0].End {
				if missing = missing[1:]; len(missing) > 0 {
					next = missing[0].Start
				}
			}
			continue
		}
		if err := orders[0].Wait(ctx); err != nil {
			return fmt.Errorf("download content: %w", err)
		}
		orders = orders[1:]
	}
	return nil
}
