package content

import (
	"context"
	"fmt"
	"slices"
	"sort"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Blocks is a set of blocks in logs: those that some contents need. The zero value
// is empty. It is not safe for concurrent use.
type Blocks struct {
	logs map[hypercrypto.Key]*blockSet
}

// blockSet is sorted and joined up to sorted; what was added later follows.
type blockSet struct {
	runs   []hyperblobs.Run
	sorted int
}

// Add adds the blocks that content needs. If it fails, the set lacks some of them:
// nothing may be cleared by what it says then.
func (b *Blocks) Add(ctx context.Context, s *Store, ref Ref) error {
	for run, err := range s.Runs(ctx, ref) {
		if err != nil {
			return fmt.Errorf("list the blocks of content: %w", err)
		}
		b.add(run)
	}
	return nil
}

func (b *Blocks) add(run Run) {
	if b.logs == nil {
		b.logs = make(map[hypercrypto.Key]*blockSet)
	}
	set := b.logs[run.Log]
	if set == nil {
		set = new(blockSet)
		b.logs[run.Log] = set
	}
	set.runs = append(set.runs, run.Run)
	if len(set.runs) > 2*set.sorted+1024 {
		set.sort()
	}
}

func (s *blockSet) sort() {
	if s.sorted < len(s.runs) {
		s.runs = hyperblobs.JoinRuns(s.runs)
		s.sorted = len(s.runs)
	}
}

// Has tells whether a block is in the set.
func (b *Blocks) Has(log hypercrypto.Key, block uint64) bool {
	_, ok := b.find(log, block)
	return ok
}

// find returns the run that has a block, or else the next one after it, if any.
func (b *Blocks) find(log hypercrypto.Key, block uint64) (hyperblobs.Run, bool) {
	set := b.logs[log]
	if set == nil {
		return hyperblobs.Run{}, false
	}
	set.sort()
	return set.find(block)
}

// find is Blocks.find in a sorted set.
func (s *blockSet) find(block uint64) (hyperblobs.Run, bool) {
	i := sort.Search(len(s.runs), func(i int) bool { return s.runs[i].End > block })
	if i == len(s.runs) {
		return hyperblobs.Run{}, false
	}
	return s.runs[i], s.runs[i].Start <= block
}

// Runs returns the blocks of a log as sorted runs that do not touch.
func (b *Blocks) Runs(log hypercrypto.Key) []hyperblobs.Run {
	set := b.logs[log]
	if set == nil {
		return nil
	}
	set.sort()
	return slices.Clone(set.runs)
}

// without yields what is left of run when the blocks of the set are taken out.
func (b *Blocks) without(run Run) []hyperblobs.Run {
	var left []hyperblobs.Run
	for at := run.Start; at < run.End; {
		kept, has := b.find(run.Log, at)
		if has {
			at = kept.End
			continue
		}
		end := run.End
		if kept.Start > at {
			end = min(end, kept.Start)
		}
		left = append(left, hyperblobs.Run{Start: at, End: end})
		at = end
	}
	return left
}

// Unused returns the blocks of a log, in a range, that are held and not in the set.
func (b *Blocks) Unused(log hypercrypto.Key, core *hypercore.Core, start, end uint64) (unused []hyperblobs.Run) {
	for start, end := range core.Held(start, end) {
		unused = append(unused, b.without(Run{log, hyperblobs.Run{Start: start, End: end}})...)
	}
	return unused
}

// Without returns what is left of runs of a log when the blocks of the set are taken out.
func (b *Blocks) Without(log hypercrypto.Key, runs []hyperblobs.Run) (left []hyperblobs.Run) {
	for _, r := range runs {
		left = append(left, b.without(Run{log, r})...)
	}
	return left
}
