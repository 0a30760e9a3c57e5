package blindpairing

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
)

var testKey = hypercrypto.Key{0xaa}

// forgetful keeps nothing.
func forgetful(context.Context, []byte) error { return nil }

func testBook(t *testing.T, terms Terms) (*Book, *Invite) {
	t.Helper()
	terms.Key = testKey
	b := NewBook(forgetful)
	i, err := b.Create(t.Context(), terms, Hints{})
	if err != nil {
		t.Fatal(err)
	}
	return b, i
}

func welcome(context.Context, *Opened) error { return nil }

// serve runs a member with a book until the returned function is called.
func serve(t *testing.T, p *place, b *Book, decide func(context.Context, *Opened) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- p.Serve(ctx, testKey.Discovery(), func(ctx context.Context, q *Request) (*Reply, error) { return b.Answer(ctx, q, decide) })
	}()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
}

func candidate(t *testing.T, i *Invite, userData string) *Candidate {
	t.Helper()
	c, err := NewCandidate(i, []byte(userData))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func checkAnswer(t *testing.T, a *Answer, err error, data string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if a.Key != testKey || a.EncryptionKey == nil || *a.EncryptionKey != [32]byte{7} || a.Additional == nil || string(a.Additional.Data) != data {
		t.Errorf("the answer is %+v", a)
	}
}

func TestPairingOverAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, true)
		b, i := testBook(t, Terms{EncryptionKey: &[32]byte{7}, Data: []byte("extra")})
		member, guest := w.place(nil), w.place(nil)
		var got string
		stop := serve(t, member, b, func(_ context.Context, o *Opened) error { got = string(o.Receipt.UserData); return nil })
		start := time.Now()
		a, err := guest.Ask(t.Context(), candidate(t, i, "me"))
		checkAnswer(t, a, err, "extra")
		if got != "me" {
			t.Errorf("the member was given %q", got)
		}
		if d := time.Since(start); d > firstLook {
			t.Errorf("it took %v", d)
		}
		synctest.Wait()
		stop()
		if n := w.announcements(testKey.Discovery()); n != 0 {
			t.Errorf("%d announcements are left", n)
		}
		guest.end()
		member.end()
	})
}

// The connection may be there before either side knows that it wants to pair.
func TestPairingOverAConnectionThatWasThereBefore(t *testing.T) {
	for _, memberFirst := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, false)
			b, i := testBook(t, Terms{EncryptionKey: &[32]byte{7}, Data: []byte("x")})
			member, guest := w.place(nil), w.place(nil)
			connect(member, guest)
			synctest.Wait()
			var stop func()
			if memberFirst {
				stop = serve(t, member, b, welcome)
				time.Sleep(time.Minute)
			}
			var a *Answer
			var err error
			var wg sync.WaitGroup
			wg.Go(func() { a, err = guest.Ask(t.Context(), candidate(t, i, "me")) })
			if !memberFirst {
				time.Sleep(time.Minute)
				stop = serve(t, member, b, welcome)
			}
			wg.Wait()
			checkAnswer(t, a, err, "x")
			stop()
			// Once more, on the same connection.
			stop = serve(t, member, b, welcome)
			a, err = guest.Ask(t.Context(), candidate(t, i, "me"))
			checkAnswer(t, a, err, "x")
			stop()
			guest.end()
			member.end()
		})
	}
}

// The two are never online at the same time.
func TestPairingThroughRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		b, i := testBook(t, Terms{EncryptionKey: &[32]byte{7}, Data: make([]byte, MaxData)})
		data := string(make([]byte, MaxUserData))
		guest := w.place(nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if _, err := guest.Ask(ctx, candidate(t, i, data)); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("without a member: %v", err)
		}
		cancel()
		synctest.Wait()
		// A guest that gives up takes its announcement back. One that vanishes does not.
		if n := w.announcements(testKey.Discovery()); n != 0 {
			t.Errorf("%d announcements are left", n)
		}
		ask, _ := RecordKeys(candidate(t, i, data).Token())
		guest.Announce(t.Context(), RecordTopic(testKey.Discovery()), ask)
		guest.end()

		member := w.place(nil)
		stop := serve(t, member, b, welcome)
		time.Sleep(time.Second)
		stop()
		member.end()

		guest = w.place(nil)
		start := time.Now()
		a, err := guest.Ask(t.Context(), candidate(t, i, data))
		checkAnswer(t, a, err, string(make([]byte, MaxData)))
		if d := time.Since(start); d > time.Second {
			t.Errorf("it took %v", d)
		}
		guest.end()
	})
}

