package blindpeer

import (
	"log/slog"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Options configures [Open]. The zero value is a mirror for everybody.
type Options struct {
	// Trusted are the keys of clients that may announce and delete, whose logs no
	// stranger pushes out, and that have no limits of their own.
	Trusted []hypercrypto.PublicKey
	// TrustedOnly refuses new logs of all others. What is here is served to
	// whoever knows the key of a log, as always.
	TrustedOnly bool

	// MaxBytes limits what all logs take on disk, as counted by [Record.Bytes] and
	// a fixed amount for each block and log. When a log does not fit any more, others
	// are dropped: of lower or the same priority, the longest unused first.
	// Default 100 GB.
	MaxBytes uint64
	// MaxBytesPerClient limits the logs that one key asked for first, unless it is
	// trusted. What does not fit is not fetched. Default: a tenth of MaxBytes.
	MaxBytesPerClient uint64
	// MaxLogs limits the records. Default 100,000, in about 50 MB of memory.
	MaxLogs int
	// MaxLogsPerClient limits the records of one key that is not trusted. Default: a
	// tenth of MaxLogs.
	MaxLogsPerClient int
	// MaxOpen limits the logs that are exchanged at the same time; beyond it the
	// longest unused are put away. Default 4096.
	MaxOpen int
	// MaxAnnounced limits the announced logs. Default 1000.
	MaxAnnounced int

	// Announce makes this machine findable as a peer of a log, and with seek looks
	// for others, until leave is called. Nil: nothing is announced.
	Announce func(topic hypercrypto.DiscoveryKey, seek bool) (leave func())
	// Log receives debug messages; nil discards them.
	Log *slog.Logger
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	set(&d.MaxBytes, 100_000_000_000)
	set(&d.MaxBytesPerClient, d.MaxBytes/10)
	set(&d.MaxLogs, 100_000)
	set(&d.MaxLogsPerClient, max(d.MaxLogs/10, 1))
	set(&d.MaxOpen, 4096)
	set(&d.MaxAnnounced, 1000)
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return d
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
