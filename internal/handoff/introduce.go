package handoff

import (
	"context"
	"io"

	"github.com/tradle/cloudpal/hyper/secretstream"
)

// Introduce connects a new device with one that its person has already, which sets
// known, and has talk speak with the other side over a stream that only the two who
// know the code can be ends of. Nothing is sent on it but what talk sends.
//
// If the connection breaks, talk is called again with the next one; an error that is
// a fault ends it, as nil does.
func Introduce(ctx context.Context, rv Rendezvous, opts Options, known bool, talk func(stream io.ReadWriter) error) error {
	p := part(flagDevice)
	if known {
		p |= flagSends
	}
	return meet(ctx, rv, &opts, p, func(ctx context.Context, conn *secretstream.Conn) error {
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		defer stop()
		return talk(conn)
	})
}
