package hyperdht

import (
	"bytes"
	"context"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/dhtrpc"
)

// MaxValue is the size in bytes of the largest value that nodes store.
const MaxValue = 1000

// ImmutablePut stores a value of at most MaxValue bytes at the nodes nearest to
// its hash, which keep it for two days or so, and returns the hash.
func (d *DHT) ImmutablePut(ctx context.Context, value []byte) (hypercrypto.Hash, error) {
	hash := hypercrypto.Sum(value)
	if len(value) > MaxValue {
		return hash, fmt.Errorf("%w: value of %d bytes", ErrTooLarge, len(value))
	}
	q := dhtrpc.Query{Target: dhtrpc.ID(hash), Command: cmdImmutableGet}
	if err := d.runQuery(ctx, &q); err != nil {
		return hash, fmt.Errorf("put value: %w", err)
	}
	if value == nil {
		value = []byte{}
	}
	_, err := d.commit(&q, func(r *dhtrpc.Response) error { return d.store1(ctx, r, cmdImmutablePut, q.Target, value) })
	if err != nil {
		return hash, fmt.Errorf("put value: %w", err)
	}
	return hash, nil
}

// ImmutableGet returns the value with a hash. The error is ErrNotFound if no node
// has it.
func (d *DHT) ImmutableGet(ctx context.Context, hash hypercrypto.Hash) ([]byte, error) {
	if err := d.ready(ctx); err != nil {
		return nil, err
	}
	q := dhtrpc.Query{Target: dhtrpc.ID(hash), Command: cmdImmutableGet}
	for r, err := range d.node.Query(ctx, &q) {
		if err != nil {
			return nil, fmt.Errorf("get value: %w", err)
		}
		if r.Value != nil && hypercrypto.Sum(r.Value) == hash {
			return r.Value, nil
		}
	}
	return nil, ErrNotFound
}

// Value is a mutable value.
type Value struct {
	Seq  uint64
	Data []byte
}

// MutablePut stores a value of at most MaxValue bytes under a public key. A value
// with a higher sequence number replaces one with a lower; the error is
// ErrSeqTooLow or ErrSeqReused if every node refuses for that reason.
func (d *DHT) MutablePut(ctx context.Context, kp *hypercrypto.KeyPair, v Value) error {
	if len(v.Data) > MaxValue {
		return fmt.Errorf("%w: value of %d bytes", ErrTooLarge, len(v.Data))
	}
	m := mutable{seq: v.Seq, value: v.Data, signature: kp.Sign(mutableSignable(v.Seq, v.Data))}
	value := m.appendTo(append([]byte(nil), kp.Public[:]...))
	q := dhtrpc.Query{Target: targetOf(kp.Public), Command: cmdMutableGet, Value: compact.AppendUint(nil, 0)}
	if err := d.runQuery(ctx, &q); err != nil {
		return fmt.Errorf("put mutable value: %w", err)
	}
	_, err := d.commit(&q, func(r *dhtrpc.Response) error { return d.store1(ctx, r, cmdMutablePut, q.Target, value) })
	if err != nil {
		return fmt.Errorf("put mutable value: %w", err)
	}
	return nil
}

// MutableGet returns the value under a key with the highest sequence number that
// a node has, at least seq. The error is ErrNotFound if there is none.
func (d *DHT) MutableGet(ctx context.Context, key hypercrypto.PublicKey, seq uint64) (Value, error) {
	var best *Value
	if err := d.ready(ctx); err != nil {
		return Value{}, err
	}
	q := dhtrpc.Query{Target: targetOf(key), Command: cmdMutableGet, Value: compact.AppendUint(nil, seq)}
	for r, err := range d.node.Query(ctx, &q) {
		if err != nil {
			return Value{}, fmt.Errorf("get mutable value: %w", err)
		}
		if r.Value == nil {
			continue
		}
		rd := compact.NewReader(r.Value)
		m := readMutable(&rd)
		if rd.Err() != nil || m.seq < seq || best != nil && m.seq <= best.Seq || !m.verify(key) {
			continue
		}
		best = &Value{Seq: m.seq, Data: bytes.Clone(m.value)}
	}
	if best == nil {
		return Value{}, ErrNotFound
	}
	return *best, nil
}

// runQuery runs a query to its end.
func (d *DHT) runQuery(ctx context.Context, q *dhtrpc.Query) error {
	if err := d.ready(ctx); err != nil {
		return err
	}
	for _, err := range d.node.Query(ctx, q) {
		if err != nil {
			return err
		}
	}
	if len(q.Closest) == 0 {
		return ErrTooFew
	}
	return nil
}
