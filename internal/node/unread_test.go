package node

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
)

// A request whose client does not read, as one that was stopped by its terminal, is told
// of peers. Everybody else goes on.
func TestAClientThatDoesNotReadHoldsNobodyUp(t *testing.T) {
	n := open(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	body := `{"path":"` + t.TempDir() + `","peers":["tcp://127.0.0.1:1"]}`
	req, err := http.NewRequestWithContext(ctx, "POST", "http://cloudpal/v1/share", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Memory(n.Handler()).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	dialed := func() bool {
		n.network.mu.Lock()
		defer n.network.mu.Unlock()
		return len(n.network.dialers) > 0
	}
	for until := time.Now().Add(time.Minute); !dialed(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the peer is not dialed")
		}
	}
	told := make(chan []api.Peer)
	go func() {
		// The attempt fails and is told of, again and again.
		for peers := n.network.peers(); ; peers = n.network.peers() {
			if len(peers) == 1 && peers[0].State == "retrying" {
				told <- peers
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	select {
	case <-told:
	case <-time.After(time.Minute):
		t.Error("the network waits for the client")
	}
}
