package blindrelay

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tradle/cloudpal/hyper/protomux"
)

// ErrRelay means that the relay ended the connection before it had joined the
// pair.
var ErrRelay = errors.New("blindrelay: relay has gone")

// Client asks a relay for streams over one connection.
type Client struct {
	mux    *protomux.Mux
	ch     *protomux.Channel
	cancel context.CancelFunc
	done   chan struct{} // closed when the connection has ended

	mu    sync.Mutex
	waits map[waitKey]chan uint32
}

type waitKey struct {
	initiator bool
	token     Token
}

// NewClient opens the channel over a connection to a relay, which it owns. id is
// the public key that this side uses there.
func NewClient(stream protomux.Stream, id []byte) (*Client, error) {
	c := &Client{mux: protomux.New(stream, nil), done: make(chan struct{}), waits: make(map[waitKey]chan uint32)}
	ch, err := c.mux.Open(protomux.ChannelOptions{
		Protocol: Protocol,
		ID:       id,
		Messages: []func(*protomux.Channel, []byte) error{typePair: c.onPair},
		OnClose:  func(*protomux.Channel, bool) { c.mux.Close() },
	})
	if err != nil {
		stream.Close()
		return nil, fmt.Errorf("blindrelay: %w", err)
	}
	c.ch = ch
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	go func() {
		defer close(c.done)
		_ = c.mux.Run(ctx)
	}()
	return c, nil
}

func (c *Client) onPair(_ *protomux.Channel, body []byte) error {
	p, err := decodePair(body)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch := c.waits[waitKey{p.initiator, p.token}]; ch != nil {
		select {
		case ch <- p.id:
		default:
		}
	}
	return nil
}

// Pair waits until the other side has sent the same token with the other role,
// and returns the id of the relay's stream to which the stream with this side's
// id is to be connected.
func (c *Client) Pair(ctx context.Context, initiator bool, token Token, id uint32) (uint32, error) {
	key, ch := waitKey{initiator, token}, make(chan uint32, 1)
	c.mu.Lock()
	c.waits[key] = ch
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waits, key)
		c.mu.Unlock()
	}()
	p := pair{initiator: initiator, token: token, id: id}
	c.ch.Send(typePair, p.appendTo(nil))
	select {
	case remote := <-ch:
		return remote, nil
	case <-c.done:
		return 0, ErrRelay
	case <-ctx.Done():
		c.ch.Send(typeUnpair, appendUnpair(nil, token))
		return 0, context.Cause(ctx)
	}
}

// Done is closed when the connection to the relay has ended.
func (c *Client) Done() <-chan struct{} { return c.done }

// Close ends the connection to the relay and waits for that.
func (c *Client) Close() {
	c.cancel()
	<-c.done
}
