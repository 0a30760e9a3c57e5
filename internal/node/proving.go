package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	// proveTick is the time between two looks at the copies of spaces, whether others are to
	// prove what they have, proveEvery that between two proofs of one of them, proveRetry
	// after one that failed, proveSoon after one that could not be, as of who has nothing yet.
	proveTick  = 10 * time.Second
	proveEvery = 6 * time.Hour
	proveRetry = 15 * time.Minute
	proveSoon  = time.Minute
	// proveTime is how long one of them may take.
	proveTime = 2 * time.Minute
	// proveOpen is how long it may take to open a log.
	proveOpen = 3 * time.Second
	// proveBlocks is how many blocks it is asked for.
	proveBlocks = 24
)

// overseeCopies watches who holds the spaces, and has mirrors and other devices prove a few
// times a day that they have what they say, until ctx ends.
func (n *Node) overseeCopies(ctx context.Context) {
	type copyOf struct {
		space hypercrypto.Key
		node  hypercrypto.PublicKey
	}
	next := make(map[copyOf]time.Time)
	watches := make(map[hypercrypto.Key]*watch)
	for {
		for _, s := range n.spaces.Spaces() {
			one, cancel := context.WithTimeout(ctx, careTime)
			nodes, err := n.holders(one, s)
			cancel()
			if err != nil {
				continue // it has not arrived yet, or is about to be closed
			}
			w := watches[s.Key()]
			if w == nil {
				w = new(watch)
				watches[s.Key()] = w
			}
			if err := n.watchCopies(ctx, s, nodes, w); err != nil && ctx.Err() == nil {
				n.opts.Log.Warn("the copies of a space are not looked at", "space", s.Name(), "err", err)
			}
			for _, node := range nodes {
				c := copyOf{s.Key(), node}
				if !n.online(node) || time.Now().Before(next[c]) || time.Since(n.seen.get(s, node).Proven) < proveEvery {
					continue
				}
				if err := n.prove(ctx, s, node); err != nil && ctx.Err() == nil {
					next[c] = time.Now().Add(proveSoon)
					if fault.KindOf(err) != fault.Unavailable {
						next[c] = time.Now().Add(proveRetry)
					}
					n.opts.Log.Log(ctx, severity(err), "somebody did not prove what they have", "space", s.Name(), "node", node, "err", err)
				}
			}
		}
		for c, at := range next {
			if time.Now().After(at) {
				delete(next, c)
			}
		}
		if !pause(ctx, proveTick) {
			return
		}
	}
}

// severity is how bad it is that somebody proved nothing: who has nothing yet, or is gone,
// does no harm.
func severity(err error) slog.Level {
	if errors.Is(err, hypercore.ErrChallenge) {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// prove has a node prove that it has random blocks of a space, of those that it says it
// has and that this device can check, and remembers how that ended. The error is one
// of kind Unavailable if the node is not connected or has nothing yet, and wraps [hypercore.ErrChallenge] if it
// does not have what it says. It implements [api.Backend.Prove].
func (n *Node) prove(ctx context.Context, s *space.Space, node hypercrypto.PublicKey) error {
	if !n.online(node) {
		return fault.New(fault.Unavailable, "%s is not connected", n.nodeName(ctx, s, node))
	}
	ctx, cancel := context.WithTimeout(ctx, proveTime)
	defer cancel()
	logs, err := logsOf(ctx, s)
	if err != nil {
		return err
	}
	proven := 0
	for l, blocks := range sample(logs, proveBlocks) {
		some, err := n.proveLog(ctx, l, blocks, node)
		if err != nil {
			if errors.Is(err, hypercore.ErrChallenge) {
				err = errors.Join(err, n.seen.note(s, node, func(x *sighting) { x.Failed = time.Now() }))
			}
			return fmt.Errorf("log %s at %s: %w", l.Key, n.nodeName(ctx, s, node), err)
		}
		proven += some
	}
	if proven == 0 {
		return fault.New(fault.Unavailable, "%s does not say that it has anything", n.nodeName(ctx, s, node)).Hint("wait until it has fetched the space")
	}
	return n.seen.note(s, node, func(x *sighting) { x.Proven, x.Failed = time.Now(), time.Time{} })
}

// nodeName is how a node is called in a space.
func (n *Node) nodeName(ctx context.Context, s *space.Space, node hypercrypto.PublicKey) string {
	members, err := s.Members(ctx)
	if err == nil {
		for _, m := range members {
			if m.Person == node {
				return fmt.Sprintf("the mirror %q", m.Name)
			}
		}
	}
	devices, err := s.Devices(ctx)
	if err == nil {
		for _, d := range devices {
			if d.Node == node && !d.Removed {
				return fmt.Sprintf("the device %q", d.Name)
			}
		}
	}
	return node.String()
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

// proveLog asks a node for random blocks of a log, of those that it says it has, and returns
// how many it proved. That is none if it says that it has none.
func (n *Node) proveLog(ctx context.Context, l blindpeer.Log, blocks int, node hypercrypto.PublicKey) (proven int, err error) {
	core, err := n.store.Get(ctx, corestore.GetOptions{Key: &l.Key})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, core.Close()) }()
	p, err := holder(ctx, core, node)
	if p == nil || err != nil {
		return 0, err
	}
	for range blocks {
		i, ok := p.NextHeld(rand.Uint64N(core.Length()))
		if !ok || i >= core.Length() {
			if i, ok = p.NextHeld(0); !ok || i >= core.Length() {
				break
			}
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

// holder waits a moment until a peer has a log open, and says what it holds of it; nil if it
// does not.
func holder(ctx context.Context, core *hypercore.Core, peer hypercrypto.PublicKey) (*hypercore.Peer, error) {
	open, cancel := context.WithTimeout(ctx, proveOpen)
	defer cancel()
	for {
		for _, p := range core.Peers() {
			if p.PublicKey() == peer && core.Length() > 0 && p.Ask(open, 0, core.Length()) == nil && p.Holds(0, core.Length()) > 0 {
				return p, nil
			}
		}
		if !pause(open, 20*time.Millisecond) {
			return nil, ctx.Err()
		}
	}
}
