package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/fault"
)

// UpOptions says what a node does that stays up.
type UpOptions struct {
	// Connect are the connections that it keeps.
	Connect api.Connect
	// HTTP is the HOST:PORT at which the API answers besides the socket, to who has
	// the token. Empty is none, port 0 picks a free one.
	HTTP string
	// Exposed allows HTTP to be more than a loopback address.
	Exposed bool
}

// Up keeps the node up until ctx ends: it runs everything that runs all the time.
// ready is called once all of that works.
func (n *Node) Up(ctx context.Context, o UpOptions, ready func(api.Up)) error {
	var url string
	err := runServices(ctx, n.services(&o, &url), func() {
		listen := n.network.addresses()
		if listen == nil {
			listen = []string{}
		}
		n.opts.Log.Info("up", "version", n.opts.Version, "home", n.opts.Home, "http", url)
		ready(api.Up{Type: api.TypeUp, Home: n.opts.Home, Socket: n.socket, HTTP: url, ID: n.network.keyPair.Public.String(), Listen: listen})
	})
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = nil
	}
	n.opts.Log.Info("stopping", "err", err)
	return err
}

// services are what runs while the node is up, in the order of their start: what
// needs the network comes after it, and who serves others last.
func (n *Node) services(o *UpOptions, url *string) []service {
	list := []service{{"disk", func(ctx context.Context, ready func()) error {
		ready()
		return watchDisk(ctx, n.opts.Home, n.store.DB())
	}}, {"memory", func(ctx context.Context, ready func()) error {
		ready()
		defer limitHeap(n.opts.Memory)()
		n.keepMemory(ctx)
		return ctx.Err()
	}}}
	list = append(list, service{"network", func(ctx context.Context, ready func()) error { return n.stayConnected(ctx, o.Connect, ready) }})
	list = append(list, service{"folders", func(ctx context.Context, ready func()) error {
		ready()
		return n.folders.Run(ctx)
	}})
	if o.HTTP != "" {
		list = append(list, service{"http", func(ctx context.Context, ready func()) error {
			return n.serveHTTP(ctx, o, func(at string) { *url = at; ready() })
		}})
	}
	return list
}

// stayConnected keeps connections, and settles how the node takes part in the DHT for
// all requests to come.
func (n *Node) stayConnected(ctx context.Context, c api.Connect, ready func()) error {
	c.ByKey = true
	leave, err := n.together(ctx, c, func(p api.Peer) {
		n.opts.Log.Debug("peer", "address", p.Address, "state", p.State, "path", p.Path, "err", p.Error)
	}, func([]string) {})
	if err != nil {
		return err
	}
	defer leave()
	ready()
	n.overseeCopies(ctx)
	return ctx.Err()
}

// serveHTTP answers over TCP to who has the token.
func (n *Node) serveHTTP(ctx context.Context, o *UpOptions, ready func(url string)) error {
	loopback, err := n.checkHTTP(ctx, o)
	if err != nil {
		return err
	}
	secret, err := token(n.opts.Home)
	if err != nil {
		return err
	}
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp", o.HTTP)
	if err != nil {
		return cannotListen(o.HTTP, "", err)
	}
	server := &http.Server{
		Handler:           api.Guard(n.handler, secret, loopback),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          serverLog(n.opts.Log),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	ready("http://" + l.Addr().String())
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	// Short requests may end; streams never do.
	short, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if server.Shutdown(short) != nil {
		err = server.Close()
	}
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// checkHTTP refuses an address that others can reach, unless that is meant, and tells
// whether it is a loopback address.
func (n *Node) checkHTTP(ctx context.Context, o *UpOptions) (loopback bool, err error) {
	host, port, err := net.SplitHostPort(o.HTTP)
	if err != nil || port == "" {
		return false, fault.New(fault.Usage, "%q is not HOST:PORT", o.HTTP).Hint("an address looks like 127.0.0.1:4979")
	}
	loopback = host != ""
	if host != "" {
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			return false, fault.New(fault.Usage, "listen on %s: %w", o.HTTP, err)
		}
		for _, a := range addrs {
			loopback = loopback && a.Unmap().IsLoopback()
		}
	}
	if !loopback && !o.Exposed {
		return false, fault.New(fault.Unsafe, "others can reach %s, and read along: the API is not encrypted", o.HTTP).
			Hint("listen on 127.0.0.1").Hint("if a network that you trust is behind it, say --http-exposed")
	}
	return loopback, nil
}

// Healthy tells whether the node can do its work: whether its store answers.
func (n *Node) Healthy(ctx context.Context) error {
	done := make(chan error, 1)
	n.mu.Lock()
	if n.ctx.Err() != nil {
		n.mu.Unlock()
		return fault.New(fault.Closing, "the node is closing")
	}
	n.wg.Add(1)
	n.mu.Unlock()
	go func() {
		defer n.wg.Done()
		if err := n.store.DB().Err(); err != nil {
			done <- diskFailed(n.opts.Home, err)
			return
		}
		for _, err := range n.store.List() {
			done <- err
			return
		}
		done <- nil
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the store does not answer: %w", ctx.Err())
	}
}
