package hyperswarm

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
)

const (
	// A topic is searched, and announced, again after refreshTime and up to
	// refreshSpread more.
	refreshTime   = 10 * time.Minute
	refreshSpread = 2 * time.Minute
	// overdue is how late a refresh is when the machine must have slept: then it
	// is put off at random, so that not everybody comes at the same moment.
	overdue = 30 * time.Second
	// retryRefresh is the pause after a refresh that failed, before its spread.
	retryRefresh = 10 * time.Second
	// emptyRefresh is the pause after a search of a client that found nobody, before its
	// spread. It doubles each time.
	emptyRefresh = 5 * time.Second
)

// discovery is a joined topic. All of it is guarded by Swarm.mu.
type discovery struct {
	swarm *Swarm
	topic Topic

	sessions map[*Session]struct{}
	limit    int                     // of unconnected peers to take per refresh; 0: none
	counted  []hypercrypto.PublicKey // found by the last limited refresh

	run   *refresh // running, or the last
	empty int      // searches in a row that found nobody, of one whom nobody can find
	timer *time.Timer

	near      hyperdht.Search // used by one goroutine at a time, without the lock
	cleared   bool            // what an earlier process left is taken away
	announced bool            // some nodes may have this node's record

	after <-chan struct{} // closed when an earlier discovery of the topic is over
	gone  chan struct{}   // set when left; closed when unannounced
}

// refresh is one search.
type refresh struct {
	server, client bool
	cancel         context.CancelFunc
	done           chan struct{}
	err            error // set before done is closed
}

func (r *refresh) running() bool {
	select {
	case <-r.done:
		return false
	default:
		return true
	}
}

// wants tells what the sessions ask for.
func (d *discovery) wants() (server, client bool) {
	for s := range d.sessions {
		server, client = server || s.server, client || s.client
	}
	return server, client
}

// refreshLocked starts a search. If one of the same kind is running, that is
// returned; one of another kind is broken off.
func (d *discovery) refreshLocked() *refresh {
	s := d.swarm
	server, client := d.wants()
	before := d.run
	if before != nil && before.running() {
		if before.server == server && before.client == client {
			return before
		}
		before.cancel()
	}
	if d.timer != nil {
		d.timer.Stop()
	}
	ctx, cancel := context.WithCancel(s.ctx)
	r := &refresh{server: server, client: client, cancel: cancel, done: make(chan struct{})}
	d.run = r
	s.wg.Go(func() {
		defer close(r.done)
		defer cancel()
		if before != nil {
			<-before.done
		}
		if d.after != nil {
			<-d.after
		}
		err := d.search(ctx, r)
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.err = err; err != nil {
			s.opts.Log.Debug("refresh", "topic", d.topic, "err", err)
		}
		if d.run == r && d.gone == nil && !s.suspended && !s.closed {
			d.scheduleLocked(err)
		}
	})
	return r
}

