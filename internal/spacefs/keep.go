package spacefs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/content"
	"github.com/tradle/cloudpal/internal/filetree"
)

// Policy says which contents a device fetches before somebody reads them. The zero
// Policy is none.
type Policy struct {
	// Everything is all that the space has, also in the history and the trash: a full
	// copy.
	Everything bool
	// Paths are kept as they are now, with all that is below; "" is the whole tree.
	Paths []string
}

func (p Policy) covers(path string) bool {
	return p.Everything || slices.ContainsFunc(p.Paths, func(x string) bool {
		return x == "" || path == x || strings.HasPrefix(path, x+"/")
	})
}

func (p Policy) none() bool { return !p.Everything && len(p.Paths) == 0 }

// policyData is next to the own blob log: byte whether everything, array of string paths.
const policyData = "cloudpal/policy"

// SetPolicy changes which contents this device fetches, and remembers that. What is held
// stays.
func (f *Files) SetPolicy(p Policy) error {
	p.Paths = slices.Clone(p.Paths)
	if err := f.space.BlobLog().SetUserData(policyData, p.encode()); err != nil {
		return fmt.Errorf("remember which contents to fetch: %w", err)
	}
	f.mu.Lock()
	f.policy = p
	f.mu.Unlock()
	f.nudge()
	return nil
}

// loadPolicy takes the policy that was set before, if there is one.
func (f *Files) loadPolicy() {
	b, err := f.space.BlobLog().UserData(policyData)
	if err != nil || b == nil {
		return
	}
	if p, err := decodePolicy(b); err == nil {
		f.policy = p
	}
}

func (p Policy) encode() []byte {
	b := compact.AppendBool(nil, p.Everything)
	b = compact.AppendUint(b, uint64(len(p.Paths)))
	for _, x := range p.Paths {
		b = compact.AppendString(b, x)
	}
	return b
}

func decodePolicy(b []byte) (p Policy, err error) {
	r := compact.NewReader(b)
	p.Everything = r.Bool()
	for range r.Count(1) {
		p.Paths = append(p.Paths, r.String())
	}
	return p, r.Err()
}

// Policy returns which contents are fetched.
func (f *Files) Policy() Policy {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.policy
}

const (
	// keepAtOnce is how many contents are fetched together.
	keepAtOnce = 256
	// keepStall is how long a fetch may bring nothing before others are tried.
	keepStall = 20 * time.Second
	// keepRetry is when is tried again what could not be fetched.
	keepRetry = time.Second
	// keepTick is when is looked for operations again that a jump passed over, keepRest how
	// long is not looked after all were had, keepTime how long peers have to send them.
	keepTick = time.Minute
	keepRest = 5 * time.Second
	keepTime = 10 * time.Minute
)

// keepOperations fetches all operations where everything is kept, or a folder: a full copy is
// one that others can begin with, from the first operation on. They are few beside the
// contents.
func (f *Files) keepOperations(ctx context.Context) error {
	f.mu.Lock()
	wanted := f.policy.Everything || len(f.trees) > 0
	f.mu.Unlock()
	if !wanted {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, keepTime)
	defer cancel()
	if err := f.space.FetchOperations(ctx); err != nil {
		return err
	}
	sleep(ctx, keepRest)
	return nil
}

// keeper fetches what the policy says.
type keeper struct {
	f       *Files
	policy  Policy
	seen    filetree.Mark // of the operations up to seq
	seq     uint64
	whole   bool // the whole tree was looked at
	missing map[wanted]struct{}
}

// wanted is a content. Of one hash there may be several sizes: all but one are lies.
type wanted struct {
	hash hypercrypto.Hash
	size uint64
}

