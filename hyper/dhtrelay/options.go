package dhtrelay

import (
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Intervals that the protocol fixes.
const (
	pingInterval = 15 * time.Second
	silenceLimit = 45 * time.Second
)

// Options are the limits of a [Relay]. Zero fields mean the defaults; nil means
// all of them.
type Options struct {
	// MaxClients is the number of clients at a time; others get HTTP status 503.
	// Default 1024.
	MaxClients int
	// MaxClientsPerAddress is the number of clients at a time from one address;
	// others get status 429. Default 64.
	MaxClientsPerAddress int
	// Address tells who sent a request, for MaxClientsPerAddress. Default: the
	// host of its RemoteAddr, which behind a proxy is always the proxy.
	Address func(*http.Request) string

	// MaxStreams is the number of streams of a client, those being opened
	// included. Default 128.
	MaxStreams int
	// MaxServers is the number of servers of a client. Default 16.
	MaxServers int
	// MaxQueries is the number of lookups and announces of a client that run at a
	// time. Default 16.
	MaxQueries int
	// MaxQuestions is the number of handshake steps, signatures and admissions
	// that a client is asked for at a time. Default 512.
	MaxQuestions int
	// RequestRate is how many streams, servers and queries per second a client may
	// ask for over time; Burst is how many at once. A client that asks for more is
	// read from more slowly. Defaults 20 and 200.
	RequestRate float64
	Burst       int

	// MaxMessage is the size of the largest message from a client, in bytes.
	// Default 16 MiB, which is also what peers can receive.
	MaxMessage int
	// MaxQueued is the number of bytes from a client that wait for its peers, and
	// of bytes from peers that wait for the client, above which their senders are
	// not read from. Default 1 MiB.
	MaxQueued int
	// MaxBuffered is the number of bytes that the relay holds from all clients
	// together. A client whose message goes beyond is disconnected. Default
	// 512 MiB.
	MaxBuffered int

	// HandshakeTimeout is the time for a client's first message. Default 10 s.
	HandshakeTimeout time.Duration
	// AnswerTimeout is the time for a client's answer to a question. Default 10 s.
	AnswerTimeout time.Duration
	// RequestTimeout is the time for opening a stream or a server and for a query.
	// Default 60 s.
	RequestTimeout time.Duration
	// StallTimeout is the time after which a client that does not read is
	// disconnected, and after which a stream is destroyed whose peer does not read
	// while the client waits to send. Default 45 s.
	StallTimeout time.Duration
	// UnusedTimeout is the time after which a stream is closed that the client
	// has never sent anything on and that carries nothing: clients do not tell
	// when they give up connecting. Default 10 min.
	UnusedTimeout time.Duration

	// Log receives events at level Debug; nil discards them.
	Log *slog.Logger
}

func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	def(&c.MaxClients, 1024)
	def(&c.MaxClientsPerAddress, 64)
	def(&c.MaxStreams, 128)
	def(&c.MaxServers, 16)
	def(&c.MaxQueries, 16)
	def(&c.MaxQuestions, 512)
	def(&c.RequestRate, 20)
	def(&c.Burst, 200)
	def(&c.MaxMessage, 16<<20)
	def(&c.MaxQueued, 1<<20)
	def(&c.MaxBuffered, 512<<20)
	def(&c.HandshakeTimeout, 10*time.Second)
	def(&c.AnswerTimeout, 10*time.Second)
	def(&c.RequestTimeout, time.Minute)
	def(&c.StallTimeout, 45*time.Second)
	def(&c.UnusedTimeout, 10*time.Minute)
	if c.Address == nil {
		c.Address = remoteHost
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func def[T int | float64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
