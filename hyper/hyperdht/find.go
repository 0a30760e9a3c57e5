package hyperdht

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"sync"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/dhtrpc"
)

// Topic is a place where peers announce themselves: a hash, never a secret.
type Topic [32]byte

// Result is what one node knows about a topic or key.
type Result struct {
	From  netip.AddrPort
	ID    *[32]byte      // of From, nil if it has none
	Token *[32]byte      // of From, nil if it gave none
	To    netip.AddrPort // where From sees this node
	Peers []Peer
	// Bump is the largest value that an announcer has given, 0 if none has:
	// milliseconds since 1970.
	Bump uint64
}

// Search remembers where a query ended, so that the next one for the same target
// begins there. The zero value knows nothing. It must not be used by two queries
// at a time.
type Search struct{ closest []netip.AddrPort }

// Lookup asks the nodes nearest to a topic who is announced there. Each result is
// of one node; the same peer comes many times. The loop does the work; leaving it
// ends the query. search may be nil.
func (d *DHT) Lookup(ctx context.Context, topic Topic, search *Search) iter.Seq2[Result, error] {
	return func(yield func(Result, error) bool) {
		q := dhtrpc.Query{Target: dhtrpc.ID(topic), Command: cmdLookup}
		d.find(ctx, &q, search, yield, func(r *dhtrpc.Response) (Result, bool) {
			peers, bump, err := decodeLookup(r.Value)
			return Result{Peers: peers, Bump: bump}, err == nil
		})
	}
}

// FindPeer asks the nodes nearest to a key which of them relay to the server
// that has it. Use it to see whether a peer listens; Connect does it by itself.
func (d *DHT) FindPeer(ctx context.Context, key hypercrypto.PublicKey) iter.Seq2[Result, error] {
	return func(yield func(Result, error) bool) {
		q := dhtrpc.Query{Target: targetOf(key), Command: cmdFindPeer}
		d.find(ctx, &q, nil, yield, func(r *dhtrpc.Response) (Result, bool) {
			peers, _, err := decodeLookup(append([]byte{1}, r.Value...))
			return Result{Peers: peers}, err == nil && peers[0].PublicKey == key
		})
	}
}

// find runs a query and yields what decode makes of the answers with a value.
func (d *DHT) find(ctx context.Context, q *dhtrpc.Query, search *Search, yield func(Result, error) bool, decode func(*dhtrpc.Response) (Result, bool)) {
	if err := d.ready(ctx); err != nil {
		yield(Result{}, err)
		return
	}
	if search != nil {
		q.Nodes = search.closest
		defer func() {
			if len(q.Closest) > 0 {
				search.closest = q.ClosestNodes()
			}
		}()
	}
	for r, err := range d.node.Query(ctx, q) {
		if err != nil {
			yield(Result{}, err)
			return
		}
		if r.Value == nil {
			continue
		}
		if out, ok := decode(r); ok {
			out.From, out.ID, out.Token, out.To = r.From, (*[32]byte)(r.ID), r.Token, r.To
			if !yield(out, nil) {
				return
			}
		}
	}
}

// AnnounceOptions configures [DHT.Announce].
type AnnounceOptions struct {
	// Relays are told to those who look up; see Server.RelayAddresses. At most 3
	// are kept.
	Relays []netip.AddrPort
	// Bump, in milliseconds since 1970, makes the topic appear changed.
	Bump uint64
	// Search remembers the nodes for the next time. May be nil.
	Search *Search
	// Found is called with what the nodes know about the topic before. May be
	// nil.
	Found func(Result)
}

// Announce stores a signed record at the nodes nearest to a topic, which keep it
// for 20 minutes or so. It returns how many took it; the error is ErrTooFew if
// none did.
func (d *DHT) Announce(ctx context.Context, topic Topic, kp *hypercrypto.KeyPair, o *AnnounceOptions) (int, error) {
	return d.announce(ctx, topic, identity{keyPair: kp}, o)
}