// Both are online all the time but cannot connect: the pauses decide.
func TestPausesBetweenLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		b, i := testBook(t, Terms{EncryptionKey: &[32]byte{7}, Data: []byte("x")})
		member, guest := w.place(nil), w.place(nil)
		stop := serve(t, member, b, welcome)
		time.Sleep(time.Second)
		start := time.Now()
		a, err := guest.Ask(t.Context(), candidate(t, i, "me"))
		checkAnswer(t, a, err, "x")
		if d := time.Since(start); d < 5*time.Minute || d > 18*time.Minute {
			t.Errorf("it took %v", d)
		}
		if w.lookups > 3 || w.gets > 12 {
			t.Errorf("%d lookups, %d gets", w.lookups, w.gets)
		}
		stop()
		guest.end()
		member.end()
	})
}

func TestRefreshLooksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		b, i := testBook(t, Terms{EncryptionKey: &[32]byte{7}, Data: []byte("x")})
		member, guest := w.place(nil), w.place(nil)
		stop := serve(t, member, b, welcome)
		done := make(chan error, 1)
		go func() {
			_, err := guest.Ask(t.Context(), candidate(t, i, "me"))
			done <- err
		}()
		time.Sleep(2 * time.Second)
		member.Refresh()
		time.Sleep(time.Second)
		guest.Refresh()
		time.Sleep(time.Second)
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("no answer yet")
		}
		stop()
		guest.end()
		member.end()
	})
}

// A member that cannot be found, as the one who looks for guests, finds those that
// left a record.
func TestMemberConnectsToTheGuestOfARecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		b, i := testBook(t, Terms{EncryptionKey: &[32]byte{7}, Data: []byte("x")})
		member, guest := w.place(nil), w.place(nil)
		stop := serve(t, member, b, welcome)
		time.Sleep(time.Second)
		done := make(chan error, 1)
		go func() {
			_, err := guest.Ask(t.Context(), candidate(t, i, "me"))
			done <- err
		}()
		time.Sleep(6 * time.Minute) // the guest's looks are far apart by now
		w.mu.Lock()
		w.connects = true // from now on, for who meets anew
		w.mu.Unlock()
		start := time.Now()
		member.Refresh()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("it took %v", d)
		}
		stop()
		guest.end()
		member.end()
	})
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		terms  Terms
		age    time.Duration // since it expired
		before func(t *testing.T, b *Book, i *Invite)
		decide func(context.Context, *Opened) error
		want   error
	}{
		"expired": {age: time.Second, want: ErrExpired},
		"used": {terms: Terms{Uses: 1}, want: ErrUsed, before: func(t *testing.T, b *Book, i *Invite) {
			if _, err := b.Answer(t.Context(), candidate(t, i, "first").Request, welcome); err != nil {
				t.Fatal(err)
			}
		}},
		"revoked": {want: ErrRejected, before: func(t *testing.T, b *Book, i *Invite) {
			if err := b.Revoke(t.Context(), i.ID()); err != nil {
				t.Fatal(err)
			}
		}},
		"decided": {want: ErrRejected, decide: func(context.Context, *Opened) error { return fmt.Errorf("no room: %w", ErrRejected) }},
	} {
		for _, connected := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/connected=%v", name, connected), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					if c.age > 0 {
						c.terms.Expires = time.Now().Add(-c.age)
					}
					b, i := testBook(t, c.terms)
					if c.before != nil {
						c.before(t, b, i)
					}
					decide := c.decide
					if decide == nil {
						decide = func(context.Context, *Opened) error { t.Error("the member was asked"); return nil }
					}
					w := newWorld(t, connected)
					member, guest := w.place(nil), w.place(nil)
					stop := serve(t, member, b, decide)
					if _, err := guest.Ask(t.Context(), candidate(t, i, "me")); !errors.Is(err, c.want) {
						t.Errorf("the guest is told %v", err)
					}
					stop()
					guest.end()
					member.end()
				})
			})
		}
	}
}

