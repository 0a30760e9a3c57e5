package logring

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/tradle/cloudpal/internal/fault"
)

// words are the names of values whose texts are words of the program.
var words = map[string]bool{"version": true, "state": true, "service": true}

// format makes a line of a record.
func format(r *slog.Record, attrs []slog.Attr) string {
	var b strings.Builder
	b.WriteString(r.Time.UTC().Format(time.RFC3339Nano))
	fmt.Fprintf(&b, " %v %s", r.Level, Text(r.Message))
	for _, a := range attrs {
		write(&b, a)
	}
	r.Attrs(func(a slog.Attr) bool {
		write(&b, a)
		return true
	})
	b.WriteByte('\n')
	return b.String()
}

func write(b *strings.Builder, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		for _, a := range v.Group() {
			write(b, a)
		}
		return
	}
	fmt.Fprintf(b, " %s=%s", Text(a.Key), value(a.Key, v))
}

func value(key string, v slog.Value) string {
	switch v.Kind() {
	case slog.KindBool, slog.KindDuration, slog.KindFloat64, slog.KindInt64, slog.KindUint64:
		return v.String()
	case slog.KindTime:
		return v.Time().UTC().Format(time.RFC3339Nano)
	case slog.KindString:
		if words[key] {
			return Text(v.String())
		}
		return fmt.Sprintf("<text of %d bytes>", len(v.String()))
	}
	switch x := v.Any().(type) {
	case nil:
		return "nil"
	case error:
		return errorText(x)
	}
	return fmt.Sprintf("<%T>", v.Any())
}

// errorText tells of an error what kind it is and which errors are in it.
func errorText(err error) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<%v", fault.KindOf(err))
	left := 8
	var walk func(error)
	walk = func(err error) {
		if err == nil || left == 0 {
			return
		}
		left--
		var number syscall.Errno
		if errors.As(err, &number) && error(number) == err {
			fmt.Fprintf(&b, " errno %d", uintptr(number))
			return
		}
		fmt.Fprintf(&b, " %T", err)
		switch x := err.(type) {
		case interface{ Unwrap() error }:
			walk(x.Unwrap())
		case interface{ Unwrap() []error }:
			for _, e := range x.Unwrap() {
				walk(e)
			}
		}
	}
	walk(err)
	return b.String() + ">"
}

var private = []*regexp.Regexp{
	regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"']+`),                              // links
	regexp.MustCompile(`\b[0-9A-Fa-f]{16,}\b|\b[a-zA-Z0-9]{40,}\b`),                       // keys
	regexp.MustCompile(`[~.]?/[^\s"':;,]+|[A-Za-z]:\\[^\s"':;,]+`),                        // paths
	regexp.MustCompile(`\b\d{1,3}(\.\d{1,3}){3}\b|\[?[0-9A-Fa-f]*(:[0-9A-Fa-f]*){2,}\]?`), // addresses
	regexp.MustCompile(`"[^"]*"|'[^']*'`),                                                 // names
}

// Text leaves out of a text what looks like a link, a key, a path, an address or a
// quoted name.
func Text(s string) string {
	for _, p := range private {
		s = p.ReplaceAllString(s, "<…>")
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, s)
}
