package program

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"

	"github.com/tradle/cloudpal/bench/internal/meter"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// ready is the first line of a server program.
type ready struct {
	Ready      bool   `json:"ready"`
	Key        string `json:"key"`
	Length     uint64 `json:"length"`
	ByteLength uint64 `json:"byteLength"`
	Port       int    `json:"port"`
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
	transport := f.String("transport", "tcp", "only tcp")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *transport != "tcp" {
		return errors.New("--transport must be tcp")
	}
	core, err := openLog(ctx, *dir, hypercore.Options{})
	if err != nil {
		return err
	}
	defer core.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	go accept(ctx, l, func(conn *secretstream.Conn) {
		if a, err := attach(ctx, core.Core, conn); err == nil {
			<-a.done
		}
	})
	return io.serve(ready{Ready: true, Key: core.Key().Hex(), Length: core.Length(), ByteLength: core.ByteLength(), Port: l.Addr().(*net.TCPAddr).Port})
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
