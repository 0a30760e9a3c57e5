package identity_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/identitykey"
	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/handoff"
	"github.com/tradle/cloudpal/internal/identity"
)

func person(t *testing.T) *identity.Identity {
	t.Helper()
	i, err := (&identity.Store{Dir: t.TempDir()}).Create(identitykey.NewMnemonic(), identity.Plain, "", time.Unix(1_770_000_000, 0), false)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func newcomer(t *testing.T) (*identity.Newcomer, *identity.Store) {
	t.Helper()
	s := &identity.Store{Dir: t.TempDir()}
	n, err := s.Newcomer("the laptop", identity.Plain, "")
	if err != nil {
		t.Fatal(err)
	}
	return n, s
}

func TestADeviceJoinsItsPerson(t *testing.T) {
	first := person(t)
	for range 3 { // each vouches for the next
		n, store := newcomer(t)
		here, there := net.Pipe()
		type result struct {
			r   *identity.Request
			err error
		}
		offered := make(chan result, 1)
		go func() {
			r, err := first.Offer(here, func(r identity.Request) ([]byte, error) {
				if r != n.Request() || r.Name != "the laptop" {
					t.Errorf("asked by %+v", r)
				}
				return []byte("welcome"), nil
			})
			offered <- result{r, err}
		}()
		took := false
		i, err := n.Accept(there, func(i *identity.Identity, welcome []byte) error {
			took = string(welcome) == "welcome"
			if _, err := store.Load(); err != nil {
				t.Errorf("it is not kept yet: %v", err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if o := <-offered; o.err != nil || *o.r != n.Request() {
			t.Errorf("offered: %+v, %v", o.r, o.err)
		}
		if i.Person != first.Person || i.Device == first.Device || i.Since() != first.Since() || i.PhraseKept || !took {
			t.Errorf("it is %v, took %v", i, took)
		}
		again, err := store.Unlock("")
		if err != nil || again.Device != i.Device || again.Person != i.Person {
			t.Errorf("kept %v, %v", again, err)
		}
		proof, err := again.Attest([]byte("something"))
		if err != nil {
			t.Fatal(err)
		}
		if err := proof.VerifyData([]byte("something"), identitykey.Expectation{Identity: &first.Person, Device: &i.Device}); err != nil {
			t.Error(err)
		}
		if _, err := store.Newcomer("again", identity.Plain, ""); fault.KindOf(err) != fault.Conflict {
			t.Errorf("it joins twice: %v", err)
		}
		first = again
	}
}

func TestARefusedDeviceKeepsNothing(t *testing.T) {
	first := person(t)
	n, store := newcomer(t)
	here, there := net.Pipe()
	refused := errors.New("not mine")
	offered := make(chan error, 1)
	go func() {
		_, err := first.Offer(here, func(identity.Request) ([]byte, error) { return nil, refused })
		offered <- err
	}()
	if _, err := n.Accept(there, nil); fault.KindOf(err) != fault.Permission {
		t.Errorf("accepted: %v", err)
	}
	if err := <-offered; !errors.Is(err, refused) {
		t.Errorf("offered: %v", err)
	}
	if _, err := store.Load(); fault.KindOf(err) != fault.NotFound {
		t.Errorf("something is kept: %v", err)
	}
}

func TestAProofForAnotherDeviceIsRefused(t *testing.T) {
	first := person(t)
	n, store := newcomer(t)
	other, _ := newcomer(t)
	proof, err := first.AttestDevice(other.Request().Device)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Keep(proof); fault.KindOf(err) != fault.Unsafe {
		t.Errorf("kept: %v", err)
	}
	if _, err := n.Keep(first.Proof); fault.KindOf(err) != fault.Unsafe {
		t.Errorf("kept that of the other device: %v", err)
	}
	if files, err := os.ReadDir(store.Dir); err != nil || len(files) > 0 {
		t.Errorf("%v, %v", files, err)
	}
}

func TestLockedDevicesVouchForNobody(t *testing.T) {
	s := &identity.Store{Dir: t.TempDir()}
	if _, err := s.Create(identitykey.NewMnemonic(), identity.Plain, "", time.Now(), false); err != nil {
		t.Fatal(err)
	}
	locked, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := locked.Offer(nil, nil); fault.KindOf(err) != fault.Permission {
		t.Error(err)
	}
}

// What the other side says is bounded, and nothing of it can harm.
func TestHostileDevices(t *testing.T) {
	first := person(t)
	for name, said := range map[string]string{
		"silence":      "",
		"half a size":  "\x01\x00",
		"too long":     "\xff\xff\xff\x7f",
		"nothing":      "\x00\x00\x00\x00",
		"a version":    "\x01\x00\x00\x00\x09",
		"a long name":  "\x62\x00\x00\x00\x01" + strings.Repeat("k", 32) + "\x40" + strings.Repeat("n", 64),
		"half":         "\x62\x00\x00\x00\x01",
		"more than it": "\x24\x00\x00\x00\x01" + strings.Repeat("k", 32) + "\x01nn",
	} {
		_, err := first.Offer(&said1{strings.NewReader(said)}, func(identity.Request) ([]byte, error) {
			if name != "a long name" {
				t.Errorf("%s: asked", name)
			}
			return nil, errors.New("no")
		})
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		n, store := newcomer(t)
		if _, err := n.Accept(&said1{strings.NewReader(said)}, nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := store.Load(); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s: kept: %v", name, err)
		}
	}
}

// said1 is a stream on which something was said.
type said1 struct{ io.Reader }

func (said1) Write(b []byte) (int, error) { return len(b), nil }

// wire is a rendezvous of one host and one guest in memory.
type wire struct{ ends chan net.Conn }

func (w *wire) Host(ctx context.Context, _ handoff.Topic, accept func(*secretstream.Conn)) error {
	select {
	case c := <-w.ends:
		conn, err := secretstream.Server(ctx, c, nil)
		if err != nil {
			return err
		}
		accept(conn)
	case <-ctx.Done():
	}
	<-ctx.Done()
	return nil
}

func (w *wire) Join(ctx context.Context, _ handoff.Topic) (*secretstream.Conn, error) {
	here, there := net.Pipe()
	w.ends <- there
	return secretstream.Client(ctx, here, nil)
}

// A device joins by a spoken code, whichever side shows it.
func TestADeviceJoinsByASpokenCode(t *testing.T) {
	for _, knownShows := range []bool{true, false} {
		first := person(t)
		n, _ := newcomer(t)
		w, codes := &wire{make(chan net.Conn, 1)}, make(chan string, 1)
		known := func(o handoff.Options) error {
			return handoff.Introduce(t.Context(), w, o, true, func(s io.ReadWriter) error {
				_, err := first.Offer(s, func(identity.Request) ([]byte, error) { return make([]byte, 200_000), nil })
				return err
			})
		}
		var joined *identity.Identity
		fresh := func(o handoff.Options) error {
			return handoff.Introduce(t.Context(), w, o, false, func(s io.ReadWriter) (err error) {
				joined, err = n.Accept(s, func(_ *identity.Identity, welcome []byte) error {
					if len(welcome) != 200_000 {
						t.Errorf("welcomed with %d bytes", len(welcome))
					}
					return nil
				})
				return err
			})
		}
		if !knownShows {
			known, fresh = fresh, known
		}
		done := make(chan error, 1)
		go func() { done <- known(handoff.Options{Watch: handoff.Watcher{Code: func(c string) { codes <- c }}}) }()
		if err := fresh(handoff.Options{Code: <-codes, Patience: time.Minute}); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if joined == nil || joined.Person != first.Person {
			t.Errorf("joined %v", joined)
		}
	}
}
