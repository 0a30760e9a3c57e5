package spacefs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/tradle/cloudpal/internal/filetree"
	"github.com/tradle/cloudpal/internal/foldersync"
)

// position names a state of the tree. Operations that are not final can change places,
// so a count is not enough: it has a mark of all operations, and to be of use when they
// did change places also the last final position and what the others touched.
type position struct {
	seq   uint64
	mark  filetree.Mark
	final uint64
	fixed filetree.Mark
	// touched is what operations after the final one touched, nil if that is too much.
	touched []string
}

// maxTouched is how many bytes of paths are in a position.
const maxTouched = 32 << 10

// encode appends
//
//	u8 1, uvarint seq, 16 mark, uvarint final, 16 fixed, u8 whether touched follows,
//	uvarint count, per path uvarint length and bytes
func (p *position) encode() []byte {
	b := binary.AppendUvarint([]byte{1}, p.seq)
	b = append(b, p.mark[:]...)
	b = binary.AppendUvarint(b, p.final)
	b = append(b, p.fixed[:]...)
	if p.touched == nil {
		return append(b, 0)
	}
	b = binary.AppendUvarint(append(b, 1), uint64(len(p.touched)))
	for _, path := range p.touched {
		b = binary.AppendUvarint(b, uint64(len(path)))
		b = append(b, path...)
	}
	return b
}

var errNoPosition = errors.New("spacefs: not a position")

func decodePosition(b []byte) (*position, error) {
	p := new(position)
	ok := len(b) > 0 && b[0] == 1
	uvarint := func() uint64 {
		if !ok {
			return 0
		}
		v, n := binary.Uvarint(b)
		if n <= 0 {
			ok = false
			return 0
		}
		b = b[n:]
		return v
	}
	fixed := func(n uint64) []byte {
		if ok = ok && n <= uint64(len(b)); !ok {
			return nil
		}
		x := b[:n]
		b = b[n:]
		return x
	}
	fixed(1)
	p.seq = uvarint()
	copy(p.mark[:], fixed(uint64(len(p.mark))))
	p.final = uvarint()
	copy(p.fixed[:], fixed(uint64(len(p.fixed))))
	if x := fixed(1); ok && x[0] == 1 {
		p.touched = []string{}
		for range uvarint() {
			p.touched = append(p.touched, string(fixed(uvarint())))
			if !ok {
				break
			}
		}
	}
	if !ok || len(b) > 0 {
		return nil, errNoPosition
	}
	return p, nil
}

// Position implements [foldersync.Tree].
func (t *Tree) Position(ctx context.Context) ([]byte, error) {
	v, release := t.f.View()
	defer release()
	p, err := t.f.position(ctx, v)
	if err != nil {
		return nil, fmt.Errorf("position of the files: %w", err)
	}
	return p.encode(), nil
}

func (f *Files) position(ctx context.Context, v *filetree.View) (*position, error) {
	n, err := v.Count(ctx)
	if err != nil {
		return nil, err
	}
	p := &position{seq: n.Ops}
	if p.mark, err = v.Mark(ctx, p.seq); err != nil {
		return nil, err
	}
	final, err := f.final(ctx)
	if err != nil {
		return nil, err
	}
	p.final = min(final, p.seq)
	if p.fixed, err = v.Mark(ctx, p.final); err != nil {
		return nil, err
	}
	touched, err := touchedAfter(ctx, v, p.final, maxTouched)
	if err != nil && !errors.Is(err, errTooMuch) && !errors.Is(err, filetree.ErrForgotten) {
		return nil, err
	}
	if err == nil {
		p.touched = append([]string{}, slices.Sorted(maps.Keys(touched))...)
	}
	return p, nil
}

// final returns the position of the last operation whose place in the order is final.
func (f *Files) final(ctx context.Context) (uint64, error) {
	st, err := f.space.Status(ctx)
	if err != nil {
		return 0, err
	}
	signed := uint64(0)
	for _, view := range st.Views {
		signed = max(signed, view.Signed)
	}
	for e, err := range f.space.History(ctx, 0, true) {
		if err != nil {
			return 0, err
		}
		if e.Version > signed {
			continue
		}
		r, close, err := f.space.ViewAt(Type, e.Version)
		if err != nil {
			return 0, err
		}
		n, err := filetree.NewView(r).Count(ctx)
		return n.Ops, errors.Join(err, close())
	}
	return 0, nil
}

var errTooMuch = errors.New("too many paths")

// touchedAfter returns the paths that operations after a position touched, unless they
// have more than limit bytes; 0 is no limit.
func touchedAfter(ctx context.Context, v *filetree.View, seq uint64, limit int) (map[string]struct{}, error) {
	touched := make(map[string]struct{})
	size := 0
	add := func(path string) {
		if _, ok := touched[path]; !ok && path != "" {
			touched[path] = struct{}{}
			size += len(path) + binary.MaxVarintLen32
		}
	}
	for rec, err := range v.Journal(ctx, 0) {
		if err != nil {
			return nil, err
		}
		if rec.Seq <= seq {
			break
		}
		for e, err := range v.Effects(ctx, rec) {
			if err != nil {
				return nil, err
			}
			add(e.Path)
			add(e.From)
			if limit > 0 && size > limit {
				return nil, errTooMuch
			}
		}
	}
	return touched, nil
}

// Diff implements [foldersync.Tree].
func (t *Tree) Diff(ctx context.Context, from []byte) iter.Seq2[foldersync.Difference, error] {
	return func(yield func(foldersync.Difference, error) bool) {
		v, release := t.f.View()
		defer release()
		p, err := decodePosition(from)
		if err != nil {
			yield(foldersync.Difference{}, fmt.Errorf("%w: %w", foldersync.ErrPosition, err))
			return
		}
		if err := diff(ctx, v, p, yield); err != nil {
			if errors.Is(err, filetree.ErrForgotten) {
				err = foldersync.ErrPosition
			}
			yield(foldersync.Difference{}, err)
		}
	}
}

// diff yields what differs. An error is for the caller to yield.
func diff(ctx context.Context, v *filetree.View, p *position, yield func(foldersync.Difference, error) bool) error {
	n, err := v.Count(ctx)
	if err != nil {
		return err
	}
	same := func(seq uint64, mark filetree.Mark) (bool, error) {
		if seq > n.Ops {
			return false, nil
		}
		now, err := v.Mark(ctx, seq)
		return now == mark, err
	}
	if ok, err := same(p.seq, p.mark); err != nil {
		return err
	} else if ok {
		for d, err := range v.Since(ctx, p.seq) {
			if err != nil {
				return err
			}
			x := foldersync.Difference{Path: d.Path}
			if d.After != nil {
				x.Entry, x.Exists = *d.After, true
			}
			if !yield(x, nil) {
				return nil
			}
		}
		return nil
	}
	if ok, err := same(p.final, p.fixed); err != nil {
		return err
	} else if !ok || p.touched == nil {
		return foldersync.ErrPosition
	}
	// The order changed behind the final position: look at all that was touched, then
	// and now.
	touched, err := touchedAfter(ctx, v, p.final, 0)
	if err != nil {
		return err
	}
	for _, path := range p.touched {
		touched[path] = struct{}{}
	}
	for _, path := range slices.Sorted(maps.Keys(touched)) {
		e, ok, err := v.Lookup(ctx, path)
		if err != nil {
			return err
		}
		if !yield(foldersync.Difference{Path: path, Entry: e, Exists: ok}, nil) {
			return nil
		}
	}
	return nil
}
