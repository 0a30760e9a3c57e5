package node

import (
	"context"
	"slices"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/space"
	"github.com/tradle/cloudpal/internal/spacefs"
)

var levels = map[level]string{levelUnknown: api.HoldsUnknown, levelPart: api.HoldsPart, levelPresent: api.HoldsPresent, levelAll: api.HoldsAll}

// copiesOf finds out what a space has, and who holds how much of it: this device and those
// that are connected are looked at, of the others is told what they held. It implements
// [api.Backend.CopiesOf].
func (n *Node) copiesOf(ctx context.Context, s *space.Space) (*api.Copies, error) {
	nodes, err := n.holders(ctx, s)
	if err != nil {
		return nil, err
	}
	l, err := n.look(ctx, s, nodes)
	if err != nil {
		return nil, err
	}
	c := &api.Copies{Files: l.files(n.content.Of(s).Policy())}
	if err := n.listCopies(ctx, s, l, c); err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.lastCopies[s.Key()] = c
	n.mu.Unlock()
	return c, nil
}

// files describes the files of a space.
func (l *look) files(p spacefs.Policy) api.SpaceFiles {
	s, here := l.survey, l.survey.Lacks[0]
	return api.SpaceFiles{Type: api.TypeSpaceFiles, Files: s.Files, Bytes: s.Bytes, Conflicts: s.Conflicts, Trash: s.Trash, History: s.History,
		Keep: p.Everything, Version: s.Ops, Contents: s.Contents, TotalBytes: s.Size, Held: s.Contents - here.Contents, HeldBytes: s.Size - min(s.Size, here.Bytes)}
}

// listCopies describes all copies, this device first, then the other devices, then the
// mirrors. Where two say that they are the same node it is one copy, the mirror's, or that
// of the device with the smaller log key.
func (n *Node) listCopies(ctx context.Context, s *space.Space, l *look, c *api.Copies) error {
	members, err := s.Members(ctx)
	if err != nil {
		return err
	}
	devices, err := s.Devices(ctx)
	if err != nil {
		return err
	}
	who := make(map[hypercrypto.PublicKey]space.Member)
	counted := map[hypercrypto.PublicKey]bool{n.network.keyPair.Public: true}
	var mirrors []api.Copy
	for _, m := range members {
		who[m.Person] = m
		if m.Role != space.Mirror || m.Removed {
			continue
		}
		x := api.Copy{Type: api.TypeCopy, Name: m.Name, Role: m.Role.String(), Mirror: true}
		n.describeCopy(s, l, m.Person, &x)
		mirrors, counted[m.Person] = append(mirrors, x), true
	}
	for _, d := range devices {
		if d.Removed {
			continue
		}
		m := who[d.Person]
		x := api.Copy{Type: api.TypeCopy, Name: d.Name, Person: m.Name, Role: m.Role.String(), Log: d.Log.Hex(), Self: d.Self, AlwaysOn: d.AlwaysOn, Indexer: d.Indexer, Holds: api.HoldsUnknown}
		switch {
		case d.Self:
			x.Online = true
			now := l.sighting(0)
			now.describe(&x)
			c.Copies = slices.Insert(c.Copies, 0, x)
			continue
		case d.Node != (hypercrypto.PublicKey{}) && !counted[d.Node]:
			counted[d.Node] = true
			n.describeCopy(s, l, d.Node, &x)
		}
		c.Copies = append(c.Copies, x)
	}
	c.Copies = append(c.Copies, mirrors...)
	return nil
}

// describeCopy tells of the copy of a node.
func (n *Node) describeCopy(s *space.Space, l *look, node hypercrypto.PublicKey, x *api.Copy) {
	now := n.seen.get(s, node)
	x.Key, x.Online = node.String(), n.online(node)
	now.describe(x)
	x.Seen, x.Verified, x.Failed = now.Seen, now.Proven, now.Failed
	if x.Holds != api.HoldsUnknown && now.Ops != l.survey.Ops {
		x.Holds, x.Complete, x.Behind = api.HoldsPart, false, true
	}
}

// describe tells what was held.
func (now *sighting) describe(x *api.Copy) {
	x.Holds, x.Complete, x.Looked = levels[now.Level], now.Level == levelAll, now.Looked
	x.LacksContents, x.LacksBytes, x.LacksOperations = now.Lack.Contents, now.Lack.Bytes, now.Logs
	x.LacksFiles, x.LacksFileBytes = now.Lack.Present, now.Lack.PresentBytes
}

// lookPause is the least time between two looks at a space that nobody asked for; one that
// finds nothing new doubles it, up to lookRest. lookShare is the share of the time that
// looking may take.
const (
	lookPause = time.Minute
	lookRest  = time.Hour
	lookShare = 500
)

// watch is when the copies of a space are looked at next.
type watch struct {
	next  time.Time
	pause time.Duration
	ops   uint64
	nodes []hypercrypto.PublicKey // that were online
}

// watchCopies looks at the copies of a space if something happened, or if somebody may have
// fetched something meanwhile, so that it is known what who goes away had.
func (n *Node) watchCopies(ctx context.Context, s *space.Space, nodes []hypercrypto.PublicKey, w *watch) error {
	online := slices.DeleteFunc(slices.Clone(nodes), func(k hypercrypto.PublicKey) bool { return !n.online(k) })
	now := time.Now()
	for _, node := range online {
		if err := n.seen.note(s, node, func(x *sighting) { x.Seen = now }); err != nil {
			return err
		}
	}
	v, release := n.content.Of(s).View()
	count, err := v.Count(ctx)
	release()
	if err != nil {
		return err
	}
	if count.Ops != w.ops || !slices.Equal(online, w.nodes) {
		w.pause = 0
		w.next = time.Time{}
	} else if !slices.ContainsFunc(online, func(k hypercrypto.PublicKey) bool { return n.seen.get(s, k).Level < levelAll }) {
		return nil
	}
	if len(online) == 0 || now.Before(w.next) {
		return nil
	}
	w.ops, w.nodes = count.Ops, online
	_, err = n.copiesOf(ctx, s)
	w.pause = min(max(2*w.pause, lookPause, lookShare*time.Since(now)), lookRest)
	w.next = time.Now().Add(w.pause)
	return err
}
