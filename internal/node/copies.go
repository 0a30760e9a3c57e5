package node

import (
	"cmp"
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
	here := l.sighting(0)
	n.mu.Lock()
	n.here[s.Key()] = here
	n.mu.Unlock()
	c := &api.Copies{Files: l.files(n.content.Of(s).Policy())}
	c.Copies, err = n.listCopies(ctx, s, &here, l.survey.Ops)
	return c, err
}

// standing tells of the copies of a space what is known without a look.
func (n *Node) standing(ctx context.Context, s *space.Space) ([]api.Copy, error) {
	v, release := n.content.Of(s).View()
	count, err := v.Count(ctx)
	release()
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	here := n.here[s.Key()]
	n.mu.Unlock()
	return n.listCopies(ctx, s, &here, count.Ops)
}

// files describes the files of a space.
func (l *look) files(p spacefs.Policy) api.SpaceFiles {
	s, here := l.survey, l.survey.Lacks[0]
	return api.SpaceFiles{Type: api.TypeSpaceFiles, Files: s.Files, Bytes: s.Bytes, Conflicts: s.Conflicts, Trash: s.Trash, History: s.History,
		Keep: p.Everything, Version: s.Ops, Contents: s.Contents, TotalBytes: s.Size, Held: s.Contents - here.Contents, HeldBytes: s.Size - min(s.Size, here.Bytes)}
}

// listCopies describes all copies, this device first, then the other devices, then the
// mirrors. Where two say that they are the same node it is one copy, the mirror's, or that
// of a device of the person on this one, or of the device with the smaller log key. here is this device's, and ops how many operations
// on files there are now.
func (n *Node) listCopies(ctx context.Context, s *space.Space, here *sighting, ops uint64) (list []api.Copy, err error) {
	members, err := s.Members(ctx)
	if err != nil {
		return nil, err
	}
	devices, err := s.Devices(ctx)
	if err != nil {
		return nil, err
	}
	if at := slices.IndexFunc(devices, func(d space.Device) bool { return d.Self }); at >= 0 {
		own := devices[at].Person
		slices.SortStableFunc(devices, func(a, b space.Device) int { return cmp.Compare(foreign(a, own), foreign(b, own)) })
	}
	who := make(map[hypercrypto.PublicKey]space.Member)
	counted := map[hypercrypto.PublicKey]bool{n.network.keyPair.Public: true}
	var mirrors []api.Copy
	for _, m := range members {
		who[m.Person] = m
		if m.Role != space.Mirror || m.Removed {
			continue
		}
		x := api.Copy{Type: api.TypeCopy, Name: m.Name, Role: m.Role.String(), Mirror: true, KeepsReleased: n.releasing.keepsReleased(m.Person)}
		n.describeCopy(s, m.Person, ops, &x)
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
			here.describe(&x)
			list = slices.Insert(list, 0, x)
			continue
		case counted[d.Node]:
			x.Key, x.SameNode = d.Node.String(), true
		case d.Node != (hypercrypto.PublicKey{}):
			counted[d.Node] = true
			n.describeCopy(s, d.Node, ops, &x)
		}
		list = append(list, x)
	}
	return append(list, mirrors...), nil
}

// foreign is 1 for devices of others, else 0.
func foreign(d space.Device, own hypercrypto.PublicKey) int {
	if d.Person == own {
		return 0
	}
	return 1
}

// describeCopy tells of the copy of a node.
func (n *Node) describeCopy(s *space.Space, node hypercrypto.PublicKey, ops uint64, x *api.Copy) {
	now := n.seen.get(s, node)
	x.Key, x.Online = node.String(), n.online(node)
	now.describe(x)
	x.Seen, x.Verified, x.Failed = now.Seen, now.Proven, now.Failed
	if x.Holds != api.HoldsUnknown && now.Ops != ops {
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

// lookStart is when the first look happens also if there is nothing to learn of others.
const lookStart = 2 * time.Minute

// watch is when the copies of a space are looked at next.
type watch struct {
	last  time.Time     // zero if there was none
	took  time.Duration // by the last one
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
		w.pause = lookPause
	}
	news := slices.ContainsFunc(online, func(k hypercrypto.PublicKey) bool {
		x := n.seen.get(s, k)
		return x.Level < levelAll || x.Ops != count.Ops
	})
	first := w.last.IsZero()
	switch {
	case !news && (!first || now.Sub(n.started) < lookStart):
		return nil
	case !first && now.Sub(w.last) < max(w.pause, lookShare*w.took):
		return nil
	}
	w.ops, w.nodes, w.last, w.pause = count.Ops, online, now, min(2*w.pause, lookRest)
	_, err = n.copiesOf(ctx, s)
	w.took = time.Since(now)
	return err
}
