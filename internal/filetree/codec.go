package filetree

import (
	"fmt"
	"io/fs"
	"time"

	"github.com/tradle/cloudpal/hyper/compact"
)

// The fields that a change has, in their order. What follows them is of a later
// version and skipped.
const (
	hasBase = 1 << iota
	hasFrom
	hasItem
	hasResolves
	hasRetention
	hasName
)

const (
	opUndoes = 1 << iota
	opRedo
)

// Encode returns the bytes of an operation. It refuses one that would not take
// effect on any device.
func (o *Op) Encode() ([]byte, error) {
	if len(o.Changes) == 0 || len(o.Changes) > MaxChanges {
		return nil, fmt.Errorf("%w: %d changes, 1 to %d", ErrOp, len(o.Changes), MaxChanges)
	}
	var e opEncoder
	e.b = compact.AppendUint(e.b, opVersion)
	e.b = compact.AppendFrame(e.b, o.appendHeader)
	e.b = compact.AppendUint(e.b, uint64(len(o.Changes)))
	for i := range o.Changes {
		c := &o.Changes[i]
		if err := c.Check(); err != nil {
			return nil, fmt.Errorf("change %d: %w", i, err)
		}
		e.change(c)
	}
	if len(e.b) > MaxOp {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrOpSize, len(e.b), MaxOp)
	}
	return e.b, nil
}

func (o *Op) appendHeader(b []byte) []byte {
	var flags uint64
	if o.Undoes != (OpID{}) {
		flags |= opUndoes
	}
	if o.Redo {
		flags |= opRedo
	}
	b = compact.AppendUint(b, flags)
	if flags&opUndoes != 0 {
		b = append(b, o.Undoes[:]...)
	}
	return b
}

// opEncoder writes changes. Paths and contents begin mostly as the one before.
type opEncoder struct {
	b, tmp              []byte
	path, from, content string
}

func appendShared(b []byte, last *string, s string) []byte {
	n := 0
	for n < len(s) && n < len(*last) && s[n] == (*last)[n] {
		n++
	}
	*last = s
	return compact.AppendString(compact.AppendUint(b, uint64(n)), s[n:])
}

func readShared(r *compact.Reader, last *string, most int) string {
	n := r.Uint()
	rest := r.Buffer()
	switch {
	case r.Err() != nil:
		return ""
	case n > uint64(len(*last)) || n+uint64(len(rest)) > uint64(most):
		r.Fail(compact.ErrRange)
		return ""
	}
	*last = (*last)[:n] + string(rest)
	return *last
}

func (e *opEncoder) change(c *Change) {
	var flags uint64
	for i, has := range []bool{c.Base != Version{}, c.From != "", c.Action == Put || c.Action == Settle,
		len(c.Resolves) > 0, c.Retention != 0, c.Name != ""} {
		if has {
			flags |= 1 << i
		}
	}
	b := compact.AppendUint(e.tmp[:0], uint64(c.Action))
	b = compact.AppendUint(b, flags)
	b = appendShared(b, &e.path, c.Path)
	if flags&hasBase != 0 {
		b = append(b, c.Base[:]...)
	}
	if flags&hasFrom != 0 {
		b = appendShared(b, &e.from, c.From)
	}
	if flags&hasItem != 0 {
		b = compact.AppendFrame(b, func(b []byte) []byte { return e.item(b, &c.Item) })
	}
	if flags&hasResolves != 0 {
		b = appendVersions(b, c.Resolves)
	}
	if flags&hasRetention != 0 {
		b = compact.AppendUint(b, uint64(c.Retention/time.Second))
	}
	if flags&hasName != 0 {
		b = compact.AppendString(b, c.Name)
	}
	e.b = compact.AppendBuffer(e.b, b)
	e.tmp = b
}

func (e *opEncoder) item(b []byte, it *Item) []byte {
	b = appendItem(b, it)
	if it.Kind == File {
		b = appendShared(b, &e.content, string(it.Content))
	}
	return b
}

// appendItem appends an item without its content, which readItem reads.
func appendItem(b []byte, it *Item) []byte {
	b = compact.AppendUint(b, uint64(it.Kind))
	b = compact.AppendUint(b, uint64(it.Mode&fs.ModePerm))
	b = compact.AppendInt(b, it.Modified.Unix())
	b = compact.AppendUint(b, uint64(it.Modified.Nanosecond()))
	switch it.Kind {
	case File:
		b = compact.AppendUint(b, it.Size)
		b = append(b, it.Hash[:]...)
	case Symlink:
		b = compact.AppendString(b, it.Target)
	}
	return b
}

