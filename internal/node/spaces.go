package node

import (
	"context"
	"sync"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/foldersync"
)

// together keeps this node where the members of all its spaces meet, those that come
// later included, until leave is called.
func (n *Node) together(ctx context.Context, c api.Connect, report func(api.Peer), listening func(listen []string)) (leave func(), err error) {
	report = once(report)
	listen, left, err := n.network.Join(ctx, c, report)
	if err != nil {
		return nil, err
	}
	if len(listen) > 0 {
		listening(listen)
	}
	// The addresses are joined once, the rooms one by one.
	c.Listen, c.Peers, c.AnyListener, c.Mirrors = nil, nil, false, nil
	ctx, cancel := context.WithCancel(n.ctx)
	var wg sync.WaitGroup
	wg.Go(func() { n.meetMembers(ctx, c, report) })
	wg.Go(func() { n.tellMirrors(ctx) })
	wg.Go(func() { n.releaseAtMirrors(ctx) })
	return func() {
		cancel()
		wg.Wait()
		left()
	}, nil
}

// once tells of every change of a peer one time, however many rooms it is met in.
func once(report func(api.Peer)) func(api.Peer) {
	var mu sync.Mutex
	last := make(map[string]string)
	return func(p api.Peer) {
		mu.Lock()
		defer mu.Unlock()
		who := p.Address + p.Key
		if last[who] == p.State {
			return
		}
		if last[who] = p.State; p.State == "disconnected" {
			delete(last, who)
		}
		report(p)
	}
}

// meetMembers joins the rooms of spaces until ctx ends.
func (n *Node) meetMembers(ctx context.Context, c api.Connect, report func(api.Peer)) {
	rooms := make(map[hypercrypto.Key]func())
	defer func() {
		for _, leave := range rooms {
			leave()
		}
	}()
	for {
		changed, published := n.spaces.Changed(), n.content.PublishedChanged()
		here := make(map[hypercrypto.Key]bool)
		for _, key := range n.meetingPlaces() {
			here[key] = true
			if rooms[key] != nil {
				continue
			}
			c.Rooms = []api.Room{{Topic: key.Discovery(), Announce: true}}
			_, leave, err := n.network.Join(ctx, c, report)
			if err != nil {
				n.opts.Log.Warn("the members of a space, or readers of a drive, are not met", "topic", key.Discovery(), "err", err)
				continue
			}
			rooms[key] = leave
		}
		for key, leave := range rooms {
			if !here[key] {
				leave()
				delete(rooms, key)
			}
		}
		select {
		case <-changed:
		case <-published:
		case <-ctx.Done():
			return
		}
	}
}

// meetingPlaces returns the keys of all spaces, and of the drives that their folders are
// published as. The files of spaces are cared for from here on.
func (n *Node) meetingPlaces() (keys []hypercrypto.Key) {
	for _, s := range n.spaces.Spaces() {
		keys = append(keys, s.Key())
		for _, p := range n.content.Of(s).Published() {
			keys = append(keys, p.Key)
		}
	}
	return keys
}

// treeOf implements [folders.Options].Tree.
func (n *Node) treeOf(key hypercrypto.Key) (tree foldersync.Tree, release func(), err error) {
	s, err := n.spaces.Get(key.Hex())
	if err != nil {
		return nil, nil, err
	}
	t := n.content.Of(s).Tree()
	return t, t.Close, nil
}
