package udx_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/udx"
)

const patience = 60 * time.Second

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func TestBytesArriveInBothDirectionsAndBothEndsEnd(t *testing.T) {
	a, b := pair(t, nil)
	data := random(5 << 20)
	errs := make(chan error, 3)
	go func() { // echo
		_, err := io.Copy(onlyWriter{b}, onlyReader{b})
		errs <- errors.Join(err, b.CloseWrite())
	}()
	go func() {
		_, err := a.Write(data)
		errs <- errors.Join(err, a.CloseWrite())
	}()
	got, err := io.ReadAll(a)
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("got %d bytes, %v", len(got), err)
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	for _, st := range []*udx.Stream{a, b} {
		wait(t, st)
		if st.Err() != nil {
			t.Fatal(st.Err())
		}
	}
}

func TestCloseResetsTheOtherSide(t *testing.T) {
	a, b := pair(t, nil)
	if _, err := a.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(b, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	a.Close()
	wait(t, b)
	if _, err := b.Read(make([]byte, 1)); err != udx.ErrReset {
		t.Fatalf("read: %v", err)
	}
	if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("write: %v", err)
	}
}

func TestReadDeadlineLosesNothing(t *testing.T) {
	a, b := pair(t, nil)
	b.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := b.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	b.SetReadDeadline(time.Time{})
	a.Write([]byte("late"))
	got := make([]byte, 4)
	if _, err := io.ReadFull(b, got); err != nil || string(got) != "late" {
		t.Fatalf("%q %v", got, err)
	}
}

func wait(t *testing.T, st *udx.Stream) {
	t.Helper()
	select {
	case <-st.Done():
	case <-time.After(patience):
		t.Fatal("the stream does not end")
	}
}

// onlyWriter hides other methods of a stream from io.Copy.
type onlyWriter struct{ io.Writer }
