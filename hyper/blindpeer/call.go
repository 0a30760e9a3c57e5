package blindpeer

import (
	"context"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
)

// AddOptions configures [Add].
type AddOptions struct {
	// Referrer is the base that the log belongs to; nil for none.
	Referrer *hypercrypto.Key
	Priority uint64
	// Announce asks a mirror that trusts this client to be findable as a peer of
	// the log.
	Announce bool
}

// Add asks the mirror at the other end of m to keep one log, and returns what the
// mirror then knows of it. The log is fetched from this or any other client that
// exchanges it with the mirror. Who runs m is the caller's matter. A refusal is a
// *[RemoteError].
func Add(ctx context.Context, m *protomux.Mux, log hypercrypto.Key, o AddOptions) (Record, error) {
	q := addRequest{Key: log, Referrer: o.Referrer, Priority: o.Priority, Announce: o.Announce}
	value, err := ask(ctx, m, methodAdd, q.appendTo(nil))
	if err != nil {
		return Record{}, fmt.Errorf("add log %s: %w", log, err)
	}
	return decodeRecord(value)
}

// Delete asks the mirror at the other end of m to delete a log, and returns whether
// it had it. The mirror does so for clients that it trusts; others get a
// *[RemoteError].
func Delete(ctx context.Context, m *protomux.Mux, log hypercrypto.Key) (existed bool, err error) {
	value, err := ask(ctx, m, methodDelete, log[:])
	if err != nil {
		return false, fmt.Errorf("delete log %s: %w", log, err)
	}
	r := compact.NewReader(value)
	existed = r.Bool()
	return existed, r.Err()
}

// ask makes one call on a channel of its own.
func ask(ctx context.Context, m *protomux.Mux, method string, value []byte) ([]byte, error) {
	mirror := m.Stream().RemotePublicKey()
	answers, gone := make(chan reply, 1), make(chan struct{})
	ch, err := m.Open(protomux.ChannelOptions{
		Protocol: rpcProtocol, ID: mirror[:],
		Messages: []func(*protomux.Channel, []byte) error{
			msgCall: func(*protomux.Channel, []byte) error { return nil },
			msgReply: func(_ *protomux.Channel, body []byte) error {
				p, err := decodeReply(body)
				if err != nil {
					return err
				}
				p.Value = append([]byte(nil), p.Value...)
				select {
				case answers <- p:
				default:
				}
				return nil
			},
		},
		OnClose: func(*protomux.Channel, bool) { close(gone) },
	})
	if err != nil {
		return nil, err
	}
	defer ch.Close()
	q := call{ID: 1, Method: method, Value: value}
	ch.SendFunc(msgCall, 128, q.appendTo)
	select {
	case p := <-answers:
		if p.Err != nil {
			return nil, p.Err
		}
		return p.Value, nil
	case <-gone:
		return nil, fmt.Errorf("%w: the peer is no mirror, or went away", ErrClosed)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
