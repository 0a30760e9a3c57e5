package blindpeer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// ErrKeepsReleased is the error of telling a mirror what is released that knows nothing of
// that, such as one in JavaScript: it keeps all blocks.
var ErrKeepsReleased = errors.New("blindpeer: the mirror cannot drop single blocks")

// Release says which blocks of a log nobody needs any more.
type Release struct {
	Log hypercrypto.Key
	// Fork and Length are those of the log; the mirror must know it to be that long.
	Fork, Length uint64
	// Runs are all blocks that are released, sorted; none touches another. Blocks that
	// were released before and are not any more, the mirror fetches again.
	Runs []hypercore.Run
	// Writer is the key pair of the log. Without it the mirror has to trust this client or
	// the writer must have made it a deputy.
	Writer *hypercrypto.KeyPair
	// Deputies are who may release blocks of the log beside its writer, which says so: the
	// keys of their connections, [MaxDeputies] at most.
	Deputies []hypercrypto.PublicKey
}

// Release has a mirror drop the blocks of a log that are released, and waits until it has
// done so durably. It sends nothing that the mirror knows already. The error is
// [ErrKeepsReleased] if the mirror cannot do that, and a *[RemoteError] if it refuses: it
// does not keep the log, knows only a part of it yet, or this client may not.
func (c *Client) Release(ctx context.Context, mirror hypercrypto.PublicKey, r Release) error {
	value, err := c.call(ctx, mirror, methodReleased, r.Log[:])
	if remote := (*RemoteError)(nil); errors.As(err, &remote) && remote.Code == codeUnknown {
		return ErrKeepsReleased
	}
	if err != nil {
		return fmt.Errorf("ask what is released of log %s: %w", r.Log, err)
	}
	known, err := decodeReleaseState(value)
	if err != nil {
		return err
	}
	want := releaseState{Runs: hashRuns(r.Runs), Deputies: hashDeputies(r.Deputies)}
	for at := range windows(r.Runs, r.Length) {
		if known.Runs == want.Runs && (r.Writer == nil || known.Deputies == want.Deputies) {
			break
		}
		m := statement{Log: r.Log, Fork: r.Fork, Time: max(millis(time.Now()), known.Time+1), From: at.Start, To: at.End, Runs: between(r.Runs, at.Start, at.End)}
		if r.Writer != nil {
			m.Deputies = r.Deputies
			signature := r.Writer.Sign(m.signed(mirror))
			m.Signature = signature[:]
		}
		if value, err = c.call(ctx, mirror, methodRelease, m.appendTo(nil)); err != nil {
			return fmt.Errorf("release blocks of log %s: %w", r.Log, err)
		}
		if known, err = decodeReleaseState(value); err != nil {
			return err
		}
	}
	return nil
}

// windows yields parts of a log, one after the other, of which the runs fit into a
// statement each.
func windows(runs []hypercore.Run, length uint64) func(yield func(hypercore.Run) bool) {
	return func(yield func(hypercore.Run) bool) {
		from, size := uint64(0), 0
		last := uint64(0)
		for _, r := range runs {
			n := compact.SizeUint(r.Start-last) + compact.SizeUint(r.End-r.Start-1)
			if size+n > maxRuns {
				if !yield(hypercore.Run{Start: from, End: last}) {
					return
				}
				from, size = last, 0
			}
			size, last = size+n, r.End
		}
		yield(hypercore.Run{Start: from, End: length})
	}
}
