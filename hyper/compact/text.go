package compact

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// AppendDate appends a time as signed milliseconds since 1970. Times more than
// 142,000 years away from that cannot be carried.
func AppendDate(b []byte, t time.Time) []byte { return AppendInt(b, t.UnixMilli()) }

// Date reads a time, in UTC.
func (r *Reader) Date() time.Time { return time.UnixMilli(r.Int()).UTC() }

// AppendJSON appends the JSON text of v with its length. Go sorts the keys of
// maps; give a struct or a json.RawMessage where the order of members matters.
func AppendJSON(b []byte, v any) ([]byte, error) {
	text, err := marshalJSON(v)
	if err != nil {
		return b, err
	}
	return AppendBuffer(b, bytes.TrimSuffix(text, []byte("\n"))), nil
}

// AppendNDJSON is AppendJSON with a line end after the text.
func AppendNDJSON(b []byte, v any) ([]byte, error) {
	text, err := marshalJSON(v)
	if err != nil {
		return b, err
	}
	return AppendBuffer(b, text), nil
}

// marshalJSON returns the text and a line end. Unlike json.Marshal it leaves <, >
// and & alone, as JavaScript does.
func marshalJSON(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("compact: %w", err)
	}
	return buf.Bytes(), nil
}

// JSON reads a JSON text, with or without a line end, into v.
func (r *Reader) JSON(v any) {
	text := r.Buffer()
	if r.err != nil {
		return
	}
	if err := json.Unmarshal(text, v); err != nil {
		r.Fail(fmt.Errorf("compact: %w", err))
	}
}

// Pair is one entry of a string record.
type Pair struct{ Key, Value string }

// AppendStringRecord appends a count and the pairs.
func AppendStringRecord(b []byte, pairs []Pair) []byte {
	b = AppendUint(b, uint64(len(pairs)))
	for i := range pairs {
		b = AppendString(AppendString(b, pairs[i].Key), pairs[i].Value)
	}
	return b
}

// StringRecord reads a count and the pairs, in the order in which they come.
func (r *Reader) StringRecord() []Pair {
	n := r.Count(2)
	var pairs []Pair
	for range n {
		pairs = append(pairs, Pair{Key: r.String(), Value: r.String()})
		if r.err != nil {
			return nil
		}
	}
	return pairs
}
