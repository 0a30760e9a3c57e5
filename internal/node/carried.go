package node

import (
	"sync"

	"github.com/tradle/cloudpal/hyper/hyperswarm"
)

// carried adds up what connections carry. The sums never fall.
type carried struct {
	mu   sync.Mutex // guards what follows
	open map[*hyperswarm.Conn]struct{}
	traffic
}

// traffic is a number of bytes in each direction, and of connections.
type traffic struct{ sent, received, connections uint64 }

// begin counts a connection until end is called.
func (c *carried) begin(conn *hyperswarm.Conn) (end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = make(map[*hyperswarm.Conn]struct{})
	}
	c.open[conn] = struct{}{}
	c.connections++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.open, conn)
		c.add(conn)
	}
}

func (t *traffic) add(conn *hyperswarm.Conn) {
	now := conn.Traffic()
	t.sent += now.BytesSent
	t.received += now.BytesReceived
}

// total returns the sums as they are now.
func (c *carried) total() traffic {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.traffic
	for conn := range c.open {
		t.add(conn)
	}
	return t
}