func readItem(r *compact.Reader) (it Item) {
	kind := r.Uint()
	it.Kind = Kind(min(kind, 255))
	it.Mode = fs.FileMode(r.Uint()) & fs.ModePerm
	it.Modified = readTime(r)
	switch it.Kind {
	case File:
		it.Size = r.Uint()
		it.Hash = r.Fixed32()
	case Symlink:
		it.Target = r.String()
	}
	return it
}

func readTime(r *compact.Reader) time.Time {
	sec, nsec := r.Int(), r.Uint()
	if nsec >= 1e9 {
		r.Fail(compact.ErrRange)
		return time.Time{}
	}
	return time.Unix(sec, int64(nsec)).UTC()
}

func appendVersions(b []byte, vs []Version) []byte {
	b = compact.AppendUint(b, uint64(len(vs)))
	for _, v := range vs {
		b = append(b, v[:]...)
	}
	return b
}

func readVersions(r *compact.Reader, most int) []Version {
	n := r.Count(len(Version{}))
	if n > most {
		r.Fail(compact.ErrRange)
		return nil
	}
	if n == 0 {
		return nil
	}
	vs := make([]Version, n)
	for i := range vs {
		copy(vs[i][:], r.Fixed(len(vs[i])))
	}
	return vs
}

// DecodeOp reads an operation. Changes of later versions are in the result, so that
// every change keeps its number, and fail [Change.Check]. All other errors are ErrOp.
func DecodeOp(b []byte) (*Op, error) {
	if len(b) > MaxOp {
		return nil, fmt.Errorf("%w: %d bytes", ErrOp, len(b))
	}
	r := compact.NewReader(b)
	if v := r.Uint(); r.Err() == nil && v != opVersion {
		return nil, fmt.Errorf("%w: version %d is unknown", ErrOp, v)
	}
	o := new(Op)
	h := r.Frame()
	flags := h.Uint()
	if flags&opUndoes != 0 {
		copy(o.Undoes[:], h.Fixed(len(o.Undoes)))
	}
	o.Redo = flags&opRedo != 0
	n := r.Count(1)
	if h.Err() != nil || n > MaxChanges {
		return nil, fmt.Errorf("%w: bad header or %d changes", ErrOp, n)
	}
	var d opDecoder
	o.Changes = make([]Change, n)
	for i := range o.Changes {
		f := r.Frame()
		if d.change(&f, &o.Changes[i]); f.Err() != nil {
			return nil, fmt.Errorf("%w: change %d: %w", ErrOp, i, f.Err())
		}
	}
	switch {
	case r.Err() != nil:
		return nil, fmt.Errorf("%w: %w", ErrOp, r.Err())
	case r.Len() > 0:
		return nil, fmt.Errorf("%w: %d bytes too many", ErrOp, r.Len())
	}
	return o, nil
}

type opDecoder struct{ path, from, content string }

func (d *opDecoder) change(r *compact.Reader, c *Change) {
	c.Action = Action(min(r.Uint(), 255))
	if c.Action == 0 || c.Action > DropSnapshot {
		return
	}
	flags := r.Uint()
	c.Path = readShared(r, &d.path, MaxPath)
	if flags&hasBase != 0 {
		copy(c.Base[:], r.Fixed(len(c.Base)))
	}
	if flags&hasFrom != 0 {
		c.From = readShared(r, &d.from, MaxPath)
	}
	if flags&hasItem != 0 {
		f := r.Frame()
		c.Item = readItem(&f)
		if c.Item.Kind == File {
			c.Item.Content = []byte(readShared(&f, &d.content, MaxContent))
		}
		if f.Err() != nil {
			r.Fail(f.Err())
		}
	}
	if flags&hasResolves != 0 {
		c.Resolves = readVersions(r, MaxResolves)
	}
	if flags&hasRetention != 0 {
		c.Retention = time.Duration(min(r.Uint(), uint64(maxRetention/time.Second))) * time.Second
	}
	if flags&hasName != 0 {
		c.Name = r.String()
	}
}
