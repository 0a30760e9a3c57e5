package autobase

import (
	"context"
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
)

// view is a core that the application writes.
type view struct {
	name  string
	draft *hypercore.Core
	under *hypercore.Core // what the draft lies on; kept open
	tree  *hyperbee.Tree  // if it was asked for

	viewState
}

// viewState is what changes of a view.
type viewState struct {
	length   uint64
	key      hypercrypto.Key       // of the core that the base has for it
	manifest *hypercrypto.Manifest // of that core if it is yet to be made
	mapped   int                   // its place in the state of the base, -1 while it is empty
}

// Views hands out the views of a base to Handlers.Open.
type Views struct {
	e    *engine
	ctx  context.Context
	err  error
	done bool
}

// Core returns the view with a name, as a log. It may be written in Apply and
// read anywhere; it shrinks when the tip is put in another order, which is a
// truncation, and its key changes with the indexers.
func (v *Views) Core(name string) *hypercore.Core {
	w := v.view(name)
	if w == nil {
		return nil
	}
	return w.draft
}

// Tree returns the view with a name, as a bee. See [Views.Core].
func (v *Views) Tree(name string, opts *hyperbee.Options) *hyperbee.Tree {
	w := v.view(name)
	if w == nil {
		return nil
	}
	if w.tree == nil {
		var o hyperbee.Options
		if opts != nil {
			o = *opts
		}
		o.NoExtension = true
		w.tree = hyperbee.New(w.draft, &o)
	}
	return w.tree
}

func (v *Views) view(name string) *view {
	if v.done || v.err != nil {
		return nil
	}
	for _, w := range v.e.views {
		if w.name == name {
			return w
		}
	}
	if name == "" || name == systemName || name == encryptionName {
		v.err = fmt.Errorf("%w: %q", corestore.ErrName, name)
		return nil
	}
	w, err := v.e.openView(v.ctx, name)
	if err != nil {
		v.err = err
		return nil
	}
	v.e.views = append(v.e.views, w)
	return w
}

// openView opens a view as the state of the base has it.
func (e *engine) openView(ctx context.Context, name string) (*view, error) {
	w := &view{name: name, viewState: viewState{mapped: -1}}
	s, err := e.signers(ctx, e.sys.info.Indexers)
	if err != nil {
		return nil, err
	}
	for i, r := range e.sys.info.Views {
		core, err := e.store.Get(ctx, corestore.GetOptions{Key: &r.Key, Encryption: e.lineage.viewEncryption(name), Passive: true})
		if err != nil {
			return nil, fmt.Errorf("open view %q: %w", name, err)
		}
		if !e.belongs(core.Manifest(), name, s) {
			core.Close()
			continue
		}
		if err := e.followView(name, core); err != nil {
			return nil, err
		}
		w.under, w.key, w.length, w.mapped = core, r.Key, r.Length, i
		if w.draft, err = core.Draft(r.Length); err != nil {
			return nil, fmt.Errorf("open view %q: %w", name, err)
		}
		return w, nil
	}
	var m *hypercrypto.Manifest
	m, w.mapped = e.emptyView(name, s, e.sys.info.Views)
	if w.under, err = e.viewCore(ctx, name, m); err != nil {
		return nil, err
	}
	if err := e.followView(name, w.under); err != nil {
		return nil, err
	}
	w.key = w.under.Key()
	if w.draft, err = w.under.Draft(0); err != nil {
		return nil, fmt.Errorf("open view %q: %w", name, err)
	}
	return w, nil
}

// emptyView returns the manifest of an empty view and its place among those that
// the state of the base has, -1 for none. A fork gives all views a place. The empty
// ones keep it, in the order in which they are opened, and the key of that time.
func (e *engine) emptyView(name string, s *signers, places []oplog.Ref) (*hypercrypto.Manifest, int) {
	for i, r := range places {
		if r.Length == 0 && e.mapped(i) == nil {
			return e.lineage.manifest(name, s, hypercrypto.TreeState{}, nil, manifestData{}.appendTo(nil)), i
		}
	}
	return e.lineage.manifest(name, s, hypercrypto.TreeState{}, nil, nil), -1
}

// belongs tells whether a manifest is that of the view with a name.
func (e *engine) belongs(m *hypercrypto.Manifest, name string, s *signers) bool {
	want := e.lineage.manifest(name, s, hypercrypto.TreeState{}, nil, nil)
	if m == nil || len(want.Signers) == 0 {
		return m != nil && m.Equal(want)
	}
	return len(m.Signers) > 0 && m.Signers[0].Namespace == want.Signers[0].Namespace
}

