package interop

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperswarm"
	"github.com/tradle/cloudpal/hyper/protomux"
	"github.com/tradle/cloudpal/internal/invite"
)

// apart is a network whose peers never get connected: only records carry anything.
type apart struct{ invite.Network }

func (apart) Meet(hypercrypto.Hash, blindpairing.Role) (func(), error) { return func() {}, nil }

// goPairing starts a pairing on a swarm of its own.
func goPairing(t *testing.T, bootstrap []string, connects bool) *blindpairing.Pairing {
	t.Helper()
	var p *blindpairing.Pairing
	ready := make(chan struct{})
	s := startSwarm(t, bootstrap, nil, func(ctx context.Context, c *hyperswarm.Conn) {
		<-ready
		m := protomux.New(c, &protomux.Options{KeepAlive: 5 * time.Second})
		p.Attach(m)
		_ = m.Run(ctx)
	})
	var network blindpairing.Network = invite.Network{Swarm: s.Swarm}
	if !connects {
		network = apart{invite.Network{Swarm: s.Swarm}}
	}
	p = blindpairing.New(network, &blindpairing.Options{Poll: 2 * time.Second})
	close(ready)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func startPairingPeer(t *testing.T, bootstrap []any, connects bool) *Node {
	t.Helper()
	n := StartNode(t, "", "pairing-peer.js")
	n.Event(t, "ready")
	n.Call(t, "start", Args{"bootstrap": bootstrap, "apart": !connects})
	return n
}

var (
	pairingKey        = hypercrypto.Key{0xaa, 1}
	pairingEncryption = [32]byte{0xee, 2}
)

// bothWays runs a test over connections and over records only.
func bothWays(t *testing.T, run func(t *testing.T, connects bool)) {
	for _, connects := range []bool{true, false} {
		t.Run(map[bool]string{true: "connected", false: "records"}[connects], func(t *testing.T) { run(t, connects) })
	}
}

// memberOf serves a book of one invite until the test ends, and sends the user data
// of each accepted candidate.
func memberOf(t *testing.T, p *blindpairing.Pairing, terms blindpairing.Terms) (*blindpairing.Book, *blindpairing.Invite, <-chan blindpairing.Receipt) {
	t.Helper()
	b := blindpairing.NewBook(func(context.Context, []byte) error { return nil })
	i, err := b.Create(t.Context(), terms, blindpairing.Hints{})
	if err != nil {
		t.Fatal(err)
	}
	receipts := make(chan blindpairing.Receipt, 10)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- p.Serve(ctx, terms.Key.Discovery(), func(ctx context.Context, q *blindpairing.Request) (*blindpairing.Reply, error) {
			return b.Answer(ctx, q, func(_ context.Context, o *blindpairing.Opened) error { receipts <- o.Receipt; return nil })
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return b, i, receipts
}

func TestJavaScriptCandidateJoinsOurMember(t *testing.T) {
	if !alone(t) {
		return
	}
	bootstrap, args := testnet(t)
	bothWays(t, func(t *testing.T, connects bool) {
		js := startPairingPeer(t, args, connects)
		_, i, receipts := memberOf(t, goPairing(t, bootstrap, connects), blindpairing.Terms{Key: pairingKey, EncryptionKey: &pairingEncryption, Data: []byte("extra"), Uses: 1})
		start := time.Now()
		r := js.Call(t, "candidate", Args{"invite": i.Text(), "userData": hex.EncodeToString([]byte("a writer's key"))})
		t.Logf("paired in %v", time.Since(start))
		if r.Str("key") != pairingKey.Hex() || r.Str("encryptionKey") != hexOf(pairingEncryption[:]) || r.Str("data") != hex.EncodeToString([]byte("extra")) {
			t.Errorf("JavaScript was given %v", r)
		}
		receipt := <-receipts
		if string(receipt.UserData) != "a writer's key" {
			t.Errorf("we were given %q", receipt.UserData)
		}
		public := i.KeyPair().Public
		v := js.Call(t, "verifyReceipt", Args{"receipt": hexOf(receipt.AppendTo(nil)), "publicKey": hexOf(public[:])})
		if v.Str("userData") != hex.EncodeToString(receipt.UserData) {
			t.Errorf("JavaScript reads the receipt as %v", v)
		}
		// The next one is told that the invite was used.
		js.Go("candidate", Args{"invite": i.Text(), "userData": "01"})
		if e := js.Event(t, "rejected"); e.Str("code") == "" {
			t.Errorf("%v", e)
		} else {
			t.Logf("refused: %s", e.Str("code"))
		}
	})
}

func TestOurCandidateJoinsJavaScriptMember(t *testing.T) {
	if !alone(t) {
		return
	}
	bootstrap, args := testnet(t)
	bothWays(t, func(t *testing.T, connects bool) {
		js := startPairingPeer(t, args, connects)
		made := js.Call(t, "createInvite", Args{"key": pairingKey.Hex(), "data": hex.EncodeToString([]byte("extra")), "expires": time.Now().Add(time.Hour).UnixMilli()})
		member := Args{"discoveryKey": made.Str("discoveryKey"), "publicKey": made.Str("publicKey"), "key": pairingKey.Hex(), "encryptionKey": hexOf(pairingEncryption[:]), "additional": made["additional"]}
		js.Call(t, "member", member)
		i, err := invite.Parse(made.Str("invite"))
		if err != nil {
			t.Fatal(err)
		}
		id := i.ID()
		if hexOf(id[:]) != made.Str("id") || i.Expires.IsZero() {
			t.Errorf("the invite is read as %+v", i)
		}
		c, err := blindpairing.NewCandidate(i, []byte("a writer's key"))
		if err != nil {
			t.Fatal(err)
		}
		p := goPairing(t, bootstrap, connects)
		start := time.Now()
		a, err := p.Ask(testContext(t), c)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("paired in %v", time.Since(start))
		if a.Key != pairingKey || a.EncryptionKey == nil || *a.EncryptionKey != pairingEncryption || a.Additional == nil || string(a.Additional.Data) != "extra" {
			t.Errorf("we were given %+v", a)
		}
		e := js.Event(t, "request")
		if e.Str("userData") != hex.EncodeToString([]byte("a writer's key")) {
			t.Errorf("JavaScript was given %v", e)
		}
		raw, err := hex.DecodeString(e.Str("receipt"))
		if err != nil {
			t.Fatal(err)
		}
		receipt, err := blindpairing.DecodeReceipt(raw)
		if err != nil || !receipt.Verify(i.KeyPair().Public) {
			t.Errorf("the receipt that JavaScript made is not valid: %v", err)
		}
	})
}

func TestJavaScriptMemberRefusesOurCandidate(t *testing.T) {
	if !alone(t) {
		return
	}
	bootstrap, args := testnet(t)
	bothWays(t, func(t *testing.T, connects bool) {
		js := startPairingPeer(t, args, connects)
		p := goPairing(t, bootstrap, connects)
		for status, want := range map[int]error{1: blindpairing.ErrRejected, 2: blindpairing.ErrUsed, 3: blindpairing.ErrExpired} {
			key := hypercrypto.Key{byte(status)}
			made := js.Call(t, "createInvite", Args{"key": key.Hex()})
			js.Call(t, "member", Args{"discoveryKey": made.Str("discoveryKey"), "publicKey": made.Str("publicKey"), "key": key.Hex(), "deny": status})
			i, err := blindpairing.ParseInvite(made.Str("invite"))
			if err != nil {
				t.Fatal(err)
			}
			c, err := blindpairing.NewCandidate(i, []byte(fmt.Sprint(status)))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Ask(testContext(t), c); !errors.Is(err, want) {
				t.Errorf("status %d: %v", status, err)
			}
			js.Call(t, "closeMember", Args{"discoveryKey": made.Str("discoveryKey")})
		}
	})
}

// The candidate is gone before the member starts, and the member before the
// candidate comes back: each side of another kind, and each kind on both sides.
func TestPairingWithoutEverMeeting(t *testing.T) {
	if !alone(t) {
		return
	}
	bootstrap, args := testnet(t)
	for _, ours := range []bool{true, false} {
		t.Run(fmt.Sprintf("our member=%v", ours), func(t *testing.T) {
			key := hypercrypto.Key{9, byte(len(t.Name()))}
			if ours {
				b := blindpairing.NewBook(func(context.Context, []byte) error { return nil })
				i, err := b.Create(t.Context(), blindpairing.Terms{Key: key, Data: []byte("x")}, blindpairing.Hints{})
				if err != nil {
					t.Fatal(err)
				}
				js := startPairingPeer(t, args, true)
				js.Go("candidate", Args{"invite": i.Text(), "userData": "0102"})
				js.Event(t, "announced")
				js.cmd.Process.Kill() // without a good-bye, so that its announcement stays
				<-js.done
				p := goPairing(t, bootstrap, true)
				answered := make(chan struct{})
				ctx, cancel := context.WithCancel(t.Context())
				served := make(chan error, 1)
				go func() {
					served <- p.Serve(ctx, key.Discovery(), func(ctx context.Context, q *blindpairing.Request) (*blindpairing.Reply, error) {
						return b.Answer(ctx, q, func(context.Context, *blindpairing.Opened) error { close(answered); return nil })
					})
				}()
				wait(t, answered)
				_, reply := blindpairing.RecordKeys(tokenOf(t, i, []byte{1, 2}))
				untilRecord(t, bootstrap, reply.Public)
				cancel()
				if err := <-served; err != nil {
					t.Error(err)
				}
				js = startPairingPeer(t, args, true)
				if r := js.Call(t, "candidate", Args{"invite": i.Text(), "userData": "0102"}); r.Str("key") != key.Hex() {
					t.Errorf("JavaScript was given %v", r)
				}
				return
			}
			js := startPairingPeer(t, args, true)
			made := js.Call(t, "createInvite", Args{"key": key.Hex()})
			js.Stop()
			i, err := blindpairing.ParseInvite(made.Str("invite"))
			if err != nil {
				t.Fatal(err)
			}
			c, err := blindpairing.NewCandidate(i, []byte{1, 2})
			if err != nil {
				t.Fatal(err)
			}
			// What our candidate leaves if its machine is switched off.
			n := invite.Network{Swarm: startSwarm(t, bootstrap, nil, nil).Swarm}
			ask, reply := blindpairing.RecordKeys(c.Token())
			if err := n.Put(testContext(t), ask, c.Request.AppendTo(nil)); err != nil {
				t.Fatal(err)
			}
			if err := n.Announce(testContext(t), blindpairing.RecordTopic(i.DiscoveryKey), ask); err != nil {
				t.Fatal(err)
			}
			js = startPairingPeer(t, args, true)
			js.Call(t, "member", Args{"discoveryKey": made.Str("discoveryKey"), "publicKey": made.Str("publicKey"), "key": key.Hex()})
			untilRecord(t, bootstrap, reply.Public)
			js.Stop()
			a, err := goPairing(t, bootstrap, true).Ask(testContext(t), c)
			if err != nil || a.Key != key {
				t.Errorf("we were given %+v, %v", a, err)
			}
		})
	}
}

func tokenOf(t *testing.T, i *blindpairing.Invite, userData []byte) hypercrypto.Hash {
	t.Helper()
	c, err := blindpairing.NewCandidate(i, userData)
	if err != nil {
		t.Fatal(err)
	}
	return c.Token()
}

// untilRecord waits for a record.
func untilRecord(t *testing.T, bootstrap []string, key hypercrypto.PublicKey) {
	t.Helper()
	n := invite.Network{Swarm: startSwarm(t, bootstrap, nil, nil).Swarm}
	eventually(t, "a record of the answer", func() bool {
		_, err := n.Get(testContext(t), key)
		return err == nil
	})
}

func wait(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("nothing happened for %v", patience)
	}
}
