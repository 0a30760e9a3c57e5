package space

import (
	"context"
	"slices"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/identitykey"
	"github.com/tradle/cloudpal/internal/fault"
)

// keyState is what the state says of epochs of keys. Nobody is listed while there is
// nothing to do.
type keyState struct {
	epoch   uint64
	due     bool                             // somebody went since the epoch began
	whole   bool                             // this device has all keys that the state names
	devices []named[hypercrypto.Key, device] // that are there
	owners  []hypercrypto.PublicKey
	lacking []named[hypercrypto.Key, device] // of those, the ones to which this device can give what they lack
	asked   []uint32                         // what this device said that it lacks
}

func (s *Space) keyState(ctx context.Context) (*keyState, error) {
	tree, release := s.snaps.use()
	defer release()
	r := records{tree}
	k := &keyState{whole: true}
	var err error
	if k.epoch, err = r.number(ctx, settingEpoch); err != nil {
		return nil, err
	}
	since, err := r.number(ctx, settingRotate)
	if err != nil {
		return nil, err
	}
	k.due = since != 0
	has := make(map[hypercrypto.Key]deviceKeys)
	for e, err := range tree.Entries(ctx, all(prefixEpoch)) {
		if err != nil {
			return nil, err
		}
		if len(e.Key) != 33 {
			var h hypercrypto.Hash
			copy(h[:], e.Value)
			_, known := s.ring.Key(epochNumber(h))
			k.whole = k.whole && known
			continue
		}
		if has[hypercrypto.Key(e.Key[1:])], err = decodeDeviceKeys(e.Value); err != nil {
			return nil, err
		}
	}
	if !k.due && k.epoch == 0 && len(has) == 0 {
		return k, nil
	}
	k.asked = has[s.Log()].lacks
	if k.devices, err = r.present(ctx); err != nil {
		return nil, err
	}
	if k.owners, err = r.owners(ctx); err != nil {
		return nil, err
	}
	for _, d := range k.devices {
		h := has[d.key]
		if k.whole && h.epoch < k.epoch || d.key != s.Log() && slices.ContainsFunc(h.lacks, s.ring.has) {
			k.lacking = append(k.lacking, d)
		}
	}
	return k, nil
}

const (
	dueRotate = "rotate"
	dueGive   = "give keys"
	dueAsk    = "ask for keys"
)

// tendKeys begins an epoch when somebody went, and gives keys to devices that came
// without. Devices do it in turns, so that the first that is online does.
func (w *steward) tendKeys(ctx context.Context, p *person) error {
	s := w.s
	k, err := s.keyState(ctx)
	if err != nil {
		return err
	}
	if err := w.askKeys(ctx, k); err != nil {
		return err
	}
	if !k.due && len(k.lacking) == 0 || !p.role.writes() || !s.base.Status().Writable {
		delete(w.due, dueRotate)
		delete(w.due, dueGive)
		return nil
	}
	list, _, err := s.candidates(ctx)
	if err != nil {
		return err
	}
	if !k.due || p.role != Owner {
		delete(w.due, dueRotate)
	} else if w.turn(dueRotate, w.rank(list)) {
		if err := s.rotate(ctx, k); err != nil {
			return err
		}
	}
	slices.SortFunc(list, better)
	i := slices.IndexFunc(list, func(c candidate) bool { return c.log == s.Log() })
	if len(k.lacking) == 0 || i < 0 {
		delete(w.due, dueGive)
	} else if w.turn(dueGive, i+1) { // who let them in does it at once
		for _, d := range k.lacking {
			if err := s.giveKeys(ctx, d.key); err != nil {
				return err
			}
		}
	}
	return nil
}

// askKeys tells the others what this device cannot read, if nobody gave it the keys for a
// while: those of a rotation that did not count, and was made before its author heard of
// this device, or after the author heard that it was removed, which did not count either.
func (w *steward) askKeys(ctx context.Context, k *keyState) error {
	missing := w.s.base.Status().Missing
	missing = missing[:min(len(missing), maxLacks)]
	if len(missing) == 0 || slices.Equal(missing, k.asked) {
		delete(w.due, dueAsk)
		return nil
	}
	if !w.turn(dueAsk, askRank) {
		return nil
	}
	return w.s.doAnyway(ctx, &lackAction{missing})
}

