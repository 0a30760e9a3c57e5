package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/tradle/cloudpal/hyper/dhtrelay"
	"github.com/tradle/cloudpal/hyper/hyperdht"
	"github.com/tradle/cloudpal/internal/fault"
)

// RelayOptions configures a relay that lends a DHT node to peers that have only
// a WebSocket.
type RelayOptions struct {
	DHT DHTOptions
	// HTTP is the HOST:PORT to answer at; port 0 picks a free one.
	HTTP string
	// Cert and Key are files for TLS. Both empty: none.
	Cert, Key string
	// BehindProxy says that a proxy adds the client's address to X-Forwarded-For.
	BehindProxy bool
	// MaxClients is the number of clients at a time; 0 is the default.
	MaxClients int
}

// forwardedFor returns the address that the nearest proxy has seen. What stands
// in front of it the client may have made up.
func forwardedFor(r *http.Request) string {
	all := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
	return strings.TrimSpace(all[strings.LastIndexByte(all, ',')+1:])
}

// RunRelay runs a relay until ctx ends. ready is called with its URL once the
// node has joined the DHT, and whether strangers on the way can read along.
func RunRelay(ctx context.Context, o RelayOptions, ready func(url string, exposed bool)) (err error) {
	if (o.Cert == "") != (o.Key == "") {
		return fault.New(fault.Usage, "TLS needs a certificate and its key").Hint("give --cert and --key, or neither")
	}
	if o.DHT.Log == nil {
		o.DHT.Log = slog.New(slog.DiscardHandler)
	}
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp", o.HTTP)
	if err != nil {
		return fault.WithHint(fmt.Errorf("answer at %s: %w", o.HTTP, err), "port 0 picks a free one: --http 127.0.0.1:0")
	}
	defer l.Close()
	d, err := o.DHT.open()
	if err != nil {
		return fmt.Errorf("run a DHT node: %w", err)
	}
	defer func() { err = errors.Join(err, closeDHT(d)) }()
	if err := d.Ready(ctx); err != nil {
		return fmt.Errorf("join the DHT: %w", err)
	}
	opts := &dhtrelay.Options{MaxClients: o.MaxClients, Log: o.DHT.Log}
	if o.BehindProxy {
		opts.Address = forwardedFor
	}
	relay := dhtrelay.New(dhtrelay.DHT(d), opts)
	server := &http.Server{
		Handler:           relay,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          serverLog(o.DHT.Log),
	}
	serve, scheme := func() error { return server.Serve(l) }, "ws://"
	if o.Cert != "" {
		serve, scheme = func() error { return server.ServeTLS(l, o.Cert, o.Key) }, "wss://"
	}
	served := make(chan error, 1)
	go func() { served <- serve() }()
	tcp, _ := l.Addr().(*net.TCPAddr)
	ready(scheme+l.Addr().String(), o.Cert == "" && (tcp == nil || !tcp.IP.IsLoopback()))
	select {
	case <-ctx.Done():
		err = ctx.Err()
	case err = <-served:
		served <- err
		err = fmt.Errorf("answer at %s: %w", o.HTTP, err)
	}
	// Its connections are not the server's any more: the relay ends them.
	err = errors.Join(err, relay.Close(), server.Close())
	if e := <-served; ctx.Err() != nil && !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

func closeDHT(d *hyperdht.DHT) error {
	if err := d.Close(); err != nil {
		return fmt.Errorf("close the DHT node: %w", err)
	}
	return nil
}
