package interop

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/tradle/cloudpal/hyper/hyperswarm"
)

// swarmBase is a peer of a base that finds the others by the base's topic.
type swarmBase struct {
	basePeer
	seed      int
	topic     [32]byte
	bootstrap []string
	args      []any
	swarm     *goSwarm // of ours
}

func (p *swarmBase) join(t *testing.T) {
	t.Helper()
	kp, seed := seeded(100 + p.seed)
	switch q := p.basePeer.(type) {
	case *goBase:
		base := q.base
		p.swarm = startSwarm(t, p.bootstrap, kp, func(ctx context.Context, c *hyperswarm.Conn) { _ = base.Replicate(ctx, c) })
		p.swarm.join(t, p.topic, hyperswarm.Both)
	case *jsBase:
		q.Call(t, "swarm", Args{"bootstrap": p.args, "seed": seed})
		q.Call(t, "swarmJoin", Args{"topic": hex.EncodeToString(p.topic[:])})
	}
}

func (p *swarmBase) leave(t *testing.T) {
	t.Helper()
	switch q := p.basePeer.(type) {
	case *goBase:
		if err := p.swarm.Close(); err != nil {
			t.Error(err)
		}
	case *jsBase:
		q.Call(t, "unswarm", nil)
	}
}

// again ends the peer, that in JavaScript by force, and starts it from what it has
// stored.
func (p *swarmBase) again(t *testing.T) {
	t.Helper()
	switch q := p.basePeer.(type) {
	case *goBase:
		p.leave(t)
		q.restart(t)
	case *jsBase:
		q.kill()
		q.start(t)
	}
	p.join(t)
}

// Five writers that know nothing but the topic write together and alone, are ended
// and come back, at random, and agree.
func TestBasesAgreeOverASwarm(t *testing.T) {
	if !alone(t) {
		return
	}
	bootstrap, args := testnet(t)
	var peers []*swarmBase
	var all []basePeer
	for i, p := range openBases(t, "gjgjg", baseOptions{encryption: seedHex(0x55)}) {
		b := &swarmBase{basePeer: p, seed: i, topic: parseKey(t, p.key()).Discovery(), bootstrap: bootstrap, args: args}
		peers, all = append(peers, b), append(all, p)
		b.join(t)
	}
	for i, p := range all[1:] {
		all[0].append(t, addOp(p.local(), i < 2))
		converge(t, "joining of "+p.name(), func(s baseState) bool { return len(s.Pending) == 0 && s.Members == uint64(i+2) }, all...)
	}
	rng := rand.New(rand.NewPCG(5, 5))
	written := uint64(0)
	write := func(p basePeer, count int) {
		t.Helper()
		for range count {
			written++
			p.append(t, baseOp{Log: fmt.Sprint("entry ", written)}, baseOp{Put: []string{fmt.Sprint("key ", rng.IntN(10)), fmt.Sprint(written)}})
		}
	}
	for range 5 {
		for _, p := range all {
			write(p, 1+rng.IntN(4))
		}
		order := rng.Perm(len(peers))
		away, ended := peers[order[0]], peers[order[1]]
		away.leave(t)
		write(away, 5)
		write(ended, 2)
		ended.again(t)
		write(peers[order[2]], 3)
		away.join(t)
		converge(t, "coming back", func(s baseState) bool { return s.Views["log"].Length == written }, all...)
	}
	s := settleBase(t, all...)
	if s.Views["log"].Length != written || s.Views["log"].Signed != written {
		t.Fatalf("%d entries were written: %s", written, s.text())
	}
}
