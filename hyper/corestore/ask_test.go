package corestore

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// nowhere is a stream that is not used.
type nowhere struct{ protomux.Stream }

func (nowhere) Close() error { return nil }

// TestStrangeQuestionsAreRejected opens channels for what is no core, and for
// one that is not here. The connection goes on.
func TestStrangeQuestionsAreRejected(t *testing.T) {
	s := open(t, t.TempDir(), nil)
	c := get(t, s, GetOptions{Name: "a"})
	appendTo(t, c, "text")
	x, y := net.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		conn, err := secretstream.Server(ctx, y, nil)
		if err == nil {
			err = s.Replicate(ctx, conn)
		}
		served <- err
	}()
	conn, err := secretstream.Client(ctx, x, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := protomux.New(conn, nil)
	ran := make(chan error, 1)
	go func() { ran <- m.Run(ctx) }()
	dk := c.DiscoveryKey()
	for name, id := range map[string][]byte{
		"a short name":     {1, 2, 3},
		"no name":          nil,
		"a long name":      append(dk[:], 0),
		"an unknown core":  make([]byte, 32),
		"another protocol": dk[:],
	} {
		protocol := protocol
		if name == "another protocol" {
			protocol = "hyperspace"
		}
		closed := make(chan bool, 1)
		_, err := m.Open(protomux.ChannelOptions{Protocol: protocol, ID: id, OnClose: func(_ *protomux.Channel, remote bool) { closed <- remote }})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case remote := <-closed:
			if !remote {
				t.Errorf("%s: not rejected", name)
			}
		case err := <-ran:
			t.Fatalf("%s: the connection ended: %v", name, err)
		case <-patient(t).Done():
			t.Fatalf("%s: no answer", name)
		}
	}
	n := 0
	for _, err := range s.List() {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("%d cores are stored now", n)
	}
	cancel()
	<-ran
	if err := <-served; err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("replicate: %v", err)
	}
	var unknown hypercrypto.DiscoveryKey
	if s.entryOf(unknown) != nil {
		t.Error("the unknown core is open")
	}
}
