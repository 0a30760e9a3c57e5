package autobase

import (
	"context"
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
)

// Member is what the base records of somebody who writes or wrote.
type Member = oplog.Member

// Member returns the record of the owner of a log, and whether there is one.
func (b *Base) Member(ctx context.Context, log hypercrypto.Key) (Member, bool, error) {
	for {
		t, err := b.snapshot()
		if err != nil {
			return Member{}, false, err
		}
		x, ok, err := t.Get(ctx, oplog.MemberKey(log))
		t.Close()
		if errors.Is(err, hypercore.ErrTruncated) {
			continue // the tip was put in another order
		}
		if err != nil || !ok {
			return Member{}, false, err
		}
		m, err := oplog.DecodeMember(x.Value)
		return m, true, err
	}
}

// snapshot returns the system view as it is.
func (b *Base) snapshot() (*hyperbee.Tree, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.usable(); err != nil {
		return nil, err
	}
	return b.e.sys.tree.Snapshot()
}

// Writer is a member of the base, or somebody who was one, by their log.
type Writer struct {
	Key hypercrypto.Key
	Member
}

// Members returns all that the base has records of, the removed included, in the
// order of keys, as of the tip. It may have to fetch old records from peers, and
// does not keep the base waiting meanwhile.
func (b *Base) Members(ctx context.Context) ([]Writer, error) {
	for {
		list, err := b.members(ctx)
		if errors.Is(err, hypercore.ErrTruncated) {
			continue // the tip was put in another order
		}
		if err != nil {
			return nil, fmt.Errorf("read members: %w", err)
		}
		return list, nil
	}
}

func (b *Base) members(ctx context.Context) ([]Writer, error) {
	t, err := b.snapshot()
	if err != nil {
		return nil, err
	}
	defer t.Close()
	var list []Writer
	for x, err := range t.Entries(ctx, memberRange) {
		if err != nil {
			return nil, err
		}
		w, err := decodeWriter(x)
		if err != nil {
			return nil, err
		}
		list = append(list, w)
	}
	return list, nil
}

// memberRange are the entries of the system view that are about members.
var memberRange = hyperbee.Range{GTE: []byte{1, 0}, LT: []byte{1, 1}}

func decodeWriter(x hyperbee.Entry) (Writer, error) {
	m, err := oplog.DecodeMember(x.Value)
	if err == nil && len(x.Key) != 34 {
		err = fmt.Errorf("autobase: a member's record has a key of %d bytes", len(x.Key))
	}
	if err != nil {
		return Writer{}, err
	}
	return Writer{Key: hypercrypto.Key(x.Key[2:]), Member: m}, nil
}