// An error of the handler is no answer; the next try may get one.
func TestErrorsAreNoAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		b, i := testBook(t, Terms{EncryptionKey: &[32]byte{7}, Data: []byte("x"), Uses: 1})
		member, guest := w.place(nil), w.place(nil)
		tries := 0
		stop := serve(t, member, b, func(context.Context, *Opened) error {
			if tries++; tries < 3 {
				return errors.New("not now")
			}
			return nil
		})
		a, err := guest.Ask(t.Context(), candidate(t, i, "me"))
		checkAnswer(t, a, err, "x")
		if tries != 3 {
			t.Errorf("%d tries", tries)
		}
		stop()
		guest.end()
		member.end()
	})
}

func TestOnePartAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, true)
		b, i := testBook(t, Terms{})
		p := w.place(nil)
		stop := serve(t, p, b, welcome)
		ctx, cancel := context.WithCancelCause(t.Context())
		asked := make(chan error, 1)
		go func() { _, err := p.Ask(ctx, candidate(t, i, "me")); asked <- err }()
		synctest.Wait()
		if err := p.Serve(t.Context(), testKey.Discovery(), nil); !errors.Is(err, ErrActive) {
			t.Errorf("a second member: %v", err)
		}
		if _, err := p.Ask(t.Context(), candidate(t, i, "you")); !errors.Is(err, ErrActive) {
			t.Errorf("a second candidate: %v", err)
		}
		why := errors.New("enough")
		cancel(why)
		if err := <-asked; !errors.Is(err, why) {
			t.Errorf("ended with %v", err)
		}
		stop()
		p.end()
		if err := p.Serve(t.Context(), testKey.Discovery(), nil); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestCloseEndsBothParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		b, _ := testBook(t, Terms{})
		p := w.place(nil)
		stop := serve(t, p, b, welcome)
		asked := make(chan error, 1)
		go func() {
			_, err := p.Ask(t.Context(), candidate(t, NewInvite(hypercrypto.Key{1}), "me"))
			asked <- err
		}()
		time.Sleep(time.Minute)
		p.end()
		if err := <-asked; !errors.Is(err, ErrClosed) {
			t.Errorf("the candidate ends with %v", err)
		}
		stop()
		for topic, at := range w.at {
			for _, roles := range at {
				if roles[Server] != 0 || roles[Client] != 0 {
					t.Errorf("somebody is still at %v: %v", topic, roles)
				}
			}
		}
	})
}

