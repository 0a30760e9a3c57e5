package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/blindpeer"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/space"
	"github.com/tradle/cloudpal/internal/spacefs"
)

const (
	// releaseTime is how long a mirror may take for one log.
	releaseTime = time.Minute
	// releaseRetry is when a mirror is first told again what it did not take, releaseRest
	// the longest pause between two tries.
	releaseRetry = 2 * time.Second
	releaseRest  = 15 * time.Minute
)

// releasing is what mirrors know of released blocks.
type releasing struct {
	wake chan struct{}

	mu    sync.Mutex // guards what follows
	keeps map[hypercrypto.PublicKey]bool
	told  map[releasedAt]*telling
}

// releasedAt is a blob log at a mirror.
type releasedAt struct {
	log    hypercrypto.Key
	mirror hypercrypto.PublicKey
}

// telling is how far a mirror was told of a log on the present connection.
type telling struct {
	release blindpeer.Release // the last that it took
	done    bool              // it took one
	next    time.Time         // when to try again
	pause   time.Duration     // after the next failure
}

func newReleasing() *releasing {
	return &releasing{wake: make(chan struct{}, 1), keeps: make(map[hypercrypto.PublicKey]bool), told: make(map[releasedAt]*telling)}
}

// nudge says that there may be something to tell.
func (r *releasing) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// reached forgets what a mirror was told: on another connection it is asked again.
func (r *releasing) reached(mirror hypercrypto.PublicKey) {
	r.mu.Lock()
	for at := range r.told {
		if at.mirror == mirror {
			delete(r.told, at)
		}
	}
	r.mu.Unlock()
	r.nudge()
}

// keepsReleased tells whether a mirror has said that it cannot drop single blocks.
func (r *releasing) keepsReleased(mirror hypercrypto.PublicKey) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keeps[mirror]
}

// due returns whether a mirror is to be told of a release now, or else when.
func (r *releasing) due(at releasedAt, x *blindpeer.Release) (now bool, later time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.told[at]
	if t == nil {
		t = &telling{pause: releaseRetry}
		r.told[at] = t
	}
	switch known := &t.release; {
	case t.done && known.Fork == x.Fork && slices.Equal(known.Runs, x.Runs) && slices.Equal(known.Deputies, x.Deputies):
		return false, time.Time{}
	case time.Now().Before(t.next):
		return false, t.next
	}
	return true, time.Time{}
}

// took notes how a mirror answered.
func (r *releasing) took(at releasedAt, x blindpeer.Release, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	keeps := errors.Is(err, blindpeer.ErrKeepsReleased)
	if keeps || err == nil {
		r.keeps[at.mirror] = keeps
	}
	t := r.told[at]
	if t == nil {
		return // it was reached anew meanwhile
	}
	if keeps || err == nil {
		*t = telling{release: x, done: true, pause: releaseRetry}
		return
	}
	t.next = time.Now().Add(t.pause)
	t.pause = min(2*t.pause, releaseRest)
}

// releaseAtMirrors tells the mirrors of all spaces which blocks nobody needs any more, until
// ctx ends. What a mirror has not acknowledged it is told again.
func (n *Node) releaseAtMirrors(ctx context.Context) {
	for {
		changed := n.spaces.Changed()
		var mu sync.Mutex
		var next time.Time
		var wg sync.WaitGroup
		for mirror, list := range n.toRelease(ctx) {
			wg.Go(func() {
				for _, x := range list {
					if later := n.releaseAt(ctx, mirror, x); !later.IsZero() {
						mu.Lock()
						if next.IsZero() || later.Before(next) {
							next = later
						}
						mu.Unlock()
					}
				}
			})
		}
		wg.Wait()
		var retry <-chan time.Time
		if !next.IsZero() {
			retry = time.After(time.Until(next))
		}
		select {
		case <-changed:
		case <-n.releasing.wake:
		case <-retry:
		case <-ctx.Done():
			return
		}
		if !pause(ctx, mirrorPause) {
			return
		}
	}
}

