package space

import (
	"context"
	"slices"
	"time"

	"github.com/tradle/cloudpal/hyper/autobase"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/identitykey"
	"github.com/tradle/cloudpal/internal/fault"
)

var nsRecover = hypercrypto.Namespace("cloudpal/space", 1)

// signedData is what the phrase signs of a recovery.
func (a *recoverAction) signedData(space hypercrypto.DiscoveryKey) []byte {
	return a.appendFields(append(append([]byte(nil), nsRecover[:]...), space[:]...))
}

// recover makes the author's device the only indexer, on the word of an owner's phrase. It is applied twice:
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
	if err := x.checkLost(ctx, act); err != nil {
		return err
	}
	dev, err := x.d.device(ctx, c.log)
	if err != nil {
		return err
	}
	x.confirms = c.log
	if dev == nil || dev.until != 0 {
		if err := x.admit(ctx, &admitAction{claim: c}); err != nil {
			return err
		}
	}
	if err := x.addWriter(c.log); err != nil {
		return err
	}
	forked, err := x.h.Fork([]hypercrypto.Key{c.log}, act.system)
	if err != nil || forked {
		return err
	}
	if x.h.Removable(c.log) {
		return refuse("the space went on meanwhile")
	}
	return x.replaceIndexers(ctx, act)
}

// checkLost refuses to take for lost what is no device, or the author's own.
func (x *execution) checkLost(ctx context.Context, act *recoverAction) error {
	for _, log := range act.lost {
		dev, err := x.d.device(ctx, log)
		if err != nil {
			return err
		}
		if dev == nil || log == act.claim.log {
			return refuse("log %s", log)
		}
	}
	return nil
}

// replaceIndexers enters into the state what the base has done.
func (x *execution) replaceIndexers(ctx context.Context, act *recoverAction) error {
	devices, err := x.d.devices(ctx)
	if err != nil {
		return err
	}
	for _, dev := range devices {
		dev.rec.indexer = dev.key == act.claim.log
		if dev.rec.until == 0 && slices.Contains(act.lost, dev.key) {
			err = x.end(ctx, dev.key, dev.rec)
		} else {
			err = x.d.put(ctx, keyOf(prefixDevice, dev.key[:]), dev.rec.appendTo(nil))
		}
		if err != nil {
			return err
		}
	}
	turn, err := x.d.number(ctx, settingTurn)
	if err != nil {
		return err
	}
	return x.d.putNumber(ctx, settingTurn, turn+1)
}

// Recover makes this device the one that confirms, because so many of those that did are
// gone for good that nobody can. The keys are those of the phrase of an owner. lost are
// devices that do not come back: they are removed. Devices that do confirm must not go on:
// two parts of a space that both did would stay apart.
//
// The device has to hold the space, as far as anybody still has it, but need not be a
// member.
func (s *Space) Recover(ctx context.Context, keys *identitykey.Keys, lost []hypercrypto.Key) error {
	if err := s.Update(ctx); err != nil {
		return err
	}
	dk := s.app.discovery
	c, err := s.l.claim(ctx, s.Record().namespace, &dk)
	if err != nil {
		return err
	}
	if c.proof.Identity != keys.Identity.Public {
		return fault.New(fault.Usage, "the phrase is not that of the person on this device")
	}
	if err := s.Unlock(ctx, keys); err != nil {
		return err
	}
	st := s.base.Status()
	act := &recoverAction{claim: c, system: autobase.Ref{Key: st.System, Length: st.Confirmed}, lost: lost}
	act.proof = identitykey.AttestDataAsIdentity(keys.Identity, act.signedData(dk), time.Now())
	if err := s.doOutside(ctx, act); err != nil {
		return err
	}
	return s.await(ctx, func(context.Context) (bool, error) {
		st := s.base.Status()
		return st.Writable && len(st.Indexers) == 1 && st.Indexers[0].Key == s.Log(), nil
	})
}