// search asks the DHT, and tells it, about the topic.
func (d *discovery) search(ctx context.Context, r *refresh) error {
	s := d.swarm
	how := lookup{announce: r.server, keyPair: s.opts.KeyPair}
	if r.server {
		if err := s.Listen(ctx); err != nil {
			return err
		}
	}
	s.mu.Lock()
	if err := ctx.Err(); err != nil {
		s.mu.Unlock()
		return err
	}
	if r.server {
		how.relays, how.clear = s.server.relays(), !d.cleared
		d.cleared, d.announced = true, true
	} else {
		how.unannounce = d.announced
	}
	q := d.quotaLocked()
	s.mu.Unlock()
	err := s.net.lookup(ctx, d.topic, how, &d.near, func(answer []hyperdht.Peer) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.client && ctx.Err() == nil && !s.closed {
			q.takeLocked(answer)
		}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.empty++; q.found > 0 || r.server {
		d.empty = 0
	}
	if err == nil && how.unannounce {
		d.announced = false
	}
	return err
}

// quota limits what one search brings.
type quota struct {
	d     *discovery
	found int // other peers seen
	left  int // unconnected peers still wanted; negative: all
}

func (d *discovery) quotaLocked() *quota {
	q := &quota{d: d, left: -1}
	if d.limit > 0 {
		q.left = d.limit
		for _, key := range d.counted {
			if l := d.swarm.links[key]; l != nil && l.conn != nil && q.left > 0 {
				q.left--
			}
		}
	}
	d.counted = nil
	return q
}

// takeLocked handles the peers of one answer.
func (q *quota) takeLocked(answer []hyperdht.Peer) {
	d, s := q.d, q.d.swarm
	for _, f := range answer[:min(len(answer), maxAnswer)] {
		if f.PublicKey == s.opts.KeyPair.Public {
			continue
		}
		if q.found++; q.found > maxFound {
			s.stats.Forgotten++
			continue
		}
		if q.left >= 0 {
			d.counted = append(d.counted, f.PublicKey)
			if q.left == 0 {
				continue
			}
			if l := s.links[f.PublicKey]; l == nil || l.conn == nil {
				q.left--
			}
		}
		s.foundLocked(d.topic, f)
	}
}

// scheduleLocked has the topic refreshed later, sooner if the last refresh failed, or
// found nobody: the others may be about to come, and cannot find who is no server.
func (d *discovery) scheduleLocked(err error) {
	delay := refreshTime + rand.N(refreshSpread)
	if err != nil {
		delay = retryRefresh + rand.N(retryRefresh)
	} else if d.empty > 0 {
		pause := emptyRefresh << min(d.empty-1, 8)
		delay = min(delay, pause+rand.N(pause))
	}
	d.refreshAfterLocked(delay)
}

func (d *discovery) refreshAfterLocked(delay time.Duration) {
	if d.timer != nil {
		d.timer.Stop()
	}
	// Timers stand still while the machine sleeps, the wall clock does not.
	due := time.Now().Add(delay).Round(0)
	var t *time.Timer
	t = time.AfterFunc(delay, func() {
		s := d.swarm
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case d.timer != t || d.gone != nil || s.suspended || s.closed:
		case time.Now().Round(0).Sub(due) > overdue:
			d.refreshAfterLocked(rand.N(refreshSpread))
		default:
			d.refreshLocked()
		}
	})
	d.timer = t
}

// stopLocked ends searching. What it returns waits for that and takes away what
// was announced.
func (d *discovery) stopLocked() (wait func()) {
	if d.timer != nil {
		d.timer.Stop()
	}
	run, after := d.run, d.after
	if run != nil {
		run.cancel()
	}
	return func() {
		if run != nil {
			<-run.done
		}
		if after != nil {
			<-after
		}
		s := d.swarm
		s.mu.Lock()
		announced := d.announced
		d.announced, d.cleared = false, false
		s.mu.Unlock()
		if !announced {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
		defer cancel()
		if err := s.net.unannounce(ctx, d.topic, s.opts.KeyPair, &d.near); err != nil {
			s.opts.Log.Debug("unannounce", "topic", d.topic, "err", err)
		}
	}
}

// leaveLocked leaves the topic. No connection is closed.
func (d *discovery) leaveLocked() (gone <-chan struct{}) {
	if d.gone != nil {
		return d.gone
	}
	s := d.swarm
	d.gone = make(chan struct{})
	delete(s.discoveries, d.topic)
	s.leaving[d.topic] = d
	wait := d.stopLocked()
	s.wg.Go(func() {
		wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.leaving[d.topic] == d {
			delete(s.leaving, d.topic)
		}
		close(d.gone)
	})
	return d.gone
}

func (s *Swarm) leaveAllLocked() (gone []<-chan struct{}) {
	for _, d := range s.discoveries {
		gone = append(gone, d.leaveLocked())
	}
	for _, d := range s.leaving {
		gone = append(gone, d.gone)
	}
	return gone
}
