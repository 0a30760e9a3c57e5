package storage

import "fmt"

// Branch is a core that continues another one under a name. It shares the first
// Length blocks with its parent: they, and the nodes over them, are found there.
// The store keeps the record; the layer above reads through it.
type Branch struct {
	Name   string
	Length uint64
	Core   *Core
}

func branchKey(parent *Core, name string) []byte {
	return append(appendCoreKey(nil, parent.id, partBranch), name...)
}

// CreateBranch adds a branch of parent. Like CreateCore's, its core may be used
// in b at once. ErrExists if the name is taken.
func (db *DB) CreateBranch(b *Batch, parent *Core, name string, length uint64) (*Core, error) {
	if _, err := db.record(branchKey(parent, name)); err == nil {
		return nil, fmt.Errorf("%w: branch %q", ErrExists, name)
	} else if !isNotFound(err) {
		return nil, err
	}
	db.mu.Lock()
	c, err := db.newCoreLocked(parent.dk)
	if err == nil {
		c.dk, c.parent, c.name = [32]byte{}, parent.id, name
	}
	db.mu.Unlock()
	if err != nil {
		return nil, err
	}
	b.addCore(c)
	b.setBranch(parent, name, branchRecord{c.id, length})
	return c, nil
}

func (b *Batch) setBranch(parent *Core, name string, r branchRecord) {
	b.ops(parent)
	b.records = append(b.records, record{key: branchKey(parent, name), value: r.append(nil)})
}

// SetBranchLength changes how many blocks a branch shares with its parent, for
// a truncation of either. It is an error if c is no branch.
func (b *Batch) SetBranchLength(c *Core, length uint64) {
	if c.isMain() {
		b.fail(fmt.Errorf("storage: core %s is no branch", c.dk))
		return
	}
	parent, err := b.db.coreByID(c.parent)
	if err != nil {
		b.fail(err)
		return
	}
	b.setBranch(parent, c.name, branchRecord{c.id, length})
}

// Branch returns the branch with the given name, or ErrNotFound.
func (c *Core) Branch(name string) (Branch, error) {
	b, err := c.db.record(branchKey(c, name))
	if err != nil {
		return Branch{}, err
	}
	return c.branch(name, b)
}

func (c *Core) branch(name string, b []byte) (Branch, error) {
	var r branchRecord
	if err := r.decode(b); err != nil {
		return Branch{}, err
	}
	bc, err := c.db.enterCore(r.id)
	return Branch{Name: name, Length: r.length, Core: bc}, err
}

// Branches returns the branches of the core, ordered by name.
func (c *Core) Branches() ([]Branch, error) {
	if !c.db.gate.enter() {
		return nil, ErrClosed
	}
	defer c.db.leave()
	var all []Branch
	lower := appendCoreKey(nil, c.id, partBranch)
	err := c.db.scan(c.db.pebble, lower, prefixEnd(lower), func(key, value []byte) error {
		b, err := c.branch(string(key[len(lower):]), value)
		all = append(all, b)
		return err
	})
	return all, err
}

// Parent returns the core that this one is a branch of, and the length they
// share. It is ErrNotFound for a core that is no branch.
func (c *Core) Parent() (parent *Core, length uint64, err error) {
	if c.isMain() {
		return nil, 0, ErrNotFound
	}
	if parent, err = c.db.enterCore(c.parent); err != nil {
		return nil, 0, err
	}
	b, err := parent.Branch(c.name)
	return parent, b.Length, err
}

// DeleteCore removes a core with everything in it, and its branches. Later use
// in a batch is ErrDeleted. The space comes back in the background.
func (b *Batch) DeleteCore(c *Core) {
	branches, err := c.Branches()
	if err != nil {
		b.fail(err)
		return
	}
	for _, br := range branches {
		b.DeleteCore(br.Core)
	}
	if !c.isMain() {
		if parent, err := b.db.coreByID(c.parent); err == nil {
			b.ops(parent)
			b.records = append(b.records, record{key: branchKey(parent, c.name), del: true})
		}
	}
	b.ClearBlocks(c, 0, MaxIndex+1)
	b.ops(c).deleted = true
}