// keep is the goroutine of a keeper.
func (f *Files) keep(ctx context.Context) {
	k := &keeper{f: f, missing: make(map[wanted]struct{})}
	for ctx.Err() == nil {
		changed, wake, policy := f.space.Changed(), f.woken(), f.Policy()
		if !slices.Equal(policy.Paths, k.policy.Paths) || policy.Everything != k.policy.Everything {
			clear(k.missing)
			k.policy, k.whole = policy, false
		}
		err := k.look(ctx)
		if err == nil {
			err = k.fetch(ctx)
		}
		if err != nil && ctx.Err() == nil {
			f.opts.Log.Debug("files: to be fetched later", "space", f.space.Name(), "error", err)
		}
		if !sleep(ctx, minPause) {
			return
		}
		var retry <-chan time.Time
		if len(k.missing) > 0 || err != nil {
			retry = time.After(keepRetry)
		}
		select {
		case <-changed:
		case <-wake:
		case <-retry:
		case <-ctx.Done():
		}
	}
}

// look finds out what is missing.
func (k *keeper) look(ctx context.Context) error {
	if k.policy.none() {
		return nil
	}
	v, release := k.f.View()
	defer release()
	n, err := v.Count(ctx)
	if err != nil {
		return err
	}
	if k.whole && k.seq <= n.Ops {
		mark, err := v.Mark(ctx, k.seq)
		if err != nil {
			return err
		}
		k.whole = mark == k.seen
	} else {
		k.whole = false
	}
	if k.whole {
		err = k.since(ctx, v)
		if errors.Is(err, filetree.ErrForgotten) {
			k.whole = false
		}
	}
	if !k.whole {
		err = k.all(ctx, v)
	}
	if err != nil {
		return err
	}
	k.seq, k.whole = n.Ops, true
	k.seen, err = v.Mark(ctx, k.seq)
	return err
}

// all looks at everything.
func (k *keeper) all(ctx context.Context, v *filetree.View) error {
	if k.policy.Everything {
		for live, err := range v.Live(ctx) {
			if err != nil {
				return err
			}
			for _, ref := range decodeAll(live) {
				k.missing[wanted{live.Hash, ref.Size}] = struct{}{}
			}
		}
		return nil
	}
	for e, err := range v.Walk(ctx, "") {
		if err != nil {
			return err
		}
		k.want(e)
	}
	return nil
}

// want notes an entry that the policy covers.
func (k *keeper) want(e filetree.Entry) {
	if e.Kind == filetree.File && e.Size > 0 && k.policy.covers(e.Path) {
		k.missing[wanted{e.Hash, e.Size}] = struct{}{}
	}
}

// since looks at what operations wrote since the last look.
func (k *keeper) since(ctx context.Context, v *filetree.View) error {
	for rec, err := range v.Journal(ctx, 0) {
		if err != nil {
			return err
		}
		if rec.Seq <= k.seq {
			return nil
		}
		for e, err := range v.Effects(ctx, rec) {
			if err != nil {
				return err
			}
			if e.After == (filetree.Version{}) || !k.policy.covers(e.Path) {
				continue
			}
			p, ok, err := v.Version(ctx, e.Path, e.After)
			if err != nil {
				return err
			}
			if ok && (k.policy.Everything || p.Fate == filetree.Current) {
				k.want(p.Entry)
			}
		}
	}
	return nil
}

// fetch fetches some of what is missing.
func (k *keeper) fetch(ctx context.Context) error {
	for len(k.missing) > 0 {
		refs, err := k.some(ctx)
		if err != nil || len(refs) == 0 {
			return err
		}
		if err := k.download(ctx, refs); err != nil {
			return err
		}
	}
	return nil
}

// some returns contents to fetch, and forgets those that are held or cannot be had.
func (k *keeper) some(ctx context.Context) ([]content.Ref, error) {
	v, release := k.f.View()
	defer release()
	var refs []content.Ref
	for w := range k.missing {
		list, err := k.f.places(ctx, v, w.hash, w.size)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 || list[0].whole() {
			delete(k.missing, w)
			continue
		}
		if refs = append(refs, list[0].Ref); len(refs) == keepAtOnce {
			break
		}
	}
	return refs, nil
}

// download fetches contents until nothing comes for a while.
func (k *keeper) download(ctx context.Context, refs []content.Ref) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stall := time.AfterFunc(keepStall, cancel)
	defer stall.Stop()
	return k.f.store.Download(ctx, refs, func(content.Progress) { stall.Reset(keepStall) })
}
