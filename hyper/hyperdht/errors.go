package hyperdht

import (
	"errors"
	"fmt"
	"net"

	"github.com/tradle/cloudpal/hyper/internal/dhtrpc"
)

var (
	// ErrClosed: the DHT, server or connection was closed. It matches net.ErrClosed.
	ErrClosed = fmt.Errorf("hyperdht: %w", net.ErrClosed)
	// ErrSuspended: the DHT is suspended. Try again after Resume.
	ErrSuspended = dhtrpc.ErrSuspended
	// ErrPeerNotFound: no node knows the key: the peer is not listening, or
	// announced itself elsewhere.
	ErrPeerNotFound = errors.New("hyperdht: peer not found")
	// ErrConnectFailed: nodes know the peer, but it did not answer: it may be
	// gone, or refuse.
	ErrConnectFailed = errors.New("hyperdht: could not connect to peer")
	// ErrRefused: the peer answered that it does not want the connection or does
	// not speak this version.
	ErrRefused = errors.New("hyperdht: peer refused")
	// ErrHolepunch: the NATs between the peers could not be passed. A relay may
	// help.
	ErrHolepunch = errors.New("hyperdht: hole punching failed")
	// ErrRelay: the relay could not be used.
	ErrRelay = errors.New("hyperdht: relaying failed")
	// ErrKeyInUse: a server of this DHT listens with that key already.
	ErrKeyInUse = errors.New("hyperdht: key pair is in use")
	// ErrNotFound: no node has the record.
	ErrNotFound = errors.New("hyperdht: record not found")
	// ErrTooFew: no node took the record or announcement.
	ErrTooFew = errors.New("hyperdht: no node answered")
	// ErrSeqReused and ErrSeqTooLow: a node has a mutable value with the same
	// sequence number and other content, or with a higher number.
	ErrSeqReused = errors.New("hyperdht: sequence number was used for another value")
	ErrSeqTooLow = errors.New("hyperdht: sequence number is too low")
	// ErrTooLarge: a value or message does not fit into one packet.
	ErrTooLarge = dhtrpc.ErrTooLarge
)
