package base

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/tradle/cloudpal/hyper/autobase"
	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
)

// Base is an open base. It must be closed.
type Base struct {
	l      *Library
	o      *opened
	record Record
	once   sync.Once
	err    error
}

// Close gives the base back. It may be called twice.
func (b *Base) Close() error {
	b.once.Do(func() { b.err = b.l.release(b.record.Name, b.o) })
	return b.err
}

// Record returns what is remembered of the base.
func (b *Base) Record() Record { return b.record }

// Local returns the key of this device's log, by which a member adds it.
func (b *Base) Local() hypercrypto.Key { return b.o.base.LocalKey() }

// Status returns the present state.
func (b *Base) Status() autobase.Status { return b.o.base.Status() }

// WaitWritable waits until this device is a member.
func (b *Base) WaitWritable(ctx context.Context) error { return b.o.base.WaitWritable(ctx) }

func (o *opened) onEvent(autobase.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.change)
	o.change = make(chan struct{})
}

// Changed returns a channel that is closed with the next change.
func (b *Base) Changed() <-chan struct{} {
	b.o.mu.Lock()
	defer b.o.mu.Unlock()
	return b.o.change
}

// Pair is a key and its value.
type Pair struct{ Key, Value string }

// Change sets and removes keys as one change, and returns when it is durable here.
func (b *Base) Change(ctx context.Context, put []Pair, remove []string) error {
	var ops []op
	for _, p := range put {
		ops = append(ops, op{Put: []string{p.Key, p.Value}})
	}
	for _, k := range remove {
		ops = append(ops, op{Del: k})
	}
	for _, o := range ops {
		if o.Put == nil && o.Del == "" || o.Put != nil && o.Put[0] == "" {
			return fault.New(fault.Usage, "a key cannot be empty")
		}
	}
	return b.append(ctx, ops)
}

func (b *Base) append(ctx context.Context, ops []op) error {
	var values [][]byte
	for _, o := range ops {
		v, err := o.encode()
		if err != nil {
			return err
		}
		values = append(values, v)
	}
	receipts, err := b.o.base.Append(ctx, values...)
	if err != nil {
		return b.explain(err)
	}
	for _, r := range receipts {
		if o := r.Outcome(); o.Err != nil {
			return fmt.Errorf("write to base %q: %w", b.record.Name, o.Err)
		}
	}
	return nil
}

func (b *Base) explain(err error) error {
	if errors.Is(err, autobase.ErrNotMember) {
		return fault.New(fault.Permission, "this device is no member of base %q", b.record.Name).
			Hint("ask a member for an invite, or to add this device: cloudpal base members add NAME %s", b.Local())
	}
	return err
}

// Entries yields keys that begin with a prefix, and their values, in order.
func (b *Base) Entries(ctx context.Context, prefix string) iter.Seq2[Pair, error] {
	return func(yield func(Pair, error) bool) {
		if _, err := b.o.base.Update(ctx); err != nil {
			yield(Pair{}, err)
			return
		}
		r := hyperbee.Range{GTE: []byte(prefix), LT: after(prefix)}
		for e, err := range b.o.views.kv.Entries(ctx, r) {
			if !yield(Pair{string(e.Key), string(e.Value)}, err) || err != nil {
				return
			}
		}
	}
}

// after returns the first key behind all that begin with a prefix, nil if there is
// none.
func after(prefix string) []byte {
	end := []byte(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}

// Member is a device that writes, or wrote, to a base.
type Member struct {
	Key              hypercrypto.Key // of its log
	Indexer, Removed bool
	Length           uint64 // operations that count
	Self             bool
}

// Members returns who is known, in the order of keys.
func (b *Base) Members(ctx context.Context) ([]Member, error) {
	if _, err := b.o.base.Update(ctx); err != nil {
		return nil, err
	}
	writers, err := b.o.base.Members(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Member, len(writers))
	for i, w := range writers {
		list[i] = Member{Key: w.Key, Indexer: w.Indexer, Removed: w.Removed, Length: w.Length, Self: w.Key == b.Local()}
	}
	return list, nil
}

// AddMember lets the device with that log write. An indexer takes part in confirming
// the order.
func (b *Base) AddMember(ctx context.Context, log hypercrypto.Key, indexer bool) error {
	return b.changeMembers(ctx, op{Add: log.Hex(), Indexer: &indexer})
}

// RemoveMember ends that.
func (b *Base) RemoveMember(ctx context.Context, log hypercrypto.Key) error {
	return b.changeMembers(ctx, op{Remove: log.Hex()})
}

func (b *Base) changeMembers(ctx context.Context, o op) error {
	v, err := o.encode()
	if err != nil {
		return err
	}
	r, err := b.o.base.ChangeMembers(ctx, v)
	if err != nil {
		return b.explain(err)
	}
	if out := r.Outcome(); out.Err != nil {
		return fault.New(fault.Conflict, "change members of base %q: %w", b.record.Name, out.Err)
	}
	return nil
}

// Log names a log of a base and says how long it is.
type Log struct {
	Key    hypercrypto.Key
	Length uint64
}

// Logs returns what a mirror has to keep of the base: this device's log, the signed
// views and the logs that are not confirmed.
func (b *Base) Logs() []Log {
	s := b.o.base.Status()
	logs := []Log{{b.Local(), 0}, {s.System, s.Signed}}
	for _, v := range s.Views {
		logs = append(logs, Log{v.Key, v.Signed})
	}
	for _, refs := range [][]autobase.Ref{s.Heads, s.Indexers} {
		for _, r := range refs {
			logs = append(logs, Log{r.Key, r.Length})
		}
	}
	slices.SortStableFunc(logs, func(x, y Log) int { return slices.Compare(x.Key[:], y.Key[:]) })
	return slices.CompactFunc(logs, func(x, y Log) bool { return x.Key == y.Key })
}
