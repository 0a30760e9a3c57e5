package hyperdrive

import (
	"context"
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// nameOfNames is the name of the core of an own drive's names in its store.
const nameOfNames = "db"

// Open opens a drive: the own one of the store's namespace, or the one of
// opts.Key. An own drive is made if there is none. A drive that is known by its
// key only is opened at once; its first reads wait for a peer. The store stays
// the caller's.
func Open(ctx context.Context, store *corestore.Store, opts *Options) (*Drive, error) {
	o := opts.withDefaults()
	core, err := store.Get(ctx, namesCore(&o))
	if err != nil {
		return nil, fmt.Errorf("open drive: %w", err)
	}
	p := &place{store: store, opts: o, core: core}
	d, err := p.open(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open drive: %w", err), core.Close())
	}
	return d, nil
}

// namesCore says which core holds the names.
func namesCore(o *Options) corestore.GetOptions {
	g := corestore.GetOptions{Key: o.Key, KeyPair: o.KeyPair, EncryptionKey: o.EncryptionKey, Passive: o.Passive}
	switch {
	case o.KeyPair != nil && o.Compat:
		key := hypercrypto.Key(o.KeyPair.Public)
		g.Key = &key
	case o.Key == nil && o.KeyPair == nil:
		g.Name = nameOfNames
	}
	return g
}

// place knows where the contents of a drive are.
type place struct {
	store *corestore.Store
	opts  Options
	core  *hypercore.Core // of the names
}

func (p *place) open(ctx context.Context) (*Drive, error) {
	header := &hyperbee.Metadata{}
	if !p.core.Writable() {
		return newDrive(p, header, p.content)
	}
	// An own drive makes its contents at once, so that peers that come for the
	// names find them.
	content, err := p.ownContent(ctx)
	if err != nil {
		return nil, err
	}
	if p.contentManifest() == nil {
		key := content.Key()
		header.ContentFeed = key[:]
	}
	d, err := newDrive(p, header, func(context.Context) (*hypercore.Core, error) { return content, nil })
	if err == nil {
		_, err = d.Blobs(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, content.Close())
	}
	return d, nil
}

func (p *place) contentManifest() *hypercrypto.Manifest {
	return ContentManifest(p.core.Manifest(), p.core.Key())
}

// get opens a core with the drive's encryption.
func (p *place) get(ctx context.Context, g corestore.GetOptions) (*hypercore.Core, error) {
	g.EncryptionKey, g.Passive = p.opts.EncryptionKey, p.opts.Passive
	return p.store.Get(ctx, g)
}

// ownContent opens the contents of a drive that can be written.
func (p *place) ownContent(ctx context.Context) (*hypercore.Core, error) {
	feed, err := p.contentFeed(ctx)
	if err != nil {
		return nil, err
	}
	if m := p.contentManifest(); m != nil && (feed == nil || *feed == m.Key()) {
		return p.get(ctx, corestore.GetOptions{Manifest: m, KeyPair: p.core.KeyPair()})
	}
	// Drives from before manifests name a core of their own in the header.
	named, err := p.get(ctx, corestore.GetOptions{Name: p.core.Key().String() + "/blobs"})
	if err != nil || feed == nil || *feed == named.Key() {
		return named, err
	}
	if err := named.Close(); err != nil {
		return nil, err
	}
	return p.get(ctx, corestore.GetOptions{Key: feed})
}

// content opens the contents of somebody's drive. It waits for the header.
func (p *place) content(ctx context.Context) (*hypercore.Core, error) {
	if _, err := p.core.Get(ctx, 0); err != nil {
		return nil, err
	}
	feed, err := p.contentFeed(ctx)
	if err != nil {
		return nil, err
	}
	if feed != nil {
		return p.get(ctx, corestore.GetOptions{Key: feed})
	}
	m := p.contentManifest()
	if m == nil {
		return nil, errors.New("neither header nor manifest say where they are")
	}
	return p.get(ctx, corestore.GetOptions{Manifest: m})
}

// contentFeed returns the key that the header names, nil without header or key.
func (p *place) contentFeed(ctx context.Context) (*hypercrypto.Key, error) {
	if p.core.Length() == 0 {
		return nil, nil
	}
	block, err := p.core.Get(ctx, 0)
	if err != nil {
		return nil, err
	}
	h, err := hyperbee.DecodeHeader(block)
	if err != nil {
		return nil, err
	}
	if h.Protocol != hyperbee.Protocol {
		return nil, fmt.Errorf("the log holds %q, not a drive", h.Protocol)
	}
	if h.Metadata == nil || len(h.Metadata.ContentFeed) < 32 {
		return nil, nil
	}
	key := hypercrypto.Key(h.Metadata.ContentFeed[:32])
	return &key, nil
}
