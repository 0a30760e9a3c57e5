package autobase

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
)

// Anchor makes a log of one node, which names the newest of the nodes that are
// being applied, and makes it a member's. Everybody who applies the nodes makes
// the same log, so that nobody has to be asked for it. It holds a point of the
// history among the heads of the base.
func (h *Host) Anchor() (Ref, error) {
	var r Ref
	err := h.do(func() error {
		k, err := h.e.anchor(h.ctx, h.last)
		if err != nil {
			return fmt.Errorf("anchor node %d of log %s: %w", h.last.Length, h.last.Key, err)
		}
		if err := h.e.sys.add(h.ctx, k, false); err != nil {
			return err
		}
		_, err = h.e.writer(h.ctx, k)
		r = Ref{Key: k, Length: 1}
		return err
	})
	return r, err
}

// anchor makes the log of one node that names another, and returns its key.
func (e *engine) anchor(ctx context.Context, at oplog.Ref) (hypercrypto.Key, error) {
	block, m, err := e.lineage.anchor(at)
	if err != nil {
		return hypercrypto.Key{}, err
	}
	core, err := e.store.Get(ctx, corestore.GetOptions{Manifest: m})
	if err != nil {
		return hypercrypto.Key{}, err
	}
	defer core.Close()
	if core.Length() > 0 && core.Has(0, 1) {
		return core.Key(), nil
	}
	draft, err := core.Draft(0)
	if err != nil {
		return hypercrypto.Key{}, err
	}
	defer draft.Close()
	if _, err := draft.Append(ctx, block); err != nil {
		return hypercrypto.Key{}, err
	}
	return core.Key(), hypercore.CommitDrafts(ctx, []hypercore.DraftCommit{{Draft: draft, Length: 1}})
}

// anchor returns the only block of the log that names a node, as it is stored,
// and its manifest, which fixes that block.
func (l *lineage) anchor(at oplog.Ref) ([]byte, *hypercrypto.Manifest, error) {
	namespace := [32]byte(hypercrypto.Sum(binary.LittleEndian.AppendUint64(at.Key[:], at.Length)))
	var block []byte
	if l.encryption != nil {
		block = make([]byte, hypercrypto.EncryptionPadding)
	}
	block = (&oplog.Block{Heads: []oplog.Ref{at}, Batch: 1}).AppendTo(block)
	if l.encryption != nil {
		// The key of the hash in front of the block is made of the block.
		hash := hypercrypto.Sum(nsHashKey[:], block)
		keys := l.logKeys(hypercrypto.Key(namespace))
		err := l.rotating(func(entropy [32]byte) ([32]byte, [32]byte) {
			k, _ := keys(entropy)
			return k, hash
		}, l.epoch.Load).Encrypt(0, 0, block)
		if err != nil {
			return nil, nil, err
		}
	}
	leaf := hypercrypto.LeafHash(block)
	var tree hypercrypto.TreeHasher
	tree.Add(0, uint64(len(block)), &leaf)
	return block, &hypercrypto.Manifest{
		Version: 2, Prologue: &hypercrypto.Prologue{Hash: tree.Sum(), Length: 1},
		UserData: manifestData{namespace: &namespace}.appendTo(nil),
	}, nil
}

// manifestData is what a base puts into the user data of manifests:
//
//	uint 0, uint flags (1 compat, 2 namespace), [uint compat], [32 namespace]
type manifestData struct {
	compat    uint64    // blocks before this one use the scheme of manifests of version 1
	namespace *[32]byte // stands in for the log's key where keys are derived
}

const (
	hasCompat = 1 << iota
	hasNamespace
)

var errManifestData = errors.New("autobase: unknown version of the data in a manifest")

func (d manifestData) appendTo(b []byte) []byte {
	flags := uint64(0)
	if d.compat > 0 {
		flags |= hasCompat
	}
	if d.namespace != nil {
		flags |= hasNamespace
	}
	b = compact.AppendUint(compact.AppendUint(b, 0), flags)
	if d.compat > 0 {
		b = compact.AppendUint(b, d.compat)
	}
	if d.namespace != nil {
		b = append(b, d.namespace[:]...)
	}
	return b
}

func decodeManifestData(b []byte) (d manifestData, err error) {
	if len(b) == 0 {
		return d, nil
	}
	r := compact.NewReader(b)
	version, flags := r.Uint(), r.Uint()
	if r.Err() == nil && version != 0 {
		return d, errManifestData
	}
	if flags&hasCompat != 0 {
		d.compat = r.Uint()
	}
	if flags&hasNamespace != 0 {
		ns := r.Fixed32()
		d.namespace = (*[32]byte)(&ns)
	}
	return d, r.Err()
}
