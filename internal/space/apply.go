package space

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/tradle/cloudpal/hyper/autobase"
	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/space/clock"
)

// viewName is the one view of a space.
const viewName = "state"

// cacheBytes is the memory for blocks of the state of one space.
const cacheBytes = 8 << 20

// errRefused is the error of an operation that its author may not do, or that makes no
// sense in the state it meets. All devices refuse it.
var errRefused = errors.New("refused")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errRefused, fmt.Errorf(format, args...))
}

// app is the application of the base of a space.
type app struct {
	key         hypercrypto.Key // of the space: that of its first log
	discovery   hypercrypto.DiscoveryKey
	level       uint64 // of this program
	collections map[string]Collection
	tree        *hyperbee.Tree
	clock       *clock.Clock // hears of all times; no part of the state

	// What finds the keys of epochs that are for this device; no part of the state.
	ring   *ring
	log    hypercrypto.Key
	box    *hypercrypto.BoxKeyPair
	phrase atomic.Pointer[phrase]
}

func newApp(key hypercrypto.Key, level uint64, collections []Collection) *app {
	a := &app{key: key, discovery: key.Discovery(), level: level, collections: make(map[string]Collection)}
	for _, c := range collections {
		a.collections[c.Type()] = c
	}
	return a
}

func (a *app) handlers() autobase.Handlers { return autobase.Handlers{Open: a.open, Apply: a.apply} }

func (a *app) open(v *autobase.Views) error {
	a.tree = v.Tree(viewName, &hyperbee.Options{CacheBytes: cacheBytes})
	return nil
}

// author is who wrote the operations of an append.
type author struct {
	log     hypercrypto.Key
	device  *device // nil: the log is nobody's
	person  *person
	outside bool // no writer of the base
}

// may returns nil if the author has at least a role.
func (w *author) may(r Role) error {
	if w.device == nil || w.device.until != 0 || w.person == nil || w.person.until != 0 {
		return refuse("log %s is no member's", w.log)
	}
	if w.person.role < r {
		who := "owners"
		if r == Editor {
			who = "editors and owners"
		}
		return refuse("only %s may do that, not who is here as %s", who, w.person.role)
	}
	return nil
}

// apply is the apply function of the base: one append makes one batch of the state,
// or has no effect.
func (a *app) apply(ctx context.Context, nodes []autobase.Node, h *autobase.Host) error {
	batch := a.tree.Batch()
	defer batch.Close()
	d := newDraft(batch)
	if err := d.begin(ctx); err != nil {
		return err
	}
	typ := ""
	for i := range nodes {
		t, err := a.applyNode(ctx, d, &nodes[i], h)
		if err != nil {
			return err
		}
		if i > 0 && t != typ {
			return refuse("an append with operations of types %q and %q", typ, t)
		}
		typ = t
	}
	d.entry.typ = typ
	return d.end(ctx)
}

func (a *app) applyNode(ctx context.Context, d *draft, n *autobase.Node, h *autobase.Host) (typ string, err error) {
	level, err := d.number(ctx, settingLevel)
	if err != nil {
		return "", err
	}
	if level > a.level {
		// It was signed by others; this program could not have applied it.
		return "", h.Interrupt(tooOld(level))
	}
	op, err := decodeEnvelope(n.Value, max(level, 1))
	if err != nil {
		return "", err
	}
	a.clock.Observe(op.time)
	w, err := a.author(ctx, d, n)
	if err != nil {
		return "", err
	}
	if op.typ == coreType {
		act, err := decodeAction(op.body)
		if err != nil {
			return "", err
		}
		x := &execution{a: a, d: d, h: h, n: n, w: w, time: op.time}
		if err := x.do(ctx, act); err != nil {
			return "", err
		}
		d.note(n.From, n.Length, op.time)
		return coreType, nil
	}
	if w.outside {
		return "", refuse("log %s is no writer's", n.From)
	}
	if err := w.may(Editor); err != nil {
		return "", err
	}
	c := a.collections[op.typ]
	if op.level > level || c == nil || c.Level() > level {
		d.entry.skipped = true
		d.note(n.From, n.Length, op.time)
		return op.typ, nil
	}
	d.note(n.From, n.Length, op.time)
	return op.typ, c.Apply(ctx, writablePart{newPart(d.batch, op.typ), d}, &Op{
		Log: n.From, Length: n.Length, Device: w.device.key, DeviceName: w.device.name,
		Person: w.device.person, Role: w.person.role, Time: op.time, Heads: n.Heads, Level: level, Body: op.body,
	})
}

func (a *app) author(ctx context.Context, d *draft, n *autobase.Node) (*author, error) {
	w := &author{log: n.From, outside: n.Optimistic}
	var err error
	if w.device, err = d.device(ctx, n.From); err != nil || w.device == nil {
		return w, err
	}
	w.person, err = d.person(ctx, w.device.person)
	return w, err
}

// tooOld is why a program stops at a space that needs a newer one.
func tooOld(level uint64) string {
	return fmt.Sprintf("this space needs a newer program: one of level %d, this is one of level %d", level, Level)
}