// releaseAt tells a mirror of one log, if it is time to, and returns when to try again.
func (n *Node) releaseAt(ctx context.Context, mirror hypercrypto.PublicKey, x blindpeer.Release) (later time.Time) {
	at := releasedAt{x.Log, mirror}
	now, later := n.releasing.due(at, &x)
	if !now {
		return later
	}
	ctx, cancel := context.WithTimeout(ctx, releaseTime)
	defer cancel()
	err := n.mirrors.Release(ctx, mirror, x)
	if err != nil {
		n.opts.Log.Debug("a mirror does not drop released blocks", "mirror", mirror, "log", x.Log.Discovery(), "err", err)
	}
	n.releasing.took(at, x, err)
	_, later = n.releasing.due(at, &x)
	return later
}

// toRelease returns what the mirrors that are connected have to be told.
func (n *Node) toRelease(ctx context.Context) map[hypercrypto.PublicKey][]blindpeer.Release {
	all := make(map[hypercrypto.PublicKey][]blindpeer.Release)
	for _, s := range n.spaces.Spaces() {
		one, cancel := context.WithTimeout(ctx, careTime)
		n.toReleaseOf(one, s, all)
		cancel()
	}
	return all
}

// toReleaseOf adds what they have to be told of a space, if that is here.
func (n *Node) toReleaseOf(ctx context.Context, s *space.Space, all map[hypercrypto.PublicKey][]blindpeer.Release) {
	mirrors, err := mirrorsOf(ctx, s)
	if err != nil {
		return // it has not arrived yet, or is about to be closed
	}
	mirrors = slices.DeleteFunc(mirrors, func(m hypercrypto.PublicKey) bool { return n.network.swarm.Connection(m) == nil })
	if len(mirrors) == 0 {
		return
	}
	list, err := n.releasesOf(ctx, s)
	if err != nil {
		return
	}
	for _, m := range mirrors {
		all[m] = append(all[m], list...)
	}
}

// releasesOf returns what mirrors have to be told of a space.
func (n *Node) releasesOf(ctx context.Context, s *space.Space) (list []blindpeer.Release, err error) {
	deputies, err := n.deputiesOf(ctx, s)
	if err != nil {
		return nil, err
	}
	for _, r := range n.content.Of(s).Released() {
		if r.Length == 0 || !r.Own && !slices.Contains(deputies, n.network.keyPair.Public) {
			continue
		}
		list = append(list, releaseOf(s, r, deputies))
	}
	return list, nil
}

func releaseOf(s *space.Space, r spacefs.Released, deputies []hypercrypto.PublicKey) blindpeer.Release {
	x := blindpeer.Release{Log: r.Log, Fork: r.Fork, Length: r.Length, Runs: r.Runs}
	if r.Own {
		x.Writer, x.Deputies = s.BlobLog().KeyPair(), deputies
	}
	return x
}

// deputiesOf returns who speaks for the logs of devices that are gone: the nodes of the
// devices of owners, in the order of keys.
func (n *Node) deputiesOf(ctx context.Context, s *space.Space) (keys []hypercrypto.PublicKey, err error) {
	members, err := s.Members(ctx)
	if err != nil {
		return nil, err
	}
	owners := make(map[hypercrypto.PublicKey]bool)
	for _, m := range members {
		owners[m.Person] = m.Role == space.Owner && !m.Removed
	}
	devices, err := s.Devices(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range devices {
		if owners[d.Person] && !d.Removed && d.Node != (hypercrypto.PublicKey{}) {
			keys = append(keys, d.Node)
		}
	}
	slices.SortFunc(keys, func(a, b hypercrypto.PublicKey) int { return slices.Compare(a[:], b[:]) })
	keys = slices.Compact(keys)
	return keys[:min(len(keys), blindpeer.MaxDeputies)], nil
}
