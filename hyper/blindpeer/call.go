package blindpeer

import (
	"context"
	"fmt"
	"sync"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
)

// AddOptions configures [Client.Add].
type AddOptions struct {
	// Referrer is the base that the log belongs to; nil for none.
	Referrer *hypercrypto.Key
	Priority uint64
	// Announce asks a mirror that trusts this client to be findable as a peer of
	// the log.
	Announce bool
}

// Add asks a mirror to keep one log, and returns what the mirror then knows of it.
// It waits until the mirror is reached. The log is fetched from this or any other
// client that exchanges it with the mirror. A refusal is a *[RemoteError].
func (c *Client) Add(ctx context.Context, mirror hypercrypto.PublicKey, log hypercrypto.Key, o AddOptions) (Record, error) {
	q := addRequest{Key: log, Referrer: o.Referrer, Priority: o.Priority, Announce: o.Announce}
	value, err := c.call(ctx, mirror, methodAdd, q.appendTo(nil))
	if err != nil {
		return Record{}, fmt.Errorf("add log %s: %w", log, err)
	}
	return decodeRecord(value)
}

// Delete asks a mirror to delete a log, and returns whether it had it. The mirror
// does so for clients that it trusts; others get a *[RemoteError].
func (c *Client) Delete(ctx context.Context, mirror hypercrypto.PublicKey, log hypercrypto.Key) (existed bool, err error) {
	value, err := c.call(ctx, mirror, methodDelete, log[:])
	if err != nil {
		return false, fmt.Errorf("delete log %s: %w", log, err)
	}
	r := compact.NewReader(value)
	existed = r.Bool()
	return existed, r.Err()
}

// call reaches a mirror and asks it.
func (c *Client) call(ctx context.Context, mirror hypercrypto.PublicKey, method string, value []byte) ([]byte, error) {
	l, err := c.reach(mirror)
	if err != nil {
		return nil, err
	}
	defer c.leave(l)
	for {
		c.mu.Lock()
		calls, changed := l.calls, l.changed
		c.mu.Unlock()
		if calls != nil {
			return calls.ask(ctx, method, value)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("reach mirror %s: %w", mirror, ctx.Err())
		}
	}
}

// calls is the channel of calls to one mirror.
type calls struct {
	ch   *protomux.Channel
	gone chan struct{} // closed with the channel

	mu      sync.Mutex // guards what follows
	last    uint64
	waiting map[uint64]chan reply
}

// openCalls opens the channel. A mirror in JavaScript opens its side once, when the
// connection begins, so this has to be done by then.
func openCalls(m *protomux.Mux) (*calls, error) {
	c := &calls{gone: make(chan struct{}), waiting: make(map[uint64]chan reply)}
	mirror := m.Stream().RemotePublicKey()
	var err error
	c.ch, err = m.Open(protomux.ChannelOptions{
		Protocol: rpcProtocol, ID: mirror[:],
		Messages: []func(*protomux.Channel, []byte) error{
			msgCall:  func(*protomux.Channel, []byte) error { return nil },
			msgReply: c.onReply,
		},
		OnClose: func(*protomux.Channel, bool) { close(c.gone) },
	})
	return c, err
}

func (c *calls) onReply(_ *protomux.Channel, body []byte) error {
	p, err := decodeReply(body)
	if err != nil {
		return err
	}
	p.Value = append([]byte(nil), p.Value...)
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.waiting[p.ID]; w != nil {
		delete(c.waiting, p.ID)
		w <- p
	}
	return nil
}

func (c *calls) ask(ctx context.Context, method string, value []byte) ([]byte, error) {
	answer := make(chan reply, 1)
	c.mu.Lock()
	c.last++
	q := call{ID: c.last, Method: method, Value: value}
	c.waiting[q.ID] = answer
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waiting, q.ID)
	}()
	c.ch.SendFunc(msgCall, 128, q.appendTo)
	select {
	case p := <-answer:
		if p.Err != nil {
			return nil, p.Err
		}
		return p.Value, nil
	case <-c.gone:
		return nil, fmt.Errorf("%w: the peer is no mirror, or went away", ErrClosed)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
