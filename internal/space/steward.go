package space

import (
	"context"
	"errors"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// steward does what a space needs without being asked: it tells what this device is,
// answers invites, keeps the right devices confirming.
type steward struct {
	s *Space

	// Owned by the run goroutine.
	claim   *claim
	entered int                     // attempts to enter, each of which is written
	linked  map[hypercrypto.Key]int // how many keys of a space the home has
	due     map[string]time.Time    // since when something is to be done, or not before when
	serving context.CancelFunc      // nil while invites are not answered
	served  chan struct{}           // nil likewise; closed when that ended by itself
}

const (
	// stewardPause is the least time between two looks at the state.
	stewardPause = 20 * time.Millisecond
	// stewardTick is when the steward looks again without a change, and stewardRest
	// when it does if there was none for long and nothing waits for its time.
	stewardTick = 2 * time.Second
	stewardRest = time.Minute
)

// start runs the steward until the space is closed.
func (s *Space) start() {
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	w := &steward{s: s, due: make(map[string]time.Time), linked: make(map[hypercrypto.Key]int)}
	s.wg.Go(func() { w.run(ctx) })
}

func (w *steward) run(ctx context.Context) {
	defer w.stopServing()
	again := stewardTick
	for ctx.Err() == nil {
		changed, list := w.s.Changed(), w.s.l.listChanged()
		if w.s.base.Err() != nil {
			return
		}
		err := w.tend(ctx)
		if err != nil && ctx.Err() == nil {
			w.s.l.opts.Log.Debug("space: to be tried again", "key", w.s.Key(), "error", err)
		}
		if err != nil || w.waits() {
			again = stewardTick
		}
		tick := time.NewTimer(again)
		select {
		case <-changed:
			again = stewardTick
		case <-list: // a home has to know of other spaces
			again = stewardTick
		case <-w.served: // to be begun again, but not at once
			again = stewardTick
			select {
			case <-time.After(stewardTick):
			case <-ctx.Done():
			}
		case <-tick.C:
			again = min(2*again, stewardRest)
		case <-ctx.Done():
		}
		tick.Stop()
		select {
		case <-time.After(stewardPause):
		case <-ctx.Done():
		}
	}
}

// tend does what is to be done now. An error of one duty does not keep the others.
func (w *steward) tend(ctx context.Context) error {
	p, dev, err := w.s.self(ctx)
	if err != nil {
		return err
	}
	if dev == nil {
		w.stopServing()
		return w.enter(ctx)
	}
	w.serve(ctx)
	return errors.Join(
		w.describe(ctx, p, dev),
		w.tendIndexers(ctx, p),
		w.tendKeys(ctx, p),
		w.tendHome(ctx),
	)
}

// enter makes this device a member by what it has: the space is its own, or its
// person's.
func (w *steward) enter(ctx context.Context) error {
	s := w.s
	if w.claim == nil {
		dk := s.app.discovery
		c, err := s.l.claim(ctx, s.Record().namespace, &dk)
		if err != nil {
			return err
		}
		w.claim = c
	}
	tree, release := s.snaps.use()
	defer release()
	r := records{tree}
	position, _, _, err := r.last(ctx)
	if err != nil {
		return err
	}
	if position == 0 {
		if s.Log() != s.Key() || !s.base.Status().Writable {
			return nil
		}
		return s.found(ctx, s.Name(), w.claim) // the program ended while it created the space
	}
	p, err := r.person(ctx, w.claim.proof.Identity)
	if err != nil || p == nil || p.until != 0 {
		return err
	}
	dev, err := r.device(ctx, s.Log())
	if err != nil || dev != nil { // it was removed
		return err
	}
	for _, l := range w.claim.proof.Chain {
		if until, err := r.removed(ctx, l.Device); err != nil || until != 0 {
			return err // an invite is needed
		}
	}
	if !w.ready("enter", time.Second<<min(w.entered, maxPause)) {
		return nil
	}
	w.entered++
	return s.doOutside(ctx, &admitAction{claim: w.claim})
}

// maxPause bounds the pauses between attempts to enter, each of which is written: to about
// an hour.
const maxPause = 12

// ready tells whether something has been to be done for some time, and begins to wait
// again if so. The first time is at once.
func (w *steward) ready(what string, pause time.Duration) bool {
	if at, ok := w.due[what]; ok && time.Now().Before(at) {
		return false
	}
	w.due[what] = time.Now().Add(pause)
	return true
}

// waits tells whether something is to be done when its time has come.
func (w *steward) waits() bool {
	for what, at := range w.due {
		switch what {
		case dueIndexers, dueRotate, dueGive: // since when
			return true
		}
		if time.Now().Before(at) {
			return true
		}
	}
	return false
}

// describe tells the others what this device is, and who, if there was no room for that
// when it was let in.
func (w *steward) describe(ctx context.Context, p *person, dev *device) error {
	s := w.s
	if p.name == "" && w.ready("name", time.Second) {
		if err := s.Rename(ctx, s.l.opts.PersonName); err != nil {
			return err
		}
	}
	act := s.description(dev)
	if *act == (deviceAction{dev.name, dev.alwaysOn, dev.level, dev.node}) {
		return nil
	}
	if !w.ready("describe", time.Second) {
		return nil
	}
	return s.doAnyway(ctx, act)
}

// serve answers invites while this device may.
func (w *steward) serve(ctx context.Context) {
	s := w.s
	if s.l.opts.Pairing == nil || !s.base.Status().Writable || !w.invites(ctx) {
		w.stopServing()
		return
	}
	if w.serving != nil {
		select {
		case <-w.served: // it ended by itself
			w.stopServing()
		default:
			return
		}
	}
	ctx, w.serving = context.WithCancel(ctx)
	w.served = make(chan struct{})
	go func() {
		defer close(w.served)
		if err := s.l.opts.Pairing.Serve(ctx, s.app.discovery, s.answer); err != nil {
			s.l.opts.Log.Debug("space: invites are not answered", "key", s.Key(), "error", err)
		}
	}()
}

// invites tells whether there are invites that let somebody in, or did: who was let in
// may not have heard of it.
func (w *steward) invites(ctx context.Context) bool {
	tree, release := w.s.snaps.use()
	defer release()
	list, err := records{tree}.invites(ctx)
	return err == nil && len(list) > 0
}

func (w *steward) stopServing() {
	if w.serving == nil {
		return
	}
	w.serving()
	<-w.served
	w.serving, w.served = nil, nil
}

// SetDevice changes how this device is called in spaces to come, as long as it has no
// name in another one, and in all of them whether it is always on. Where it has a name it
// keeps that; see [Space.RenameDevice].
func (l *Library) SetDevice(name string, alwaysOn bool) error {
	if err := checkName("device", name); err != nil {
		return err
	}
	l.changeMu.Lock()
	l.opts.DeviceName, l.opts.AlwaysOn = name, alwaysOn
	l.changeMu.Unlock()
	l.listChange()
	return nil
}

// description is what this device says of itself.
func (s *Space) description(dev *device) *deviceAction {
	name, alwaysOn := s.l.description()
	return &deviceAction{dev.called(name), alwaysOn, s.app.level, s.l.opts.Node}
}

// deviceName returns how this device is called: as in the home, in another space, or
// else as it was opened.
func (l *Library) deviceName(ctx context.Context) string {
	spaces := l.Spaces()
	if home := l.Home(); home != nil {
		spaces = append([]*Space{home}, spaces...)
	}
	for _, s := range spaces {
		if _, dev, err := s.self(ctx); err == nil && dev != nil {
			return dev.name
		}
	}
	name, _ := l.description()
	return name
}

func (l *Library) description() (name string, alwaysOn bool) {
	l.changeMu.Lock()
	defer l.changeMu.Unlock()
	return l.opts.DeviceName, l.opts.AlwaysOn
}

// Leave ends the membership of the person on this device with all devices, and forgets
// the space here.
func (l *Library) Leave(ctx context.Context, s *Space) error {
	p, _, err := s.self(ctx)
	if err != nil {
		return err
	}
	if p != nil {
		if err := s.handOver(ctx, s.ownLogs(ctx)); err != nil {
			return err
		}
		if err := s.doAnyway(ctx, &leaveAction{}); err != nil {
			return err
		}
	}
	if home := l.Home(); home != nil && home != s {
		if _, err := home.do(ctx, &linkAction{space: s.Key()}); err != nil {
			return err
		}
	}
	return l.Forget(ctx, s)
}

// ownLogs returns the logs of all devices of the person on this device.
func (s *Space) ownLogs(ctx context.Context) (logs []hypercrypto.Key) {
	tree, release := s.snaps.use()
	defer release()
	devices, err := records{tree}.devices(ctx)
	if err != nil {
		return nil
	}
	var self hypercrypto.PublicKey
	for _, d := range devices {
		if d.key == s.Log() {
			self = d.rec.person
		}
	}
	for _, d := range devices {
		if d.rec.person == self && d.rec.until == 0 {
			logs = append(logs, d.key)
		}
	}
	return logs
}
