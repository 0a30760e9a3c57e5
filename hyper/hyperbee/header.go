package hyperbee

import (
	"context"
	"fmt"

	"github.com/tradle/cloudpal/hyper/hypercore"
)

// Protocol is the name in the header of every bee.
const Protocol = "hyperbee"

// Header is the content of block 0.
type Header struct {
	Protocol string
	Metadata *Metadata // nil when the header has none
}

// Metadata describes the tree. Hyperdrive keeps the key of its blobs core in
// ContentFeed. A nil field is absent.
type Metadata struct {
	ContentFeed []byte
	UserData    []byte
}

// AppendTo appends the encoded header to b.
//
//	Header   { 1: protocol, 2: Metadata }
//	Metadata { 1: contentFeed, 2: userData }
func (h Header) AppendTo(b []byte) []byte {
	b = appendBytes(b, 1, []byte(h.Protocol))
	if h.Metadata == nil {
		return b
	}
	var m []byte
	if h.Metadata.ContentFeed != nil {
		m = appendBytes(m, 1, h.Metadata.ContentFeed)
	}
	if h.Metadata.UserData != nil {
		m = appendBytes(m, 2, h.Metadata.UserData)
	}
	return appendBytes(b, 2, m)
}

// DecodeHeader decodes block 0. The result refers to b.
func DecodeHeader(b []byte) (Header, error) {
	if isHyperbee2(b) {
		return Header{}, ErrUnsupported
	}
	var h Header
	found := false
	f := fields{rest: b}
	for f.next() {
		switch {
		case f.field == 1 && f.data != nil:
			h.Protocol, found = string(f.data), true
		case f.field == 2 && f.data != nil:
			m, err := decodeMetadata(f.data)
			if err != nil {
				return Header{}, err
			}
			h.Metadata = m
		}
	}
	if f.err != nil {
		return Header{}, f.err
	}
	if !found {
		return Header{}, fmt.Errorf("%w: header without protocol", ErrBadBlock)
	}
	return h, nil
}

func decodeMetadata(b []byte) (*Metadata, error) {
	m := &Metadata{}
	f := fields{rest: b}
	for f.next() {
		switch {
		case f.field == 1 && f.data != nil:
			m.ContentFeed = f.data
		case f.field == 2 && f.data != nil:
			m.UserData = f.data
		}
	}
	return m, f.err
}

// IsHyperbee reports whether block 0 of the core is the header of a bee. It
// waits for the block when it is not held.
func IsHyperbee(ctx context.Context, core *hypercore.Core) (bool, error) {
	b, err := core.Get(ctx, 0)
	if err != nil {
		return false, fmt.Errorf("read header: %w", err)
	}
	h, err := DecodeHeader(b)
	return err == nil && h.Protocol == Protocol, nil
}

// Header reads block 0. It waits for the block when it is not held.
func (t *Tree) Header(ctx context.Context) (Header, error) {
	r, err := t.reader(ctx)
	if err != nil {
		return Header{}, err
	}
	defer r.close()
	b, err := r.raw(ctx, 0)
	if err != nil {
		return Header{}, fmt.Errorf("read header: %w", err)
	}
	return DecodeHeader(b)
}
