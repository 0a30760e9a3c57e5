package blindpairing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

func answerOf(t testing.TB, b *Book, c *Candidate, decide func(context.Context, *Opened) error) (*Answer, error) {
	t.Helper()
	r, err := b.Answer(t.Context(), c.Request, decide)
	if err != nil {
		return nil, err
	}
	return c.Receive(r.Message)
}

func TestUsesAreCounted(t *testing.T) {
	b, i := testBook(t, Terms{Uses: 2})
	for n, want := range []error{nil, nil, ErrUsed, ErrUsed} {
		if _, err := answerOf(t, b, candidate(t, i, fmt.Sprint(n)), welcome); !errors.Is(err, want) {
			t.Errorf("candidate %d: %v, want %v", n, err, want)
		}
	}
	// Who was accepted stays accepted.
	if _, err := answerOf(t, b, candidate(t, i, "0"), func(context.Context, *Opened) error { t.Error("asked again"); return nil }); err != nil {
		t.Error(err)
	}
	if e := b.Entries(); len(e) != 1 || e[0].Accepted != 2 || e[0].Refused != 2 {
		t.Errorf("%+v", e)
	}
}

// However many candidates come at once, no more are accepted than the terms allow.
func TestUsesAreCountedConcurrently(t *testing.T) {
	b, i := testBook(t, Terms{Uses: 3})
	var wg sync.WaitGroup
	var mu sync.Mutex
	accepted := 0
	for n := range 40 {
		wg.Go(func() {
			_, err := answerOf(t, b, candidate(t, i, fmt.Sprint(n)), func(context.Context, *Opened) error {
				if n%3 == 0 {
					return ErrRejected
				}
				return nil
			})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				accepted++
			case !errors.Is(err, ErrUsed) && !errors.Is(err, ErrRejected) && !errors.Is(err, errUndecided):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if e := b.Entries()[0]; accepted > 3 || e.Accepted != accepted {
		t.Errorf("%d were accepted, %d noted", accepted, e.Accepted)
	}
}

func TestNoSessionGetsTwoAnswers(t *testing.T) {
	b, i := testBook(t, Terms{EncryptionKey: &[32]byte{7}, Data: []byte("x")})
	c := candidate(t, i, "me")
	first, err := b.Answer(t.Context(), c.Request, welcome)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Revoke(t.Context(), i.ID()); err != nil {
		t.Fatal(err)
	}
	again, err := b.Answer(t.Context(), c.Request, welcome)
	if err != nil || !bytes.Equal(first.Message, again.Message) {
		t.Errorf("another answer: %v", err)
	}
	if _, err := answerOf(t, b, candidate(t, i, "you"), welcome); !errors.Is(err, ErrRejected) {
		t.Errorf("revoked: %v", err)
	}
}

// What was not kept did not happen.
func TestNothingIsAnsweredBeforeItIsKept(t *testing.T) {
	var kept []byte
	var failure error
	b := NewBook(func(_ context.Context, state []byte) error {
		if failure == nil {
			kept = slices.Clone(state)
		}
		return failure
	})
	i, err := b.Create(t.Context(), Terms{Key: testKey, Uses: 1}, Hints{})
	if err != nil {
		t.Fatal(err)
	}
	failure = errors.New("disk full")
	c := candidate(t, i, "me")
	if _, err := answerOf(t, b, c, welcome); !errors.Is(err, failure) {
		t.Errorf("answered: %v", err)
	}
	if _, err := b.Create(t.Context(), Terms{Key: testKey}, Hints{}); !errors.Is(err, failure) || len(b.Entries()) != 1 {
		t.Errorf("created: %v", err)
	}
	if err := b.Revoke(t.Context(), i.ID()); !errors.Is(err, failure) || b.Entries()[0].Revoked {
		t.Errorf("revoked: %v", err)
	}
	failure = nil
	if _, err := answerOf(t, b, c, welcome); err != nil {
		t.Errorf("the use is lost: %v", err)
	}
	b2, err := LoadBook(kept, forgetful)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := answerOf(t, b2, candidate(t, i, "you"), welcome); !errors.Is(err, ErrUsed) {
		t.Errorf("after a restart: %v", err)
	}
	if _, err := answerOf(t, b2, c, nil); err != nil {
		t.Errorf("the accepted one after a restart: %v", err)
	}
}

func TestForgottenAndUnknownInvitesGetNoAnswer(t *testing.T) {
	b, i := testBook(t, Terms{})
	if err := b.Forget(t.Context(), i.ID()); err != nil {
		t.Fatal(err)
	}
	if _, err := answerOf(t, b, candidate(t, i, "me"), welcome); !errors.Is(err, ErrUnknownInvite) {
		t.Errorf("%v", err)
	}
	for name, err := range map[string]error{"revoke": b.Revoke(t.Context(), i.ID()), "forget": b.Forget(t.Context(), i.ID())} {
		if !errors.Is(err, ErrUnknownInvite) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// An invite that only names one of the book's.
	b, i = testBook(t, Terms{})
	c := candidate(t, i, "me")
	c.Request.sealed[0] ^= 1
	if _, err := b.Answer(t.Context(), c.Request, welcome); !errors.Is(err, ErrRequest) {
		t.Errorf("a forged request: %v", err)
	}
}

func TestBooksAreBounded(t *testing.T) {
	b, i := testBook(t, Terms{})
	for n := range MaxAnswered {
		if _, err := answerOf(t, b, candidate(t, i, fmt.Sprint(n)), welcome); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := answerOf(t, b, candidate(t, i, "one more"), welcome); !errors.Is(err, ErrFull) {
		t.Errorf("one answer more: %v", err)
	}
	for len(b.Entries()) < MaxInvites {
		if _, err := b.Create(t.Context(), Terms{Key: testKey}, Hints{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Create(t.Context(), Terms{Key: testKey}, Hints{}); !errors.Is(err, ErrFull) {
		t.Errorf("one invite more: %v", err)
	}
	for name, terms := range map[string]Terms{"data": {Data: make([]byte, MaxData+1)}, "uses": {Uses: -1}} {
		if _, err := b.Create(t.Context(), terms, Hints{}); err == nil || errors.Is(err, ErrFull) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBooksSurviveWriting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var state []byte
		b := NewBook(func(_ context.Context, s []byte) error { state = slices.Clone(s); return nil })
		for range rapid.IntRange(1, 4).Draw(t, "invites") {
			terms := Terms{Key: testKey, Uses: rapid.IntRange(0, 3).Draw(t, "uses"), Data: rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "data")}
			if rapid.Bool().Draw(t, "encrypted") {
				terms.EncryptionKey = &[32]byte{9}
			}
			if rapid.Bool().Draw(t, "expires") {
				terms.Expires = time.Now().Add(time.Hour)
			}
			i, err := b.Create(context.Background(), terms, Hints{})
			if err != nil {
				t.Fatal(err)
			}
			for n := range rapid.IntRange(0, 4).Draw(t, "requests") {
				c, err := NewCandidate(i, []byte{byte(n)})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := b.Answer(context.Background(), c.Request, welcome); err != nil {
					t.Fatal(err)
				}
			}
			if rapid.Bool().Draw(t, "revoke") {
				if err := b.Revoke(context.Background(), i.ID()); err != nil {
					t.Fatal(err)
				}
			}
		}
		again, err := LoadBook(state, forgetful)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendBook(nil, again.invites); !bytes.Equal(got, state) {
			t.Fatalf("%x is read and written as %x", state, got)
		}
		for i, e := range again.Entries() {
			want := b.Entries()[i]
			if e.Accepted != want.Accepted || e.Refused != want.Refused || !e.Expires.Equal(want.Expires) || e.Uses != want.Uses || e.Revoked != want.Revoked || !bytes.Equal(e.Data, want.Data) {
				t.Fatalf("%+v is read as %+v", want, e)
			}
		}
	})
}

func TestDamagedBooksAreRefused(t *testing.T) {
	var state []byte
	b := NewBook(func(_ context.Context, s []byte) error { state = slices.Clone(s); return nil })
	i, err := b.Create(t.Context(), Terms{Key: testKey, EncryptionKey: &[32]byte{1}, Data: []byte("x"), Expires: time.Now().Add(time.Hour)}, Hints{Nodes: nil})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := answerOf(t, b, candidate(t, i, "me"), welcome); err != nil {
		t.Fatal(err)
	}
	for n := range state {
		if _, err := LoadBook(state[:n], forgetful); !errors.Is(err, ErrBook) {
			t.Errorf("%d of %d bytes: %v", n, len(state), err)
		}
	}
	if _, err := LoadBook(append(state, 0), forgetful); !errors.Is(err, ErrBook) {
		t.Errorf("a byte more: %v", err)
	}
}

func FuzzBook(f *testing.F) {
	b := NewBook(func(_ context.Context, s []byte) error { f.Add(slices.Clone(s)); return nil })
	i, err := b.Create(f.Context(), Terms{Key: testKey, EncryptionKey: &[32]byte{1}, Data: []byte("x"), Expires: time.Unix(1e9, 0), Uses: 2}, Hints{})
	if err != nil {
		f.Fatal(err)
	}
	c, err := NewCandidate(i, []byte(strings.Repeat("a", 40)))
	if err != nil {
		f.Fatal(err)
	}
	if _, err := b.Answer(f.Context(), c.Request, welcome); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, state []byte) {
		b, err := LoadBook(state, forgetful)
		if err != nil {
			if !errors.Is(err, ErrBook) {
				t.Fatal(err)
			}
			return
		}
		out := appendBook(nil, b.invites)
		again, err := LoadBook(out, forgetful)
		if err != nil || !bytes.Equal(appendBook(nil, again.invites), out) {
			t.Fatalf("read again: %v", err)
		}
		_ = b.Revoke(t.Context(), hypercrypto.Hash{})
	})
}