func (d *DHT) announce(ctx context.Context, topic Topic, own identity, o *AnnounceOptions) (int, error) {
	if o == nil {
		o = &AnnounceOptions{}
	}
	q := dhtrpc.Query{Target: dhtrpc.ID(topic), Command: cmdLookup}
	if err := d.lookup(ctx, &q, o.Search, o.Found); err != nil {
		return 0, fmt.Errorf("announce: %w", err)
	}
	return d.commit(&q, func(r *dhtrpc.Response) error {
		ann := announcement{peer: &Peer{PublicKey: own.public(), Relays: o.Relays}, bump: o.Bump}
		value, err := own.sign(ctx, &ann, false, &q.Target, r.ID, r.Token)
		if err != nil {
			return err
		}
		return d.store1(ctx, r, cmdAnnounce, q.Target, value)
	})
}

// Unannounce withdraws the record of a key pair from the nodes near a topic.
func (d *DHT) Unannounce(ctx context.Context, topic Topic, kp *hypercrypto.KeyPair, search *Search) error {
	return d.unannounce(ctx, topic, identity{keyPair: kp}, search)
}

func (d *DHT) unannounce(ctx context.Context, topic Topic, own identity, search *Search) error {
	q := dhtrpc.Query{Target: dhtrpc.ID(topic), Command: cmdLookup}
	var mu sync.Mutex
	var holders []*dhtrpc.Response
	if err := d.ready(ctx); err != nil {
		return fmt.Errorf("unannounce: %w", err)
	}
	if search != nil {
		q.Nodes = search.closest
	}
	for r, err := range d.node.Query(ctx, &q) {
		if err != nil {
			return fmt.Errorf("unannounce: %w", err)
		}
		peers, _, err := decodeLookup(r.Value)
		if r.Value == nil || err != nil {
			continue
		}
		// A full answer is a choice; the own record may be among the rest.
		held := len(peers) >= lookupPeers
		for _, p := range peers {
			held = held || p.PublicKey == own.public()
		}
		if held {
			mu.Lock()
			holders = append(holders, r)
			mu.Unlock()
		}
	}
	var wg sync.WaitGroup
	for _, r := range holders {
		wg.Go(func() { d.unannounceAt(ctx, r, q.Target, own) })
	}
	wg.Wait()
	return ctx.Err()
}

// unannounceAt withdraws a record from the node that gave an answer about it.
func (d *DHT) unannounceAt(ctx context.Context, r *dhtrpc.Response, target dhtrpc.ID, own identity) {
	if r.Token == nil || r.ID == nil {
		return
	}
	ann := announcement{peer: &Peer{PublicKey: own.public()}}
	if value, err := own.sign(ctx, &ann, true, &target, r.ID, r.Token); err == nil {
		_ = d.store1(ctx, r, cmdUnannounce, target, value)
	}
}

// lookup runs a query of lookups to its end.
func (d *DHT) lookup(ctx context.Context, q *dhtrpc.Query, search *Search, found func(Result)) error {
	var failure error
	d.find(ctx, q, search, func(r Result, err error) bool {
		if err != nil {
			failure = err
		} else if found != nil {
			found(r)
		}
		return true
	}, func(r *dhtrpc.Response) (Result, bool) {
		peers, bump, err := decodeLookup(r.Value)
		return Result{Peers: peers, Bump: bump}, err == nil
	})
	return failure
}

// store1 asks one node to store something.
func (d *DHT) store1(ctx context.Context, r *dhtrpc.Response, command uint64, target dhtrpc.ID, value []byte) error {
	res, err := d.node.Request(ctx, dhtrpc.Call{To: r.From, Command: command, Target: &target, Token: r.Token, Value: value})
	if err != nil {
		return err
	}
	switch res.Code {
	case dhtrpc.CodeNone:
		return nil
	case codeSeqReused:
		return ErrSeqReused
	case codeSeqTooLow:
		return ErrSeqTooLow
	}
	return fmt.Errorf("hyperdht: node answers with code %d", res.Code)
}

// commit stores something at all nodes that a query has found nearest, and
// returns at how many. The error is that of the last one if there is none.
func (d *DHT) commit(q *dhtrpc.Query, at func(*dhtrpc.Response) error) (int, error) {
	var wg sync.WaitGroup
	errs := make([]error, len(q.Closest))
	for i, r := range q.Closest {
		if r.Token == nil || r.ID == nil {
			errs[i] = ErrTooFew
			continue
		}
		wg.Go(func() { errs[i] = at(r) })
	}
	wg.Wait()
	stored, last := 0, error(ErrTooFew)
	for _, err := range errs {
		if err == nil {
			stored++
		} else {
			last = err
		}
	}
	if stored > 0 {
		return stored, nil
	}
	return 0, last
}
