package filetree

import (
	"errors"
	"fmt"
	"io/fs"
	"time"
	"unicode/utf8"

	"github.com/tradle/cloudpal/hyper/compact"
)

// Limits of operations.
const (
	// MaxChanges is the largest number of changes in an operation.
	MaxChanges = 1000
	// MaxOp is the largest encoded operation in bytes.
	MaxOp = 1 << 20
	// MaxContent is the largest encoded content reference in bytes.
	MaxContent = 4096
	// MaxTarget is the longest target of a symlink in bytes.
	MaxTarget = 4096
	// MaxResolves is the largest number of copies that one change settles.
	MaxResolves = 64
	// MaxSnapshotName is the longest name of a snapshot in bytes.
	MaxSnapshotName = 255
	// MaxSnapshots is the largest number of snapshots of a tree.
	MaxSnapshots = 1000
)

const opVersion = 1

// ErrOpSize is the error of changes that are too large for one operation.
var ErrOpSize = fmt.Errorf("%w: too large", ErrOp)

// ErrOp is the error of an operation that has no effect at all, on no device.
// What [Apply] returns beside it comes from the store.
var ErrOp = errors.New("filetree: not an operation")

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

// maxRetention is a thousand years less than what a Duration can hold.
const maxRetention = 200 * 365 * 24 * time.Hour

// Check refuses a change that cannot take effect anywhere.
func (c *Change) Check() error {
	switch c.Action {
	case Put, Settle:
		if err := CheckPath(c.Path); err != nil {
			return err
		}
		if len(c.Resolves) > MaxResolves || c.Action == Settle && len(c.Resolves) == 0 {
			return fmt.Errorf("%w: settles %d copies", ErrOp, len(c.Resolves))
		}
		return c.Item.check()
	case Delete:
		if c.Base == (Version{}) {
			return fmt.Errorf("%w: delete of nothing", ErrOp)
		}
		return CheckPath(c.Path)
	case Move:
		if err := CheckPath(c.From); err != nil {
			return err
		}
		if c.Base == (Version{}) || within(c.Path, c.From) || within(c.From, c.Path) {
			return fmt.Errorf("%w: move of nothing, or into itself, or to where it is", ErrOp)
		}
		return CheckPath(c.Path)
	case Purge, Prune:
		if c.Retention < 0 || c.Retention > maxRetention {
			return fmt.Errorf("%w: retention of %v", ErrOp, c.Retention)
		}
		if c.Path != "" {
			return CheckPath(c.Path)
		}
		return nil
	case TakeSnapshot, DropSnapshot:
		if c.Name == "" || len(c.Name) > MaxSnapshotName || !utf8.ValidString(c.Name) {
			return fmt.Errorf("%w: name of a snapshot: %q", ErrOp, c.Name)
		}
		return nil
	}
	return fmt.Errorf("%w: %v is unknown", ErrOp, c.Action)
}

func (it *Item) check() error {
	switch {
	case it.Mode&^fs.ModePerm != 0:
		return fmt.Errorf("%w: mode %v", ErrOp, it.Mode)
	case it.Modified.Unix() > 1<<52-1 || it.Modified.Unix() < -1<<52:
		return fmt.Errorf("%w: modification time %d", ErrOp, it.Modified.Unix())
	}
	switch it.Kind {
	case File:
		if it.Size > compact.MaxUint || len(it.Content) > MaxContent || it.Size > 0 && len(it.Content) == 0 {
			return fmt.Errorf("%w: file of %d bytes with %d bytes of reference", ErrOp, it.Size, len(it.Content))
		}
		return nil
	case Dir:
		return nil
	case Symlink:
		if it.Target == "" || len(it.Target) > MaxTarget {
			return fmt.Errorf("%w: symlink with a target of %d bytes", ErrOp, len(it.Target))
		}
		return nil
	}
	return fmt.Errorf("%w: kind %d is unknown", ErrOp, it.Kind)
}
