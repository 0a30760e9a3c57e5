package handoff

import (
	"context"
	"strconv"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// Topic is what two sides of a transfer look for each other by. It follows from
// the number of the code and is no secret.
type Topic [32]byte

// TopicOf returns the topic of a code's number.
func TopicOf(number int) Topic {
	return Topic(hypercrypto.Sum([]byte("cloudpal/handoff topic"), []byte(strconv.Itoa(number))))
}

// Rendezvous connects those who know a topic: on the local link, over the
// internet, or both. It does not know the code. Its connections should notice
// within seconds when the other side has gone.
type Rendezvous interface {
	// Host makes the topic known and calls accept for each connection, each time in
	// a goroutine of its own, until ctx ends; then it closes the connections whose
	// accept has not returned, waits for it, and returns nil. accept owns the
	// connection.
	Host(ctx context.Context, topic Topic, accept func(*secretstream.Conn)) error
	// Join connects to a host of the topic, and waits for one until ctx ends.
	// Calling it again may give another host.
	Join(ctx context.Context, topic Topic) (*secretstream.Conn, error)
}
