package node

import (
	"context"
	"errors"
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
	// mirrorAgain is when mirrors are told once more what they were told. A log that was
	// not to be had then they have put away meanwhile.
	mirrorAgain = time.Minute
	// careTime is how long those who care for all spaces wait for what is missing of one,
	// which has to come from peers.
	careTime = 30 * time.Second
)

// keptSpace is a space that mirrors are told of.
type keptSpace struct {
	mirrors []hypercrypto.PublicKey
	logs    []blindpeer.Log // that they were told, sorted
	at      time.Time       // when they were
	again   bool            // they are to be told once more
	// The logs of contents are of no group: mirrors would announce them to members as
	// those of writers.
	writers, contents *blindpeer.Keeping
}

// due tells whether mirrors have to be told what the logs are now. Other logs come, for
// example, when other devices confirm, too.
func (k *keptSpace) due(logs []blindpeer.Log) bool {
	same := slices.EqualFunc(logs, k.logs, func(a, b blindpeer.Log) bool { return a.Key == b.Key })
	switch age := time.Since(k.at); {
	case !same:
		return true
	case !slices.Equal(logs, k.logs):
		return age > mirrorTick
	default:
		return k.again && age > mirrorAgain
	}
}

// told notes what mirrors were told.
func (k *keptSpace) told(logs []blindpeer.Log) {
	k.again = !slices.Equal(logs, k.logs)
	k.logs, k.at = logs, time.Now()
}

func (k *keptSpace) close() {
	k.writers.Close()
	k.contents.Close()
}

// tellMirrors tells the mirrors of all spaces what to keep, until ctx ends.
func (n *Node) tellMirrors(ctx context.Context) {
	kept := make(map[hypercrypto.Key]*keptSpace)
	defer func() {
		for _, k := range kept {
			k.close()
		}
	}()
	for ctx.Err() == nil {
		changed := n.spaces.Changed()
		here := make(map[hypercrypto.Key]bool)
		for _, s := range n.spaces.Spaces() {
			here[s.Key()] = true
			one, cancel := context.WithTimeout(ctx, careTime)
			err := n.tellMirrorsOf(one, s, kept)
			cancel()
			switch {
			case err == nil || ctx.Err() != nil:
			case errors.Is(err, context.DeadlineExceeded):
				n.opts.Log.Debug("what mirrors have to be told of a space is not here", "space", s.Name())
			default:
				n.opts.Log.Warn("the mirrors of a space are not told what to keep", "space", s.Name(), "err", err)
			}
		}
		for key, k := range kept {
			if !here[key] {
				k.close()
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
		k.close()
		delete(kept, key)
		k = nil
	}
	if len(mirrors) == 0 {
		return nil
	}
	logs, err := logsOf(ctx, s)
	if err != nil {
		return err
	}
	if k != nil {
		if k.due(logs) {
			k.told(logs)
			if k.again {
				k.writers.Update()
				k.contents.Update()
			} else {
				k.writers.Repeat()
				k.contents.Repeat()
			}
		}
		return nil
	}
	subject := blindpeer.Subject{Target: key, Mirrors: mirrors, Pick: len(mirrors), Priority: blindpeer.PriorityNormal}
	contents := subject
	contents.Logs = func() []blindpeer.Log { return n.keptLogs(s, true) }
	contents.OnMirror = func(mirror hypercrypto.PublicKey, reached bool) {
		if reached {
			n.releasing.reached(mirror)
		}
	}
	subject.Referrer, subject.Logs = &key, func() []blindpeer.Log { return n.keptLogs(s, false) }
	x := &keptSpace{mirrors: mirrors}
	x.told(logs)
	if x.writers, err = n.mirrors.Keep(subject); err != nil {
		return err
	}
	if x.contents, err = n.mirrors.Keep(contents); err != nil {
		x.writers.Close()
		return err
	}
	kept[key] = x
	return nil
}

// keptLogs returns what a mirror has to keep of a space, in the order of keys: the logs of
// contents, or all others.
func (n *Node) keptLogs(s *space.Space, contents bool) []blindpeer.Log {
	p, err := partsOf(n.ctx, s)
	if err != nil {
		n.opts.Log.Debug("the logs of a space", "space", s.Name(), "err", err) // it is about to be closed
		return nil
	}
	if contents {
		return sortedLogs(p.Contents)
	}
	p.Contents = nil
	return sortedLogs(p.Logs())
}

// logsOf returns what a mirror has to keep of a space, in the order of keys.
func logsOf(ctx context.Context, s *space.Space) ([]blindpeer.Log, error) {
	p, err := partsOf(ctx, s)
	if err != nil {
		return nil, err
	}
	return sortedLogs(p.Logs()), nil
}

// partsOf returns the logs of a space that a mirror has to keep. It puts away what nobody
// gives it, so it is told of contents when there are some here.
func partsOf(ctx context.Context, s *space.Space) (*space.Parts, error) {
	p, err := s.Parts(ctx)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(p.Contents, func(_ hypercrypto.Key, length uint64) bool { return length == 0 })
	return p, nil
}

func sortedLogs(logs map[hypercrypto.Key]uint64) (list []blindpeer.Log) {
	for key, length := range logs {
		list = append(list, blindpeer.Log{Key: key, Length: length})
	}
	slices.SortFunc(list, func(a, b blindpeer.Log) int { return slices.Compare(a.Key[:], b.Key[:]) })
	return list
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
