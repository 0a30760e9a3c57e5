package protomux

import (
	"log/slog"
	"time"
)

// Options configures [New]. The zero value is ready to use.
type Options struct {
	// MaxQueued is the number of unwritten bytes above which [Channel.Drained]
	// is false. Default 1 MiB.
	MaxQueued int
	// MaxUnsent is the number of unwritten bytes that destroys the stream: the
	// last resort against a sender that does not look at Drained while the peer
	// does not read. Default 128 MiB; at least MaxQueued and two frames.
	MaxUnsent int
	// KeepAlive is the time without writing after which an empty frame is sent.
	// Default 0: never.
	KeepAlive time.Duration
	// Log receives events at level Debug; nil discards them.
	Log *slog.Logger
}

func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	if c.MaxQueued <= 0 {
		c.MaxQueued = 1 << 20
	}
	if c.MaxUnsent <= 0 {
		c.MaxUnsent = 128 << 20
	}
	c.MaxUnsent = max(c.MaxUnsent, c.MaxQueued+2*MaxFrame)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// ChannelOptions describes a channel to [Mux.Open].
//
// The handlers of one mux run one at a time and in the order of the events that
// cause them; no lock is held, so they may call any method of Mux and Channel.
// While one runs no other frame is handled: a handler that waits stops the
// connection. Handlers may be nil.
type ChannelOptions struct {
	// Protocol and ID name the channel. It is paired with a channel of the other
	// side that has the same protocol and ID. Nil and empty IDs are the same.
	Protocol string
	ID       []byte
	// Aliases are other protocol names under which the other side may open it.
	Aliases []string
	// Handshake is sent with the open.
	Handshake []byte

	// OnOpen is called when both sides have opened the channel, before any
	// message. handshake is what the other side sent; it is valid during the
	// call only. An error destroys the stream.
	OnOpen func(c *Channel, handshake []byte) error
	// Messages holds the message handlers; the index is the message type. body
	// is valid during the call only. An error destroys the stream. Messages of
	// types without a handler are ignored.
	Messages []func(c *Channel, body []byte) error
	// OnBatchEnd is called after OnOpen and message handlers of this channel ran
	// and no more input is at hand: the moment to answer several messages in one
	// go.
	OnBatchEnd func(c *Channel)
	// OnDrain is called when the queue of unwritten bytes fell below half of
	// MaxQueued after having been above MaxQueued.
	OnDrain func(c *Channel)
	// OnClose is called exactly once for every channel that Open returned,
	// after all its other handlers. remote is false when this side called
	// Channel.Close, true after a close or reject by the other side or the end
	// of the stream.
	OnClose func(c *Channel, remote bool)
}
