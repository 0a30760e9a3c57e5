package logring

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"sync"
)

// Ring is the last lines of a log. It is a [slog.Handler] that hands everything on to
// another. It is safe for concurrent use.
type Ring struct {
	*lines
	next  slog.Handler
	group string
	attrs []slog.Attr
}

// lines is what all handlers of a ring share.
type lines struct {
	max int // bytes

	mu    sync.Mutex // guards what follows
	list  []string   // from the oldest to the newest
	bytes int
}

// New returns a ring of so many bytes in front of next.
func New(next slog.Handler, bytes int) *Ring { return &Ring{lines: &lines{max: bytes}, next: next} }

// Enabled implements [slog.Handler]. What the next handler wants is kept too, and
// everything from Info on.
func (r *Ring) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || r.next.Enabled(ctx, level)
}

// Handle implements [slog.Handler].
func (r *Ring) Handle(ctx context.Context, record slog.Record) error {
	r.add(format(&record, r.attrs))
	if !r.next.Enabled(ctx, record.Level) {
		return nil
	}
	return r.next.Handle(ctx, record)
}

// WithAttrs implements [slog.Handler].
func (r *Ring) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Ring{r.lines, r.next.WithAttrs(attrs), r.group, append(slices.Clone(r.attrs), attrs...)}
}

// WithGroup implements [slog.Handler]. Lines that are kept do not name groups.
func (r *Ring) WithGroup(name string) slog.Handler {
	return &Ring{r.lines, r.next.WithGroup(name), name, r.attrs}
}

func (l *lines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, line)
	l.bytes += len(line)
	drop := 0
	for l.bytes > l.max && drop < len(l.list) {
		l.bytes -= len(l.list[drop])
		drop++
	}
	if drop > 0 {
		l.list = slices.Delete(l.list, 0, drop)
	}
}

// WriteTo writes what is kept, oldest first.
func (l *lines) WriteTo(w io.Writer) (n int64, err error) {
	l.mu.Lock()
	list := slices.Clone(l.list)
	l.mu.Unlock()
	for _, line := range list {
		k, err := io.WriteString(w, line)
		n += int64(k)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
