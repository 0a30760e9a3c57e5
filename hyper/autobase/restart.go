package autobase

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
	"github.com/tradle/cloudpal/hyper/storage"
)

// diskPause is when a base looks again whether the disk does what it did not.
const diskPause = 2 * time.Second

// full tells whether err is that the disk has no room: nothing was changed by what failed.
func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// transient tells whether err is a failure of the disk that may pass and changed nothing: it
// has no room, or could not be read. After one that leaves open what is on the disk the
// store takes no more changes.
func transient(err error) bool {
	var errno syscall.Errno
	return full(err) || errors.As(err, &errno) && !errors.Is(err, storage.ErrFailed)
}

// stumble decides what an error means that left memory and logs in disagreement: if it may
// pass the base goes back to what a start would find, and is going to try again; anything
// else stops it. b.mu is held.
func (b *Base) stumble(err error) {
	if transient(err) {
		if e := b.e.restart(b.here); e != nil {
			err = errors.Join(err, e)
		} else {
			b.event(Event{Type: EventWarning, Err: err})
			b.later()
			return
		}
	}
	b.fail(err)
}

// later looks again after a while.
func (b *Base) later() { time.AfterFunc(diskPause, b.poke) }

// restart makes the state that of the last start record, as a start would, and lets the
// nodes in the logs be applied again.
func (e *engine) restart(ctx context.Context) (err error) {
	e.writing, e.booted, e.forking, e.confirming = false, nil, nil, false
	rec, err := e.local.core.UserData(bootKey)
	if err != nil {
		return err
	}
	x := &bootRecord{}
	l := &landing{info: &oplog.Info{Version: 1}}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if rec == nil {
		l.core, err = e.viewCore(ctx, systemName, e.lineage.manifest(systemName, &signers{}, hypercrypto.TreeState{}, nil, nil))
	} else if x, err = decodeBoot(rec); err == nil {
		l.length = x.system.Length
		err = e.openLanding(ctx, x.system.Key, l)
	}
	if err != nil {
		return err
	}
	for _, w := range e.writers {
		w.signs = signs{}
	}
	for r := range e.receipts {
		if r.Length > e.local.core.Length() {
			delete(e.receipts, r) // it was not written
		}
	}
	e.again = x
	defer func() { e.again = nil }()
	return e.land(ctx, l)
}

// openLanding opens the cores of a state that is all here.
func (e *engine) openLanding(ctx context.Context, key hypercrypto.Key, l *landing) (err error) {
	o := corestore.GetOptions{Key: &key}
	var scheme *viewScheme
	if e.lineage.encryption != nil {
		scheme = e.lineage.newScheme(systemName)
		o.Encryption = scheme
	}
	if l.core, err = e.store.Get(ctx, o); err != nil {
		return err
	}
	c, err := e.linkedKeys(ctx, l.core.Manifest())
	if err == nil && c != nil {
		l.keys, err = readKeys(ctx, c)
		c.Close()
	}
	if err == nil && scheme != nil {
		err = scheme.follow(l.core.Manifest(), l.keys)
	}
	if err != nil || l.length == 0 {
		return err
	}
	tree := hyperbee.New(l.core, &hyperbee.Options{NoExtension: true})
	defer tree.Close()
	at, err := tree.Checkout(l.length)
	if err != nil {
		return err
	}
	defer at.Close()
	if l.info, err = readInfo(ctx, at); err != nil {
		return err
	}
	l.views = make([]*hypercore.Core, len(l.info.Views))
	for i, r := range l.info.Views {
		if l.views[i], err = e.store.Get(ctx, corestore.GetOptions{Key: &r.Key, Passive: true}); err != nil {
			return err
		}
	}
	return nil
}
