package handoff

import (
	"context"
	"errors"

	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/internal/fault"
)

// maxNote limits a note in bytes.
const maxNote = 8 << 10

// note is a short text, such as an invite.
type note struct {
	Device string `json:"device"`
	Text   string `json:"text,omitempty"`
}

// Tell gives a short text, which may be a secret, to the other side, and returns
// the other side's name when that has it.
func Tell(ctx context.Context, rv Rendezvous, opts Options, text string) (device string, err error) {
	if len(text) > maxNote {
		return "", fault.New(fault.Usage, "a text of %d bytes is too long to be told", len(text))
	}
	name, err := deviceName(opts.Device)
	if err != nil {
		return "", err
	}
	err = meet(ctx, rv, &opts, flagSends|flagNote, func(ctx context.Context, conn *secretstream.Conn) error {
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		defer stop()
		if err := sendJSON(conn, kindNote, note{name, text}); err != nil {
			return err
		}
		var heard note
		if err := receiveJSON(conn, kindDone, &heard); err != nil {
			return err
		}
		device = printable(heard.Device, maxDevice)
		opts.Watch.connected(device)
		return nil
	})
	return device, err
}

// Hear takes the text that the other side tells, and returns it with the other
// side's name. The text is as the other side sent it.
func Hear(ctx context.Context, rv Rendezvous, opts Options) (text, device string, err error) {
	name, err := deviceName(opts.Device)
	if err != nil {
		return "", "", err
	}
	err = meet(ctx, rv, &opts, flagNote, func(ctx context.Context, conn *secretstream.Conn) error {
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		defer stop()
		var told note
		if err := receiveJSON(conn, kindNote, &told); err != nil {
			if errors.As(err, new(*fault.Error)) {
				_ = fail(conn, err)
			}
			return err
		}
		if len(told.Text) > maxNote {
			return protocolError("a text of %d bytes", len(told.Text))
		}
		text, device = told.Text, printable(told.Device, maxDevice)
		opts.Watch.connected(device)
		// If the answer gets lost the other side does not know that the text is here.
		if sendJSON(conn, kindDone, note{Device: name}) == nil {
			finish(conn)
		}
		return nil
	})
	return text, device, err
}
