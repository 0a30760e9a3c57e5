package hypercore

import (
	"bytes"
	"context"
	"fmt"
	"sort"

	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/storage"
)

// Tx is a change of several logs that takes effect as one: after a crash either
// all of it is there or none. It is valid during the call of [Atomic] that made
// it and not safe for concurrent use.
type Tx struct {
	logs map[*log]*txLog
}

// txLog is the state of one log in a Tx.
type txLog struct {
	core   *Core
	before head
	head   head
	keep   uint64   // blocks of before that are still there
	blocks [][]byte // stored form, from keep on
	nodes  map[uint64]merkle.Node
	user   map[string][]byte
}

// Atomic runs fn with a Tx over the given logs, which must belong to one store,
// and commits what it did, signed once per log. No one else changes the logs
// meanwhile; reads from elsewhere see the old state until all of it is
// committed. If fn returns an error nothing happens.
func Atomic(ctx context.Context, cores []*Core, fn func(tx *Tx) error) error {
	tx := &Tx{logs: make(map[*log]*txLog)}
	var order []*txLog
	for _, c := range cores {
		if !c.Writable() || c.pinned() {
			return fmt.Errorf("%w: log %s", ErrNotWritable, c.Key())
		}
		if tx.logs[c.log] != nil {
			continue
		}
		if len(order) > 0 && c.log.db != order[0].core.log.db {
			return fmt.Errorf("hypercore: logs of different stores cannot change as one")
		}
		t := &txLog{core: c, nodes: make(map[uint64]merkle.Node), user: make(map[string][]byte)}
		tx.logs[c.log] = t
		order = append(order, t)
	}
	if len(order) == 0 {
		return fn(tx)
	}
	// Everybody locks in the same order.
	sort.Slice(order, func(i, j int) bool {
		return bytes.Compare(order[i].core.log.key[:], order[j].core.log.key[:]) < 0
	})
	for _, t := range order {
		l := t.core.log
		l.change.Lock()
		defer l.change.Unlock()
		if err := l.usable(); err != nil {
			return err
		}
		t.before = l.state()
		t.head, t.keep = head{Tree: t.before.Clone(), signature: t.before.signature}, t.before.Length
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return err
	}
	return commitAll(order)
}

func (tx *Tx) of(c *Core) *txLog {
	t := tx.logs[c.log]
	if t == nil {
		panic("hypercore: log is not part of the atomic change")
	}
	return t
}

// Length returns the length of a log within the change.
func (tx *Tx) Length(c *Core) uint64 { return tx.of(c).head.Length }

// Append adds blocks and returns the new length.
func (tx *Tx) Append(c *Core, blocks ...[]byte) (uint64, error) {
	t := tx.of(c)
	if err := c.checkBlocks(blocks); err != nil {
		return 0, err
	}
	enc := c.encryption()
	for _, b := range blocks {
		stored := append([]byte(nil), b...)
		if enc != nil {
			var err error
			if stored, err = seal(enc, t.head.Length, t.head.Fork, b); err != nil {
				return 0, err
			}
		}
		t.blocks = append(t.blocks, stored)
		for _, n := range t.head.Append(merkle.Leaf(t.head.Length, stored), nil) {
			t.nodes[n.Index] = n
		}
	}
	return t.head.Length, nil
}

// Truncate cuts a log to length blocks under a higher fork.
func (tx *Tx) Truncate(c *Core, length uint64) error {
	t := tx.of(c)
	if length > t.head.Length {
		return fmt.Errorf("%w: truncate %d blocks to %d", ErrOutOfRange, t.head.Length, length)
	}
	if p := c.log.prologue(); length < p {
		return fmt.Errorf("%w: the first %d blocks are fixed by the manifest", ErrOutOfRange, p)
	}
	tree, err := merkle.Load(t, t.head.Fork+1, length)
	if err != nil {
		return err
	}
	t.head.Tree = tree
	if length < t.keep {
		t.keep, t.blocks = length, nil
	} else {
		t.blocks = t.blocks[:length-t.keep]
	}
	return nil
}

// Get returns a block within the change, of those that are held here.
func (tx *Tx) Get(c *Core, i uint64) ([]byte, error) {
	t := tx.of(c)
	switch {
	case i >= t.head.Length:
		return nil, fmt.Errorf("%w: block %d of %d", ErrOutOfRange, i, t.head.Length)
	case i < t.keep:
		return c.GetLocal(i)
	default:
		return c.open1(i, append([]byte{}, t.blocks[i-t.keep]...))
	}
}

// SetUserData stores a value next to a log, as [Core.SetUserData] does.
func (tx *Tx) SetUserData(c *Core, key string, value []byte) {
	tx.of(c).user[key] = append([]byte(nil), value...)
	if value == nil {
		tx.of(c).user[key] = nil
	}
}

// Node makes txLog a [merkle.Reader] of the log within the change.
func (t *txLog) Node(index uint64) (merkle.Node, bool, error) {
	if n, ok := t.nodes[index]; ok {
		return n, true, nil
	}
	return t.core.log.Node(index)
}

func (t *txLog) changed() bool {
	return t.head.Fork != t.before.Fork || t.head.Length != t.before.Length
}

func commitAll(order []*txLog) error {
	l0 := order[0].core.log
	b := l0.db.NewBatch()
	defer b.Close()
	mode := storage.Relaxed
	for _, t := range order {
		l := t.core.log
		if l.durability() == storage.Durable {
			mode = storage.Durable
		}
		for k, v := range t.user {
			b.SetUserData(l.st, k, v)
		}
		if !t.changed() {
			continue
		}
		var err error
		if t.head.signature, err = l.sign(&t.head.Tree, nil); err != nil {
			return err
		}
		if t.head.Fork != t.before.Fork {
			if err := l.branchesKeep(t.keep); err != nil {
				return err
			}
			l.truncate(b, t.keep)
			l.forkSeq.Add(1)
			defer l.forkSeq.Add(1)
		}
		b.PutBlocks(l.st, t.keep, t.blocks)
		b.PutNodes(l.st, t.added())
		b.SetHead(l.st, l.record(&t.head))
	}
	if err := b.Commit(mode); err != nil {
		for _, t := range order {
			t.core.log.fail(err)
		}
		return fmt.Errorf("store atomic change: %w", err)
	}
	for _, t := range order {
		if t.changed() {
			t.publish(mode == storage.Durable)
		}
	}
	return nil
}

// added returns the nodes of the appended blocks, and nothing that an undone
// append left behind.
func (t *txLog) added() []merkle.Node {
	tree, err := merkle.Load(t, t.head.Fork, t.keep)
	if err != nil {
		panic("hypercore: the kept part of the log has lost its roots: " + err.Error())
	}
	var nodes []merkle.Node
	for _, b := range t.blocks {
		nodes = tree.Append(merkle.Leaf(tree.Length, b), nodes)
	}
	return nodes
}

func (t *txLog) publish(durable bool) {
	l := t.core.log
	forked := t.head.Fork != t.before.Fork
	if forked {
		l.cut(&t.head, t.keep, t.before.Length)
	}
	l.mu.Lock()
	l.head = t.head
	l.mu.Unlock()
	if t.head.Length > t.keep {
		l.events.emit(Event{Type: EventAppend, Length: t.head.Length, Fork: t.head.Fork})
	}
	l.publish(durable)
	if forked {
		l.repl.forked(t.keep, t.before.Length)
	}
	l.repl.grew()
}
