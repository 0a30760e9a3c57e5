package program

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"

	"github.com/tradle/cloudpal/bench/internal/meter"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
	"github.com/tradle/cloudpal/hyper/protomux"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// ready is the first line of a server program.
type ready struct {
	Ready      bool   `json:"ready"`
	Key        string `json:"key"`
	Length     uint64 `json:"length"`
	ByteLength uint64 `json:"byteLength"`
	Port       int    `json:"port,omitempty"`

	// How to find it by the DHT.
	Bootstrap []contact `json:"bootstrap,omitempty"`
	PublicKey string    `json:"publicKey,omitempty"`
}

// contact is an address as JavaScript's DHT takes it.
type contact struct {
	Host string `json:"host"`
	Port uint16 `json:"port"`
}

// served is its last one.
type served struct {
	CPU     float64 `json:"cpu_s"`
	PeakRSS float64 `json:"peak_rss_mb"`
}

// replServe serves the log in dir until its input ends.
func replServe(ctx context.Context, io IO, args []string) error {
	f := io.flags("repl-serve")
	dir := f.String("dir", "", "`folder` of the log")
	transport := f.String("transport", "tcp", "tcp or dht")
	if err := f.Parse(args); err != nil {
		return err
	}
	core, err := openLog(ctx, *dir, hypercore.Options{})
	if err != nil {
		return err
	}
	defer core.Close()
	first := ready{Ready: true, Key: core.Key().Hex(), Length: core.Length(), ByteLength: core.ByteLength()}
	serve := func(conn protomux.Stream) {
		if a, err := attach(ctx, core.Core, conn); err == nil {
			<-a.done
		}
	}
	switch *transport {
	case "tcp":
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close()
		go accept(ctx, l, func(c *secretstream.Conn) { serve(c) })
		first.Port = l.Addr().(*net.TCPAddr).Port
	case "dht":
		t, err := newTestnet(ctx, 3)
		if err != nil {
			return err
		}
		defer t.close()
		d, err := t.node(ctx, hyperdht.Ephemeral)
		if err != nil {
			return err
		}
		defer d.Close()
		server, err := d.Listen(ctx, hypercrypto.NewKeyPair(), nil)
		if err != nil {
			return err
		}
		go func() {
			for {
				c, err := server.Accept(ctx)
				if err != nil {
					return
				}
				go serve(c)
			}
		}()
		key := server.PublicKey()
		first.PublicKey = hex.EncodeToString(key[:])
		for _, b := range t.nodes[:1] {
			first.Bootstrap = append(first.Bootstrap, contact{b.LocalAddr().Addr().String(), b.LocalAddr().Port()})
		}
	default:
		return errors.New("--transport must be tcp or dht")
	}
	return io.serve(first)
}

// serve prints first, waits for the end of the input and prints what the
// program used meanwhile.
func (o IO) serve(first any) error {
	out := json.NewEncoder(o.Stdout)
	if err := out.Encode(first); err != nil {
		return err
	}
	cpu := meter.CPU()
	if _, err := io.Copy(io.Discard, o.Stdin); err != nil {
		return err
	}
	return out.Encode(served{CPU: meter.Round(meter.CPU() - cpu), PeakRSS: meter.Round(meter.PeakRSS())})
}
