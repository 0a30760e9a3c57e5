package space

import (
	"context"
	"slices"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/identitykey"
)

var nsRecover = hypercrypto.Namespace("cloudpal/space", 1)

// signedData is what the phrase signs of a recovery.
func (a *recoverAction) signedData(space hypercrypto.DiscoveryKey) []byte {
	return a.appendFields(append(append([]byte(nil), nsRecover[:]...), space[:]...))
}

// recover replaces the indexers, on the word of an owner's phrase. It is applied twice:
// first it makes the base fork, and then again, as everything that was not confirmed.
func (x *execution) recover(ctx context.Context, act *recoverAction) error {
	c := act.claim
	if c.log != x.n.From {
		return refuse("log %s speaks for log %s", x.n.From, c.log)
	}
	if err := c.verify(x.a.discovery); err != nil {
		return err
	}
	who := c.proof.Identity
	if len(act.proof.Chain) != 0 {
		return refuse("a recovery needs the phrase")
	}
	if err := act.proof.VerifyData(act.signedData(x.a.discovery), identitykey.Expectation{Identity: &who}); err != nil {
		return err
	}
	p, err := x.d.person(ctx, who)
	if err != nil {
		return err
	}
	if p == nil || p.until != 0 || p.role != Owner || c.proof.Epoch < p.epoch {
		return refuse("person %s is no owner", who)
	}
	dev, err := x.d.device(ctx, c.log)
	if err != nil {
		return err
	}
	if dev == nil || dev.until != 0 {
		if err := x.admit(ctx, &admitAction{claim: c}); err != nil {
			return err
		}
	}
	forked, err := x.h.Fork(act.indexers, act.system)
	if err != nil || forked {
		return err
	}
	return x.replaceIndexers(ctx, act)
}

// replaceIndexers enters into the state what the base has done.
func (x *execution) replaceIndexers(ctx context.Context, act *recoverAction) error {
	devices, err := x.d.devices(ctx)
	if err != nil {
		return err
	}
	for _, dev := range devices {
		lost := slices.Contains(act.lost, dev.key) && dev.rec.until == 0
		dev.rec.indexer = slices.Contains(act.indexers, dev.key) && !lost
		if lost {
			if err := x.end(ctx, dev.key, dev.rec); err != nil {
				return err
			}
			continue
		}
		if err := x.d.putDevice(ctx, dev.key, dev.rec); err != nil {
			return err
		}
	}
	turn, err := x.d.number(ctx, settingTurn)
	if err != nil {
		return err
	}
	return x.d.putNumber(ctx, settingTurn, turn+1)
}
