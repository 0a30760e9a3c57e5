package hyperdrive

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// Meta is what this package writes into the metadata of an entry and
// understands there. Everything else in the metadata is the application's.
//
//	"mtime"  when the file was last modified, milliseconds since 1970, may have
//	         a fraction; other software of the stack uses it too
//	"at"     when the entry was written, milliseconds since 1970; larger than in
//	         all entries before
//	"size"   content length of a mapped blob, so that it is known without the map
type Meta struct {
	ModTime time.Time // zero if absent
	At      time.Time // zero if absent
	Size    uint64
	HasSize bool
}

// Meta reads the metadata. Members of another type than expected are as absent.
func (e *Entry) Meta() (m Meta) {
	if len(e.Metadata) == 0 || e.Metadata[0] != '{' {
		return m
	}
	s := scanner{b: e.Metadata}
	s.members(func(name []byte) {
		raw := s.raw()
		switch string(name) {
		case "mtime":
			m.ModTime = millisOf(raw)
		case "at":
			m.At = millisOf(raw)
		case "size":
			n, err := strconv.ParseUint(string(raw), 10, 53)
			m.Size, m.HasSize = n, err == nil
		}
	})
	if s.err != nil {
		return Meta{}
	}
	return m
}

// ModTime returns when the file was last modified: its mtime, else when its
// entry was written, else the zero time.
func (e *Entry) ModTime() time.Time {
	m := e.Meta()
	if m.ModTime.IsZero() {
		return m.At
	}
	return m.ModTime
}

// millisOf reads milliseconds since 1970 to the microsecond.
func millisOf(raw []byte) time.Time {
	ms, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || math.Abs(ms) > 8.64e15 {
		return time.Time{}
	}
	whole := math.Floor(ms)
	return time.UnixMilli(int64(whole)).Add(time.Duration(math.Round((ms-whole)*1000)) * time.Microsecond)
}

// appendMillis appends a time as milliseconds with up to three decimals.
func appendMillis(b []byte, t time.Time) []byte {
	us := t.UnixMicro()
	if us < 0 {
		return strconv.AppendFloat(b, float64(us)/1000, 'f', -1, 64)
	}
	b = strconv.AppendInt(b, us/1000, 10)
	if frac := us % 1000; frac > 0 {
		b = append(b, '.', byte('0'+frac/100), byte('0'+frac/10%10), byte('0'+frac%10))
		for b[len(b)-1] == '0' {
			b = b[:len(b)-1]
		}
	}
	return b
}

// with returns metadata with the members of m set; those that m lacks are
// removed. Metadata that is neither null nor an object has no room for them and
// stays.
func (m Meta) with(metadata json.RawMessage) json.RawMessage {
	if len(metadata) > 0 && metadata[0] != '{' {
		return metadata
	}
	out := []byte{'{'}
	member := func(name string) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(appendQuoted(out, name), ':')
	}
	if len(metadata) > 0 {
		s := scanner{b: metadata}
		s.members(func(name []byte) {
			raw := s.raw()
			switch string(name) {
			case "mtime", "at", "size":
			default:
				member(string(name))
				out = append(out, raw...)
			}
		})
		if s.err != nil {
			return metadata
		}
	}
	if !m.ModTime.IsZero() {
		member("mtime")
		out = appendMillis(out, m.ModTime)
	}
	if !m.At.IsZero() {
		member("at")
		out = appendMillis(out, m.At)
	}
	if m.HasSize {
		member("size")
		out = strconv.AppendUint(out, m.Size, 10)
	}
	if len(out) == 1 {
		return nil
	}
	return append(out, '}')
}

// WithModTime returns a copy of the entry that says the file was last modified
// at t. Metadata that is no object has no room for that and stays.
func (e *Entry) WithModTime(t time.Time) *Entry {
	c, m := *e, e.Meta()
	m.ModTime = t
	c.Metadata = m.with(e.Metadata)
	return &c
}

// SameMetadata tells whether two entries have the same metadata, apart from when
// they were written.
func SameMetadata(a, b *Entry) bool {
	ma, mb := a.Meta(), b.Meta()
	ma.At, mb.At = time.Time{}, time.Time{}
	return bytes.Equal(ma.with(a.Metadata), mb.with(b.Metadata))
}

// WithoutMeta returns a copy of the entry without the members that [Meta]
// describes.
func (e *Entry) WithoutMeta() *Entry {
	c := *e
	c.Metadata = Meta{}.with(e.Metadata)
	return &c
}
