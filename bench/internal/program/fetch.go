package program

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/tradle/cloudpal/bench/internal/meter"
	"github.com/tradle/cloudpal/bench/internal/workload"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// closedPause is the time between the close and the reopening of a log in mode
// resume.
const closedPause = 200 * time.Millisecond

// fetch is a run of repl-fetch: a log is fetched from a peer into an empty store
// that knows only its key.
type fetch struct {
	io        IO
	transport string
	mode      string
	gets      int

	info   ready
	server *server   // nil for transport stream
	local  *logStore // the peer, for transport stream
	dht    *hyperdht.DHT
	key    hypercrypto.Key
	dir    string // of the fetched log

	params, extra meter.Fields
}

func replFetch(ctx context.Context, io IO, args []string) (err error) {
	r := &fetch{io: io}
	f := io.flags("repl-fetch")
	dir := f.String("dir", "", "`folder` of the log")
	f.StringVar(&r.transport, "transport", "tcp", "tcp, dht, or stream: a pipe within this process")
	f.StringVar(&r.mode, "mode", "full", "full, sparse or resume")
	f.IntVar(&r.gets, "gets", 1000, "random gets in mode sparse")
	command := f.String("server", "", "`command` of the server program; default: this one's")
	if err := f.Parse(args); err != nil {
		return err
	}
	run, ok := map[string]func(context.Context) error{"full": r.full, "sparse": r.sparse, "resume": r.resume}[r.mode]
	if !ok {
		return fmt.Errorf("unknown mode %q", r.mode)
	}
	switch r.transport {
	case "tcp", "dht":
		r.server, err = startServer(ctx, io, *command, "repl-serve", []string{"--dir", *dir, "--transport", r.transport}, &r.info)
		if err != nil {
			return err
		}
		defer r.server.kill()
		if r.transport == "dht" {
			if err := r.joinDHT(ctx); err != nil {
				return err
			}
			defer r.dht.Close()
		}
	case "stream":
		if r.local, err = openLog(ctx, *dir, hypercore.Options{}); err != nil {
			return err
		}
		defer r.local.Close()
		r.info = ready{Key: r.local.Key().Hex(), Length: r.local.Length(), ByteLength: r.local.ByteLength()}
	default:
		return fmt.Errorf("unknown transport %q", r.transport)
	}
	if r.key, err = hypercrypto.ParseKey(r.info.Key); err != nil {
		return err
	}
	tmp, remove, err := tempDir("fetch")
	if err != nil {
		return err
	}
	defer remove()
	r.dir = filepath.Join(tmp, "store")
	r.params = meter.Fields{"transport": r.transport, "mode": r.mode, "blocks": r.info.Length, "bytes": r.info.ByteLength}
	r.extra = meter.Fields{}
	return run(ctx)
}

// open opens the fetched log.
func (r *fetch) open(ctx context.Context) (*logStore, error) {
	return openLog(ctx, r.dir, hypercore.Options{Key: &r.key})
}

// joinDHT starts the node that connects.
func (r *fetch) joinDHT(ctx context.Context) (err error) {
	var bootstrap []string
	for _, b := range r.info.Bootstrap {
		bootstrap = append(bootstrap, net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))))
	}
	r.dht, err = joinTestnet(ctx, bootstrap, hyperdht.Ephemeral)
	return err
}

// connect connects core with the peer.
func (r *fetch) connect(ctx context.Context, core *hypercore.Core) (*attachment, error) {
	var raw net.Conn
	var err error
	switch r.transport {
	case "dht":
		key, err := hypercrypto.ParseKey(r.info.PublicKey)
		if err != nil {
			return nil, err
		}
		conn, err := r.dht.Connect(ctx, hypercrypto.PublicKey(key), nil)
		if err != nil {
			return nil, err
		}
		return attach(ctx, core, conn)
	case "tcp":
		raw, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.info.Port))
	default:
		var far net.Conn
		raw, far = net.Pipe()
		go func() {
			if conn, err := secretstream.Server(ctx, far, nil); err == nil {
				attach(ctx, r.local.Core, conn) // if it fails the connection is closed, which the other side sees
			}
		}()
	}
	if err != nil {
		return nil, err
	}
	conn, err := secretstream.Client(ctx, raw, nil)
	if err != nil {
		return nil, err
	}
	return attach(ctx, core, conn)
}

