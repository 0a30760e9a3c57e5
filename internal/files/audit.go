package files

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Audit is the finding about one log.
type Audit struct {
	Key    hypercrypto.Key
	Name   string
	Length uint64
	Blocks uint64
	// Problems is what was found, Repaired what was done about it.
	Problems, Repaired []string
}

// Audit checks every log of the store and yields what it found. With repair it
// also mends what it can: what can be fetched again is dropped.
func (l *Library) Audit(ctx context.Context, repair bool) iter.Seq2[Audit, error] {
	return func(yield func(Audit, error) bool) {
		names, contents := l.logNames(ctx)
		for dk, err := range l.store.List() {
			if err != nil {
				yield(Audit{}, explain(ctx, fmt.Errorf("list logs: %w", err)))
				return
			}
			a, err := l.auditOne(ctx, dk, repair, contents[dk])
			if err != nil {
				yield(a, explain(ctx, err))
				return
			}
			a.Name = names[dk]
			if l.registry.damage != nil && dk == l.registry.core.DiscoveryKey() && len(a.Problems) == 0 {
				a.Problems = append(a.Problems, l.registry.damage.Error())
			}
			if !yield(a, nil) {
				return
			}
		}
	}
}

// auditOne checks one log. own is the drive whose contents it holds, if that
// follows a path on disk.
func (l *Library) auditOne(ctx context.Context, dk hypercrypto.DiscoveryKey, repair bool, own *Record) (Audit, error) {
	core, err := l.store.Get(ctx, corestore.GetOptions{DiscoveryKey: &dk, Passive: true})
	if err != nil {
		if ctx.Err() != nil {
			return Audit{}, err
		}
		// A log that cannot be opened is a finding, not the end of the audit.
		return Audit{Problems: []string{fmt.Sprintf("log %s cannot be opened: %v", dk, err)}}, nil
	}
	defer core.Close()
	a := Audit{Key: core.Key(), Length: core.Length()}
	report, err := core.Audit(ctx, &hypercore.AuditOptions{Repair: repair})
	if report != nil {
		a.describe(report)
	}
	if repair && err == nil && own != nil && report.DamagedN > 0 {
		var mended uint64
		if mended, err = l.mendAll(ctx, core, *own, report); mended > 0 {
			a.Repaired = append(a.Repaired, fmt.Sprintf("restored %s from %s", plural(mended, "block"), own.Path))
		}
		if left := report.DamagedN - mended; mended > 0 && left > 0 {
			a.Problems = append(a.Problems, fmt.Sprintf("%s still damaged", plural(left, "block")))
		}
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return a, err
	case errors.Is(err, hypercore.ErrConflict):
		a.Problems = append(a.Problems, "its owner signed two different histories; it is frozen")
	default:
		a.Problems = append(a.Problems, err.Error())
	}
	return a, nil
}

// mendAll mends what the report names, and goes on with a new one when it cannot
// name all.
func (l *Library) mendAll(ctx context.Context, core *hypercore.Core, own Record, report *hypercore.AuditReport) (mended uint64, err error) {
	for {
		n, err := l.mend(ctx, own, report.Damaged)
		mended += n
		if err != nil || n == 0 || report.DamagedN == uint64(len(report.Damaged)) {
			return mended, err
		}
		if report, err = core.Audit(ctx, nil); err != nil || report.DamagedN == 0 {
			return mended, err
		}
	}
}

func (a *Audit) describe(r *hypercore.AuditReport) {
	a.Blocks = r.Blocks
	if r.DamagedN > 0 {
		a.Problems = append(a.Problems, fmt.Sprintf("%s damaged, the first is block %d", plural(r.DamagedN, "block"), r.Damaged[0]))
	}
	if n := len(r.Lost); n > 0 {
		a.Problems = append(a.Problems, fmt.Sprintf("the disk lost %d blocks after it had confirmed them, the first is block %d; they come back from peers that fetched them", n, r.Lost[0]))
	}
	if r.BadNodesN > 0 {
		a.Problems = append(a.Problems, fmt.Sprintf("%s of its tree damaged", plural(r.BadNodesN, "node")))
	}
	if r.BadHead {
		a.Problems = append(a.Problems, "its signature does not fit its content")
	}
	if r.Dropped > 0 {
		a.Repaired = append(a.Repaired, fmt.Sprintf("dropped %s, to be fetched again when needed", plural(r.Dropped, "block")))
	}
	if r.CutTo != nil {
		a.Repaired = append(a.Repaired, fmt.Sprintf("cut the log to %s", plural(*r.CutTo, "block")))
	}
}

// plural writes "1 block", "2 blocks".
func plural(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// logNames says what the logs are to the node, and which drives that follow a
// path have their contents in which.
func (l *Library) logNames(ctx context.Context) (names map[hypercrypto.DiscoveryKey]string, contents map[hypercrypto.DiscoveryKey]*Record) {
	names = map[hypercrypto.DiscoveryKey]string{l.registry.core.DiscoveryKey(): "list of drives"}
	contents = make(map[hypercrypto.DiscoveryKey]*Record)
	for _, r := range l.Records() {
		h, release, err := l.acquire(ctx, r)
		if err != nil {
			continue // its logs are audited without a name
		}
		names[h.drive.DiscoveryKey()] = r.Name + " (names)"
		if h.drive.Writable() || h.drive.Core().Has(0, 1) {
			if blobs, err := h.drive.Blobs(ctx); err == nil {
				names[blobs.Core().DiscoveryKey()] = r.Name + " (contents)"
				if r.Path != "" {
					contents[blobs.Core().DiscoveryKey()] = &r
				}
			}
		}
		release()
	}
	return names, contents
}