// A peer that sends what is no request, or too many, costs a bounded number of
// handlers, and does not keep others out.
func TestFloodsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, true)
		b, i := testBook(t, Terms{EncryptionKey: &[32]byte{7}, Data: []byte("x")})
		member, flood, guest := w.place(nil), w.place(nil), w.place(nil)
		var running, most atomic.Int32
		stop := serve(t, member, b, func(ctx context.Context, o *Opened) error {
			n := running.Add(1)
			defer running.Add(-1)
			if n > most.Load() {
				most.Store(n)
			}
			if string(o.Receipt.UserData) != "me" {
				<-ctx.Done() // a person who thinks about it
				return ctx.Err()
			}
			return nil
		})
		connect(flood, member)
		synctest.Wait()
		log := testKey.Discovery()
		flood.Pairing.mu.Lock()
		var m *protomux.Mux
		for m = range flood.muxes {
		}
		flood.Pairing.mu.Unlock()
		ch, err := m.Open(protomux.ChannelOptions{Protocol: protocol, ID: log[:]})
		if err != nil {
			t.Fatal(err)
		}
		junk := make([]byte, 3*maxRequest)
		rand.Read(junk)
		for n := range 500 {
			ch.Send(typeRequest, junk[:n])
			ch.Send(typeRequest, compact.AppendBuffer(nil, junk[:n]))
			ch.Send(typeRequest, compact.AppendBuffer(nil, candidate(t, i, fmt.Sprint("flood ", n)).Request.AppendTo(nil)))
			ch.Send(typeAnswer, compact.AppendBuffer(nil, junk))
		}
		synctest.Wait()
		a, err := guest.Ask(t.Context(), candidate(t, i, "me"))
		checkAnswer(t, a, err, "x")
		if n := most.Load(); n > 2 {
			t.Errorf("%d handlers ran for one connection and a guest", n)
		}
		stop()
		for _, p := range []*place{guest, flood, member} {
			p.end()
		}
	})
}

// Announcements without a record behind them, however many, cost a bounded number
// of queries per search and do not hide the one that has one for ever.
func TestAnnouncementsOfNothingAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		b, i := testBook(t, Terms{EncryptionKey: &[32]byte{7}, Data: []byte("x")})
		member, guest := w.place(nil), w.place(nil)
		for range 3 * maxPerPoll {
			kp := hypercrypto.NewKeyPair()
			member.Announce(t.Context(), RecordTopic(testKey.Discovery()), kp)
			if kp.Public[0] < 128 {
				member.Put(t.Context(), kp, []byte("junk"))
			}
		}
		c := candidate(t, i, "me")
		ask, reply := RecordKeys(c.Token())
		guest.Put(t.Context(), ask, c.Request.AppendTo(nil))
		guest.Announce(t.Context(), RecordTopic(testKey.Discovery()), ask)
		stop := serve(t, member, b, welcome)
		for round := 1; ; round++ {
			time.Sleep(11 * time.Minute)
			w.mu.Lock()
			gets, answer := w.gets, w.records[reply.Public]
			w.mu.Unlock()
			if gets > 2*round*maxPerPoll {
				t.Errorf("%d gets after %d rounds", gets, round)
			}
			if answer != nil {
				a, err := c.Receive(answer)
				checkAnswer(t, a, err, "x")
				break
			}
			if round > 10 {
				t.Fatal("the request was never answered")
			}
		}
		stop()
		guest.end()
		member.end()
	})
}

// The same request over a connection and as a record is decided once.
func TestOneDecisionForAllWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, true)
		b, i := testBook(t, Terms{EncryptionKey: &[32]byte{7}, Data: []byte("x"), Uses: 1})
		member, guest := w.place(nil), w.place(nil)
		var decisions atomic.Int32
		stop := serve(t, member, b, func(context.Context, *Opened) error {
			decisions.Add(1)
			time.Sleep(time.Hour)
			return nil
		})
		a, err := guest.Ask(t.Context(), candidate(t, i, "me"))
		checkAnswer(t, a, err, "x")
		time.Sleep(time.Hour)
		if n := decisions.Load(); n != 1 {
			t.Errorf("%d decisions", n)
		}
		stop()
		guest.end()
		member.end()
	})
}

func TestRecentForgetsTheOldest(t *testing.T) {
	r := newRecent[int](3)
	for i := range 10 {
		r.add(i)
		r.add(i)
		for k := range 10 {
			if r.has(k) != (k <= i && k > i-3) {
				t.Errorf("after %d: %d is there: %v", i, k, r.has(k))
			}
		}
	}
}

func FuzzBuffer(f *testing.F) {
	f.Add([]byte{1, 2})
	f.Add([]byte{0xfd, 0, 8})
	f.Fuzz(func(t *testing.T, b []byte) {
		if out, ok := buffer(b, 100); ok && (len(out) > 100 || !bytes.Contains(b, out)) {
			t.Fatalf("%x gives %x", b, out)
		}
	})
}