// begin opens the log, connects and waits for the first block.
func (r *fetch) begin(ctx context.Context) (core *logStore, a *attachment, start time.Time, err error) {
	if core, err = r.open(ctx); err != nil {
		return nil, nil, start, err
	}
	start = time.Now()
	if a, err = r.connect(ctx, core.Core); err != nil {
		return nil, nil, start, err
	}
	opened := time.Now()
	if _, err = core.Get(ctx, 0); err != nil {
		return nil, nil, start, err
	}
	first := time.Now()
	r.extra["connect_ms"] = meter.Ms(opened.Sub(start))
	r.extra["first_block_after_connect_start_ms"] = meter.Ms(first.Sub(start))
	r.extra["first_block_after_open_ms"] = meter.Ms(first.Sub(opened))
	return core, a, start, nil
}

func download(ctx context.Context, core *hypercore.Core, start, end uint64) error {
	d := core.Download(hypercore.Range{Start: start, End: end})
	defer d.Close()
	return d.Wait(ctx)
}

// full fetches everything.
func (r *fetch) full(ctx context.Context) error {
	cpu := meter.CPU()
	core, a, start, err := r.begin(ctx)
	if err != nil {
		return err
	}
	defer core.Close()
	defer a.Close()
	if err := download(ctx, core.Core, 0, r.info.Length); err != nil {
		return err
	}
	took := time.Since(start)
	r.extra["ms"], r.extra["blocks_per_s"], r.extra["cpu_client_s"] = meter.Ms(took), float64(r.info.Length)/took.Seconds(), meter.CPU()-cpu
	r.extra["rss_mb"], r.extra["peak_rss_mb"] = meter.RSS(), meter.PeakRSS()
	closing := time.Now()
	a.Close()
	if err := core.Close(); err != nil {
		return err
	}
	r.extra["close_ms"] = meter.Ms(time.Since(closing))
	if r.server != nil {
		used, err := r.server.stop()
		if err != nil {
			return err
		}
		r.extra["cpu_server_s"], r.extra["peak_rss_server_mb"] = used.CPU, used.PeakRSS
	}
	return r.io.print("repl-full", float64(r.info.ByteLength)/1e6/took.Seconds(), "MB/s", r.params, r.extra)
}

// sparse fetches random blocks, one at a time.
func (r *fetch) sparse(ctx context.Context) error {
	core, a, _, err := r.begin(ctx)
	if err != nil {
		return err
	}
	defer core.Close()
	defer a.Close()
	rng := workload.NewRNG(7)
	var lat meter.Latencies
	cpu := meter.CPU()
	for range r.gets {
		i, start := rng.Intn(r.info.Length), time.Now()
		if _, err := core.Get(ctx, i); err != nil {
			return err
		}
		lat = append(lat, time.Since(start))
	}
	r.extra["cpu_s"] = meter.CPU() - cpu
	r.extra["p90_ms"], r.extra["p99_ms"], r.extra["max_ms"] = lat.Percentile(0.9), lat.Percentile(0.99), lat.Percentile(1)
	r.extra["gets_per_s"] = float64(len(lat)) / lat.Sum().Seconds()
	r.params["gets"] = r.gets
	return r.io.print("repl-sparse", lat.Percentile(0.5), "ms", r.params, r.extra)
}

// resume fetches half, closes everything, opens again and fetches the rest.
func (r *fetch) resume(ctx context.Context) error {
	core, a, start, err := r.begin(ctx)
	if err != nil {
		return err
	}
	half := r.info.Length / 2
	if err := download(ctx, core.Core, 0, half); err != nil {
		return err
	}
	r.extra["first_half_ms"] = meter.Ms(time.Since(start))
	a.Close()
	if err := core.Close(); err != nil {
		return err
	}
	select {
	case <-time.After(closedPause):
	case <-ctx.Done():
		return ctx.Err()
	}

	cpu, closed := meter.CPU(), time.Now()
	if core, err = r.open(ctx); err != nil {
		return err
	}
	defer core.Close()
	reopened := time.Now()
	if a, err = r.connect(ctx, core.Core); err != nil {
		return err
	}
	defer a.Close()
	connected := time.Now()
	if _, err := core.Get(ctx, half); err != nil {
		return err
	}
	got := time.Now()
	if err := download(ctx, core.Core, half, r.info.Length); err != nil {
		return err
	}
	r.extra["second_half_ms"] = meter.Ms(time.Since(reopened))
	r.extra["reopen_ms"], r.extra["reconnect_open_ms"] = meter.Ms(reopened.Sub(closed)), meter.Ms(connected.Sub(reopened))
	r.extra["cpu_s"] = meter.CPU() - cpu
	return r.io.print("repl-resume", meter.Ms(got.Sub(reopened)), "ms", r.params, r.extra)
}
