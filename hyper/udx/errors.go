package udx

import (
	"errors"
	"fmt"
	"net"
)

var (
	// ErrClosed: the stream, its socket or its transport was closed here. It
	// matches net.ErrClosed.
	ErrClosed = fmt.Errorf("udx: %w", net.ErrClosed)
	// ErrReset: the other side destroyed the stream.
	ErrReset = errors.New("udx: connection reset by peer")
	// ErrTimeout: the other side no longer acknowledges.
	ErrTimeout = errors.New("udx: connection timed out")
	// ErrNotConnected: the call needs a connected stream.
	ErrNotConnected = errors.New("udx: stream is not connected")
	// ErrConnected: the stream is connected already; see ChangeRemote.
	ErrConnected = errors.New("udx: stream is connected already")
	// ErrTooLarge: a message does not fit into one packet of the path.
	ErrTooLarge = errors.New("udx: message is too large")
	// ErrIDInUse: the id belongs to another stream of the transport.
	ErrIDInUse = errors.New("udx: stream id is in use")

	errEnded    = errors.New("udx: write after CloseWrite")
	errRelaying = errors.New("udx: stream relays")
)
