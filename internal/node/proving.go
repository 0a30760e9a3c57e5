package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tradle/cloudpal/hyper/blindpeer"
	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/space"
)

const (
	// proveTick is the time between two looks whether a mirror is to prove what it has,
	// proveEvery that between two proofs of one mirror, proveRetry after one that failed.
	proveTick  = time.Minute
	proveEvery = 6 * time.Hour
	proveRetry = 15 * time.Minute
	// proveTime is how long one mirror may take.
	proveTime = 2 * time.Minute
	// proveOpen is how long a mirror may take to say what it has of a log.
	proveOpen = 3 * time.Second
	// proveBlocks is how many blocks a mirror is asked for.
	proveBlocks = 24
)

// proveMirrors has the mirrors of all spaces prove a few times a day that they have what
// they say, until ctx ends.
func (n *Node) proveMirrors(ctx context.Context) {
	type copyOf struct {
		space  hypercrypto.Key
		mirror hypercrypto.PublicKey
	}
	failed := make(map[copyOf]time.Time)
	for {
		for _, s := range n.spaces.Spaces() {
			mirrors, err := mirrorsOf(ctx, s)
			if err != nil {
				continue // it has not arrived yet, or is about to be closed
			}
			for _, mirror := range mirrors {
				c := copyOf{s.Key(), mirror}
				if n.network.swarm.Connection(mirror) == nil || time.Since(failed[c]) < proveRetry || time.Since(n.provenBy(s, mirror).Proven) < proveEvery {
					continue
				}
				if err := n.prove(ctx, s, mirror); err == nil {
					delete(failed, c)
				} else if ctx.Err() == nil {
					failed[c] = time.Now()
					n.opts.Log.Warn("a mirror did not prove what it has", "space", s.Name(), "mirror", mirror, "err", err)
				}
			}
		}
		for c, at := range failed {
			if time.Since(at) > proveRetry {
				delete(failed, c)
			}
		}
		if !pause(ctx, proveTick) {
			return
		}
	}
}

// prove has a mirror prove that it has random blocks of a space, of those that it says it
// has and that this device can check, and remembers how that ended. The error is one
// of kind Unavailable if the mirror is not connected or has nothing yet, and wraps [hypercore.ErrChallenge] if it
// does not have what it says.
func (n *Node) prove(ctx context.Context, s *space.Space, mirror hypercrypto.PublicKey) error {
	if n.network.swarm.Connection(mirror) == nil {
		return fault.New(fault.Unavailable, "the mirror %s is not connected", mirror)
	}
	ctx, cancel := context.WithTimeout(ctx, proveTime)
	defer cancel()
	proven := 0
	for l, blocks := range sample(logsOf(ctx, s), proveBlocks) {
		some, err := n.proveLog(ctx, l, blocks, mirror)
		if err != nil {
			if errors.Is(err, hypercore.ErrChallenge) {
				err = errors.Join(err, n.remember(ctx, s, mirror, false))
			}
			return fmt.Errorf("log %s at the mirror: %w", l.Key, err)
		}
		proven += some
	}
	if proven == 0 {
		return fault.New(fault.Unavailable, "the mirror %s does not say that it has anything", mirror).Hint("wait until it has fetched the space")
	}
	return n.remember(ctx, s, mirror, true)
}

// sample chooses n blocks: how many of which log. Half of them are any blocks, so that
// what is large is looked at much, half are of any logs, so that no log is forgotten.
func sample(logs []blindpeer.Log, n int) map[blindpeer.Log]int {
	logs = slices.DeleteFunc(slices.Clone(logs), func(l blindpeer.Log) bool { return l.Length == 0 })
	total := uint64(0)
	for _, l := range logs {
		total += l.Length
	}
	chosen := make(map[blindpeer.Log]int)
	for i := range n {
		if len(logs) == 0 {
			break
		}
		if i%2 == 0 {
			chosen[logs[rand.IntN(len(logs))]]++
			continue
		}
		at := rand.Uint64N(total)
		for _, l := range logs {
			if at < l.Length {
				chosen[l]++
				break
			}
			at -= l.Length
		}
	}
	return chosen
}

// proveLog asks a mirror for random blocks of a log, and returns how many it proved. That
// is none if it says that it has none.
func (n *Node) proveLog(ctx context.Context, l blindpeer.Log, blocks int, mirror hypercrypto.PublicKey) (proven int, err error) {
	core, err := n.store.Get(ctx, corestore.GetOptions{Key: &l.Key, Passive: true})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, core.Close()) }()
	p, err := holder(ctx, core, mirror)
	if p == nil || err != nil {
		return 0, err
	}
	for range blocks {
		i := rand.Uint64N(core.Length())
		if !p.Has(i) {
			first := min(core.Length(), p.Stats().RemoteContiguousLength)
			if first == 0 {
				break
			}
			i = rand.Uint64N(first)
		}
		if err := p.Challenge(ctx, i); err != nil {
			if !slices.Contains(core.Peers(), p) {
				return proven, fault.New(fault.Unavailable, "the connection ended")
			}
			return proven, err
		}
		proven++
	}
	return proven, nil
}

// holder waits a moment until a peer says that it has blocks of a log; nil if it does not.
func holder(ctx context.Context, core *hypercore.Core, peer hypercrypto.PublicKey) (*hypercore.Peer, error) {
	for end := time.Now().Add(proveOpen); time.Now().Before(end); {
		for _, p := range core.Peers() {
			if p.PublicKey() == peer && p.Stats().RemoteContiguousLength > 0 && core.Length() > 0 {
				return p, nil
			}
		}
		if !pause(ctx, 20*time.Millisecond) {
			return nil, ctx.Err()
		}
	}
	return nil, nil
}