// askRank is how many turns of others a device waits before it asks for keys.
const askRank = 4

// turn tells whether it is the turn of the one with a rank, and begins to wait again.
func (w *steward) turn(what string, rank int) bool {
	since, waiting := w.due[what]
	if !waiting {
		since = time.Now()
		w.due[what] = since
	}
	if time.Since(since) < time.Duration(rank)*4*w.s.l.opts.AckInterval {
		return false
	}
	delete(w.due, what)
	return true
}

// rotate begins an epoch for all devices that are there.
func (s *Space) rotate(ctx context.Context, k *keyState) error {
	_, err := s.do(ctx, newRotation(k.epoch+1, k.devices, k.owners))
	return err
}

// doAndRotate writes an action after which some devices may not be there any more, and
// then begins an epoch. They read that they were removed, and nothing after it. Who is
// no owner leaves the epoch to those who are.
func (s *Space) doAndRotate(ctx context.Context, act action) error {
	if err := s.doAnyway(ctx, act); err != nil {
		return err
	}
	p, _, err := s.self(ctx)
	if err != nil || p == nil || p.role != Owner {
		return err
	}
	k, err := s.keyState(ctx)
	if err != nil || !k.due {
		return err
	}
	if err := s.rotate(ctx, k); err != nil {
		s.l.opts.Log.Debug("space: the keys are changed later", "key", s.Key(), "error", err)
	}
	return nil
}

// giveKeys gives all keys to a device, if there are any that it lacks.
func (s *Space) giveKeys(ctx context.Context, log hypercrypto.Key) error {
	k, err := s.keyState(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(k.lacking, func(d named[hypercrypto.Key, device]) bool { return d.key == log })
	if i < 0 {
		return nil
	}
	epoch := k.epoch
	if !k.whole {
		epoch = 0
	}
	act := &shareAction{epoch: epoch, log: log, box: k.lacking[i].rec.box.Seal(appendKeyList(nil, s.ring.all()))}
	values, err := s.envelopes(ctx, 1, coreType, [][]byte{encodeAction(act)})
	if err != nil {
		return err
	}
	r, err := s.base.AppendIn(ctx, 0, values...)
	if err != nil {
		return s.explain(err)
	}
	if o := r[0].Outcome(); o.Err != nil {
		return s.explain(o.Err)
	}
	return nil
}

// unlockWait is how long Unlock waits for keys without which the state is known all the
// same.
const unlockWait = 10 * time.Second

// Unlock reads the keys of the space with the phrase of an owner, where nobody is left
// who could give them to this device. It waits until no key is missing for what has
// arrived.
func (s *Space) Unlock(ctx context.Context, keys *identitykey.Keys) error {
	s.app.phrase.Store(&phrase{keys.Identity.Public, keys.Identity.Box()})
	s.base.KeysChanged()
	for {
		changed := s.Changed()
		// One key leads to the operation with the next.
		if err := s.Update(ctx); err != nil {
			return err
		}
		st := s.base.Status()
		if len(st.Missing) == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-time.After(unlockWait):
			// What is left has no effect, or somebody made up its epoch.
			if !st.Locked {
				return nil
			}
		case <-ctx.Done():
			return fault.New(fault.Unavailable, "the phrase does not open all keys of space %q", s.Name())
		}
	}
}

// tendLinks keeps the keys that a home has of other spaces: the person's next device
// reads with them as far as it has to, to be let in.
func (w *steward) tendLinks(ctx context.Context, links map[hypercrypto.Key][]byte) error {
	for _, o := range w.s.l.Spaces() {
		n := o.ring.len()
		box := links[o.Key()]
		if o == w.s || box == nil || w.linked[o.Key()] >= n {
			continue
		}
		b, err := w.s.linkKeys().Open(box)
		if err != nil {
			return err
		}
		k, err := decodeSpaceLink(b)
		if err != nil {
			return err
		}
		if len(k.epochs) < n {
			if err := w.s.enterLink(ctx, o.Record()); err != nil {
				return err
			}
		}
		w.linked[o.Key()] = n
	}
	return nil
}

// keysIn returns the keys of a space that is open here.
func (l *Library) keysIn(space hypercrypto.Key) []hypercrypto.EncryptionKey {
	l.mu.Lock()
	s := l.open[space]
	l.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.ring.all()
}
