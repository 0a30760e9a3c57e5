package node

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/tradle/cloudpal/hyper/blindpeer"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/space"
)

// mirrorPause is the least time between two looks at what mirrors have to be told, and
// mirrorTick the longest: contents come after the operations that name them.
const (
	mirrorPause = 500 * time.Millisecond
	mirrorTick  = 15 * time.Second
)

// keptSpace is a space that mirrors are told of.
type keptSpace struct {
	mirrors []hypercrypto.PublicKey
	logs    []hypercrypto.Key // sorted; other ones come when other devices confirm, too
	keeping *blindpeer.Keeping
}

// tellMirrors tells the mirrors of all spaces what to keep, until ctx ends.
func (n *Node) tellMirrors(ctx context.Context) {
	kept := make(map[hypercrypto.Key]*keptSpace)
	defer func() {
		for _, k := range kept {
			k.keeping.Close()
		}
	}()
	for ctx.Err() == nil {
		changed := n.spaces.Changed()
		here := make(map[hypercrypto.Key]bool)
		for _, s := range n.spaces.Spaces() {
			here[s.Key()] = true
			if err := n.tellMirrorsOf(ctx, s, kept); err != nil && ctx.Err() == nil {
				n.opts.Log.Warn("the mirrors of a space are not told what to keep", "space", s.Name(), "err", err)
			}
		}
		for key, k := range kept {
			if !here[key] {
				k.keeping.Close()
				delete(kept, key)
			}
		}
		tick := time.NewTimer(mirrorTick)
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
		}
		tick.Stop()
		pause(ctx, mirrorPause)
	}
}

func (n *Node) tellMirrorsOf(ctx context.Context, s *space.Space, kept map[hypercrypto.Key]*keptSpace) error {
	mirrors, err := mirrorsOf(ctx, s)
	if err != nil {
		return err
	}
	key := s.Key()
	k := kept[key]
	if k != nil && !slices.Equal(k.mirrors, mirrors) {
		k.keeping.Close()
		delete(kept, key)
		k = nil
	}
	if len(mirrors) == 0 {
		return nil
	}
	list, err := logsOf(ctx, s)
	if err != nil {
		return err
	}
	logs := make([]hypercrypto.Key, len(list))
	for i, l := range list {
		logs[i] = l.Key
	}
	if k != nil {
		if !slices.Equal(logs, k.logs) {
			k.logs = logs
			k.keeping.Update()
		}
		return nil
	}
	keeping, err := n.mirrors.Keep(blindpeer.Subject{
		Target: key, Referrer: &key, Mirrors: mirrors, Pick: len(mirrors), Priority: blindpeer.PriorityNormal,
		Logs: func() []blindpeer.Log {
			list, err := logsOf(n.ctx, s)
			if err != nil {
				n.opts.Log.Debug("the logs of a space", "space", s.Name(), "err", err) // it is about to be closed
			}
			return list
		},
	})
	if err != nil {
		return err
	}
	kept[key] = &keptSpace{mirrors, logs, keeping}
	return nil
}

// logsOf returns what a mirror has to keep of a space, in the order of keys. A mirror puts
// away what nobody gives it, so it is told of contents when there are some here.
func logsOf(ctx context.Context, s *space.Space) (list []blindpeer.Log, err error) {
	p, err := s.Parts(ctx)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(p.Contents, func(_ hypercrypto.Key, length uint64) bool { return length == 0 })
	for key, length := range p.Logs() {
		list = append(list, blindpeer.Log{Key: key, Length: length})
	}
	slices.SortFunc(list, func(a, b blindpeer.Log) int { return slices.Compare(a.Key[:], b.Key[:]) })
	return list, nil
}

// mirrorsOf returns the nodes of the mirrors of a space, in the order of keys.
func mirrorsOf(ctx context.Context, s *space.Space) (keys []hypercrypto.PublicKey, err error) {
	members, err := s.Members(ctx)
	for _, m := range members {
		if m.Role == space.Mirror && !m.Removed {
			keys = append(keys, m.Person)
		}
	}
	return keys, err
}

// online tells whether there is a connection to a node.
func (n *Node) online(node hypercrypto.PublicKey) bool {
	return n.network.swarm.Connection(node) != nil
}
