package spacefs

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/content"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/filetree"
)

// place is a reference to content, with how much of it is held here.
type place struct {
	content.Ref
	held uint64
}

func (p *place) whole() bool { return p.held == p.Size }

// places returns where content of a hash and size is, the place of which most is held
// first, those that turned out wrong last. Invalid ones are left out.
func (f *Files) places(ctx context.Context, v *filetree.View, hash hypercrypto.Hash, size uint64, more ...[]byte) ([]place, error) {
	if size == 0 && hash == content.Empty().Hash {
		return []place{{Ref: content.Empty()}}, nil
	}
	list, err := v.Contents(ctx, hash)
	if err != nil {
		return nil, err
	}
	for _, b := range more {
		if len(b) > 0 && !slices.ContainsFunc(list, func(x []byte) bool { return string(x) == string(b) }) {
			list = append(list, b)
		}
	}
	return f.sorted(ctx, hash, list, func(ref content.Ref) bool { return ref.Size == size })
}

// sorted returns the places that are fit, in the order of [Files.places].
func (f *Files) sorted(ctx context.Context, hash hypercrypto.Hash, list [][]byte, fit func(content.Ref) bool) ([]place, error) {
	var good, bad []place
	for _, b := range list {
		ref, err := content.Decode(hash, b)
		if err != nil || !fit(ref) {
			continue
		}
		held, _, err := f.store.Has(ctx, ref)
		if unusable(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		p := place{ref, held}
		if right, known := f.verdicts.get(hash, b); known && !right {
			bad = append(bad, p)
		} else {
			good = append(good, p)
		}
	}
	slices.SortStableFunc(good, func(a, b place) int {
		switch {
		case a.whole() != b.whole():
			if a.whole() {
				return -1
			}
			return 1
		default:
			return cmp.Compare(b.held, a.held)
		}
	})
	return append(good, bad...), nil
}

// unusable tells whether an error says that a reference is wrong, whoever asks.
func unusable(err error) bool {
	return errors.Is(err, content.ErrInvalid) || errors.Is(err, errForeign)
}

func errNoContent() error {
	return fault.New(fault.NotFound, "the content is not kept any more")
}

// verdicts are what is known of references: whether the bytes have the hash.
type verdicts struct {
	mu   sync.Mutex
	list map[claim]bool
}

// claim is what somebody says of a content: the hash of its hash and its reference,
// which may be long.
type claim hypercrypto.Hash

func claimOf(hash hypercrypto.Hash, ref []byte) claim { return claim(hypercrypto.Sum(hash[:], ref)) }

// maxVerdicts bounds what is remembered.
const maxVerdicts = 1 << 14

func (b *verdicts) set(hash hypercrypto.Hash, ref []byte, good bool) {
	c := claimOf(hash, ref)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.list == nil || len(b.list) >= maxVerdicts {
		b.list = make(map[claim]bool)
	}
	b.list[c] = good
}

func (b *verdicts) get(hash hypercrypto.Hash, ref []byte) (good, known bool) {
	c := claimOf(hash, ref)
	b.mu.Lock()
	defer b.mu.Unlock()
	good, known = b.list[c]
	return good, known
}

// proven tells whether a place that is held here has the bytes that it is said to have.
// Anybody who writes to the space can say of any bytes that they have any hash: what is
// not stored because of that would be lost.
func (f *Files) proven(ctx context.Context, p place) (bool, error) {
	ref := p.Encode()
	if good, known := f.verdicts.get(p.Hash, ref); known {
		return good, nil
	}
	r, err := f.store.OpenLocal(ctx, p.Ref)
	if err == nil {
		_, err = r.WriteTo(io.Discard)
		r.Close()
	}
	switch {
	case err == nil:
		f.verdicts.set(p.Hash, ref, true)
	case errors.Is(err, content.ErrMismatch), unusable(err):
		f.verdicts.set(p.Hash, ref, false)
		err = nil
	case errors.Is(err, hypercore.ErrNotAvailable): // it was freed meanwhile
		return false, nil
	default:
		return false, err
	}
	good, _ := f.verdicts.get(p.Hash, ref)
	return good, err
}

// fresh are contents that were found to be here, to be written in an operation soon. What
// they share with others must not be freed meanwhile.
type fresh struct {
	mu   sync.Mutex
	list []freshRef // the oldest first
}

// freshRef is a reference in its short form.
type freshRef struct {
	hash hypercrypto.Hash
	ref  []byte
	at   time.Time
}

// freshTime is how long an operation may take to be written.
const freshTime = time.Hour

func (l *fresh) add(ref content.Ref) {
	if len(ref.Parts) == 0 && ref.Table == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, freshRef{ref.Hash, ref.Encode(), time.Now()})
}

// forget drops old ones.
func (l *fresh) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := 0
	for old < len(l.list) && time.Since(l.list[old].at) > freshTime {
		old++
	}
	if old > 0 {
		l.list = slices.Clone(l.list[old:])
	}
}

// refs returns all of them and forgets old ones.
func (l *fresh) refs() ([]content.Ref, error) {
	l.forget()
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]content.Ref, len(l.list))
	for i, r := range l.list {
		var err error
		if out[i], err = content.Decode(r.hash, r.ref); err != nil {
			return nil, err
		}
	}
	return out, nil
}
