package hyperdht

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/tradle/cloudpal/hyper/internal/dhtrpc"
)

// punchDial is the client's part of a hole punch.
type punchDial struct {
	*dialer
	g      *greeting
	p      *puncher
	cipher *punchCipher
	server netip.AddrPort // where the server's packets come from
}

// answer is what the server said in a round.
type answer struct {
	*round
	peer     netip.AddrPort // the server as its relay sees it
	client   netip.AddrPort // this side as that relay sees it
	tryLater bool
}

func (c *dialer) punch(ctx context.Context, g *greeting) error {
	p := &punchDial{dialer: c, g: g, p: c.d.newPuncher(c.link, true), cipher: c.link.punchCipher(g.session), server: g.server}
	p.p.remote = g.payload.firewall
	via := g.payload.punch.relays[0]
	for _, r := range g.payload.punch.relays {
		if r.relay == g.node {
			via = r
			break
		}
	}
	token, err := p.probe(ctx, via, true)
	if err != nil || ctx.Err() != nil {
		return p.failed(ctx, err)
	}
	return p.failed(ctx, p.run(ctx, via, token))
}

// failed turns the end of a punch into the error to report: none if the link has
// become direct meanwhile.
func (p *punchDial) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil || err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrHolepunch, err)
}

// exchange sends a round and returns the server's answer.
func (p *punchDial) exchange(ctx context.Context, to, relay netip.AddrPort, r *round) (*answer, error) {
	r.round = p.round.Add(1) - 1
	h := holepunch{mode: fromClient, id: p.g.payload.punch.id, payload: p.cipher.seal(r), peer: to}
	res, err := p.d.node.Request(ctx, dhtrpc.Call{To: relay, Command: cmdHolepunch, Target: &p.target, Value: h.appendTo(nil), Socket: p.p.socket})
	if err != nil {
		return nil, err
	}
	in, err := decodeHolepunch(res.Value)
	if err != nil || in.mode != reply {
		return nil, errFormat
	}
	remote, err := p.cipher.open(in.payload)
	if err != nil {
		return nil, err
	}
	a := &answer{round: remote, peer: in.peer, client: res.To}
	if !a.peer.IsValid() {
		a.peer = relay
	}
	if remote.err == errorTryLater && r.punching && p.relayed() {
		a.tryLater = true
		return a, nil
	}
	if remote.err != errorNone {
		return nil, fmt.Errorf("the peer gave up with code %d", remote.err)
	}
	verified := netip.Addr{}
	if r.token != nil && remote.remoteToken != nil && *r.token == *remote.remoteToken {
		verified = to.Addr()
	}
	p.p.update(remote, verified)
	return a, nil
}

// relayed tells whether a relay carries the connection meanwhile.
func (p *punchDial) relayed() bool { return p.g.payload.through != nil || p.o.RelayThrough != nil }

// probe tells the server where this side is and learns the same of it. Often the
// server's byte opens the path already here.
func (p *punchDial) probe(ctx context.Context, via relayPair, again bool) (token *[32]byte, err error) {
	p.p.open(p.server)
	view := p.d.analyze(ctx, netip.AddrPort{})
	p.p.setNAT(view)
	a, err := p.exchange(ctx, via.peer, via.relay, &round{firewall: view.firewall, addresses: view.addrs, remote: p.server})
	if err != nil {
		return nil, err
	}
	if a.firewall < firewallRandom && a.remote.IsValid() && a.remote.Port() != 0 && a.remote != p.server {
		p.p.open(a.remote)
	}
	if a.firewall == firewallUnknown && !p.wait(ctx, unknownWait) {
		return nil, nil
	}
	view = p.d.analyze(ctx, a.client)
	p.p.setNAT(view)
	unstable := view.firewall == firewallUnknown || view.firewall >= firewallRandom && a.firewall >= firewallRandom
	if (a.firewall == firewallUnknown || a.token == nil) && again {
		return p.probe(ctx, via, false)
	}
	if a.firewall == firewallUnknown || unstable {
		_, _ = p.exchange(ctx, via.peer, via.relay, &round{err: errorAborted})
		if a.firewall >= firewallRandom && view.firewall >= firewallRandom {
			return nil, errors.New("both sides are behind NATs with random ports")
		}
		return nil, errors.New("the kind of NAT is unknown")
	}
	if via.relay == p.g.node && a.peer != p.server {
		p.server = a.peer
		p.p.open(p.server)
	}
	return a.token, nil
}

// run agrees to punch, and punches.
func (p *punchDial) run(ctx context.Context, via relayPair, remoteToken *[32]byte) error {
	p.p.mu.Lock()
	view := p.p.nat
	p.p.mu.Unlock()
	for delayed := false; ; delayed = true {
		held := false
		if p.p.isRandom() {
			if held = p.d.punches.startRandom(); !held {
				if err := p.postpone(ctx, view, remoteToken, delayed); err != nil {
					return err
				}
				continue
			}
		}
		a, err := p.agree(ctx, via, view, remoteToken, delayed)
		if err == nil && !a.tryLater {
			return p.start(a, held)
		}
		if held {
			p.d.punches.cancelRandom()
		}
		if err != nil {
			return err
		}
		if err := p.later(ctx); err != nil {
			return err
		}
	}
}

// postpone waits for the turn of this punch. The server is told once that it
// will come, so that it knows where to.
func (p *punchDial) postpone(ctx context.Context, view natView, remoteToken *[32]byte, delayed bool) error {
	if !p.relayed() {
		return errors.New("another punch with random ports is under way")
	}
	if !delayed {
		r := &round{firewall: view.firewall, addresses: view.addrs, token: p.cipher.token(p.server.Addr()), remoteToken: remoteToken}
		if _, err := p.exchange(ctx, p.server, p.g.node, r); err != nil {
			return err
		}
	}
	return p.later(ctx)
}

// start punches until something comes through or the tries are used up.
func (p *punchDial) start(a *answer, held bool) error {
	random := p.p.isRandom()
	if random && !held {
		held = p.d.punches.startRandom()
	} else if !random && held {
		p.d.punches.cancelRandom()
		held = false
	}
	if a.punching && random == held {
		if done, ok := p.p.punch(); ok {
			<-done
			return errors.New("no packet came through")
		}
	}
	if held {
		p.d.punches.cancelRandom()
	}
	return errors.New("the peer does not punch or cannot be reached")
}

func (p *punchDial) agree(ctx context.Context, via relayPair, view natView, remoteToken *[32]byte, delayed bool) (*answer, error) {
	r := &round{punching: true, firewall: view.firewall, addresses: view.addrs, remoteToken: remoteToken}
	if delayed {
		return p.exchange(ctx, via.peer, via.relay, r)
	}
	r.token = p.cipher.token(p.server.Addr())
	return p.exchange(ctx, p.server, p.g.node, r)
}

// later waits until another try makes sense, which only a relay gives time for.
func (p *punchDial) later(ctx context.Context) error {
	if !p.relayed() {
		return errors.New("the peer is busy")
	}
	p.wait(ctx, 10*time.Second+rand.N(10*time.Second))
	return ctx.Err()
}
