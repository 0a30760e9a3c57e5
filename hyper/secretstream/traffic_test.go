package secretstream

import (
	"errors"
	"net"
	"testing"
	"time"
)

func waitDone(t *testing.T, c *Conn) {
	t.Helper()
	select {
	case <-c.Done():
	case <-time.After(time.Minute):
		t.Fatal("the connection does not end")
	}
}

func TestTrafficCountsMessagesAndNotHeaders(t *testing.T) {
	a, b := tcpPair(t)
	client, server := connect(t, a, b, nil, nil)
	if got := client.Traffic(); got != (Traffic{}) {
		t.Fatalf("%+v before the first message", got)
	}
	deadline := time.Now().Add(time.Minute)
	for client.Traffic().MessagesSent == 0 {
		if time.Now().After(deadline) {
			t.Fatal("the probe is not sent")
		}
		client.Probe() // gives way to a write under way
		time.Sleep(time.Millisecond)
	}
	greet(t, client, server)
	sent, got := client.Traffic(), server.Traffic()
	if sent.MessagesReceived != 0 || got.MessagesSent != 0 || got.MessagesReceived == 0 || got.BytesReceived == 0 {
		t.Errorf("sent %+v, received %+v", sent, got)
	}
	if sent.BytesSent < 2*20 {
		t.Errorf("sent %d bytes", sent.BytesSent)
	}
}

func TestDoneTellsOfEveryEnd(t *testing.T) {
	a, b := tcpPair(t)
	client, server := connect(t, a, b, nil, nil)
	if client.Err() != nil {
		t.Error("it has ended before it began")
	}
	client.Close()
	waitDone(t, client)
	if !errors.Is(client.Err(), net.ErrClosed) {
		t.Errorf("ended by %v", client.Err())
	}
	server.ReadFrame()
	server.Close()
	waitDone(t, server)
	client.Probe() // is of no consequence
}
