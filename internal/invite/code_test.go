package invite

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/handoff"
)

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

func TestAnInviteIsTold(t *testing.T) {
	i := blindpairing.NewInvite(hypercrypto.Key{1})
	w, codes, done := &wire{make(chan net.Conn, 1)}, make(chan string, 1), make(chan error, 1)
	go func() {
		_, err := Tell(t.Context(), w, handoff.Options{Watch: handoff.Watcher{Code: func(c string) { codes <- c }}}, i)
		done <- err
	}()
	got, _, err := Hear(t.Context(), w, handoff.Options{Code: <-codes, Patience: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if got.Text() != i.Text() {
		t.Error("another invite was heard")
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestATextThatIsNoInviteIsRefused(t *testing.T) {
	w, codes := &wire{make(chan net.Conn, 1)}, make(chan string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = handoff.Tell(t.Context(), w, handoff.Options{Watch: handoff.Watcher{Code: func(c string) { codes <- c }}}, "hello")
	}()
	if _, _, err := Hear(t.Context(), w, handoff.Options{Code: <-codes, Patience: time.Minute}); fault.KindOf(err) != fault.Usage {
		t.Errorf("heard: %v", err)
	}
	<-done
}