func (e *engine) viewCore(ctx context.Context, name string, m *hypercrypto.Manifest) (*hypercore.Core, error) {
	c, err := e.store.Get(ctx, corestore.GetOptions{Manifest: m, Encryption: e.lineage.viewEncryption(name), Passive: name != systemName})
	if err != nil {
		return nil, fmt.Errorf("open core of view %q: %w", name, err)
	}
	return c, nil
}

// point is the state of a base between two nodes.
type point struct {
	info   oplog.Info
	length uint64 // of the system view
	epoch  uint32 // of keys
	views  []viewState
}

// here returns the present state.
func (e *engine) here() *point {
	p := &point{info: cloneInfo(&e.sys.info), length: e.sys.draft.Length(), epoch: e.epoch, views: make([]viewState, len(e.views))}
	for i, v := range e.views {
		v.length = v.draft.Length()
		p.views[i] = v.viewState
	}
	return p
}

// back returns to an earlier state.
func (e *engine) back(ctx context.Context, p *point) error {
	e.useEpoch(p.epoch)
	if err := e.sys.undo(ctx, &p.info, p.length); err != nil {
		return err
	}
	for i, v := range e.views {
		if err := v.cut(ctx, p.views[i].length); err != nil {
			return err
		}
		v.viewState = p.views[i]
	}
	return nil
}

func (v *view) cut(ctx context.Context, length uint64) error {
	if v.draft.Length() == length {
		return nil
	}
	if err := v.draft.Truncate(ctx, length, nil); err != nil {
		return fmt.Errorf("take back view %q: %w", v.name, err)
	}
	return nil
}

// mapViews enters the views into the state that is going to be written.
func (e *engine) mapViews() {
	highest := -1
	for _, v := range e.views {
		highest = max(highest, v.mapped)
	}
	info := &e.sys.info
	info.Views = slices.Clone(info.Views[:min(highest+1, len(info.Views))])
	for _, v := range e.views {
		v.length = v.draft.Length()
		if v.length == 0 {
			continue
		}
		r := oplog.Ref{Key: v.key, Length: v.length}
		if v.mapped >= 0 {
			info.Views[v.mapped] = r
			continue
		}
		v.mapped = len(info.Views)
		info.Views = append(info.Views, r)
	}
}

// nextViews gives all views the keys they have under new indexers.
func (e *engine) nextViews(ctx context.Context) error {
	info := &e.sys.info
	if info.Version >= 2 {
		keys := make([]hypercrypto.Key, len(info.Indexers))
		for i, r := range info.Indexers {
			keys[i] = r.Key
		}
		entropy := nextEntropy(e.sys.flushLength(), info.Entropy, keys)
		info.Entropy = &entropy
	}
	s, err := e.signers(ctx, info.Indexers)
	if err != nil {
		return err
	}
	for _, v := range e.views {
		v.manifest = e.lineage.manifest(v.name, s, hypercrypto.TreeState{Hash: v.draft.TreeHash(), Length: v.draft.Length()}, nil, e.userData(v.draft))
		v.key = v.manifest.Key()
	}
	return nil
}

func (e *engine) userData(c *hypercore.Core) []byte {
	if m := c.Manifest(); m != nil {
		return m.UserData
	}
	return nil
}

// signers returns who signs under the given indexers. Their manifests are known
// as soon as one of their nodes is.
func (e *engine) signers(ctx context.Context, indexers []oplog.Ref) (*signers, error) {
	s := &signers{version: 1}
	if e.sys.info.Version >= 2 {
		s.version, s.entropy = 2, e.sys.info.Entropy
		if m := e.sys.draft.Manifest(); m != nil {
			s.version = max(2, m.Version)
		}
	}
	for _, r := range indexers {
		w, err := e.writer(ctx, r.Key)
		if err != nil {
			return nil, err
		}
		m := w.core.Manifest()
		if m == nil && r.Length > 0 {
			// A block brings the manifest.
			if _, err := w.core.GetRaw(ctx, r.Length-1); err != nil {
				return nil, fmt.Errorf("manifest of indexer %s: %w", r.Key, err)
			}
			m = w.core.Manifest()
		}
		if m == nil || len(m.Signers) == 0 {
			return nil, fmt.Errorf("indexer %s: its log has no signer", r.Key)
		}
		s.list = append(s.list, signer{public: m.Signers[0].PublicKey, namespace: m.Signers[0].Namespace})
	}
	return s, nil
}
