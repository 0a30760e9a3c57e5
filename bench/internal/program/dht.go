package program

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tradle/cloudpal/bench/internal/meter"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
)

// warmConnects are made one after the other before connects are counted.
const warmConnects = 50

// dht is a network of nodes in this process, a server and a client on it.
type dht struct {
	io             IO
	params         meter.Fields
	server, client *hyperdht.DHT
	key            hypercrypto.PublicKey
}

func dhtWork(ctx context.Context, io IO, args []string) error {
	f := io.flags("dht")
	nodes := f.Int("nodes", 100, "nodes of the network")
	connects := f.Int("connects", 300, "connections to make")
	inflight := f.Int("inflight", 16, "how many of them at once")
	ops := f.Int("ops", 100, "announces, lookups, puts and gets")
	if err := f.Parse(args); err != nil {
		return err
	}
	d := &dht{io: io, params: meter.Fields{"nodes": *nodes}}
	before, began := meter.RSS(), time.Now()
	net, err := newTestnet(ctx, *nodes)
	if err != nil {
		return err
	}
	defer net.close()
	up := time.Since(began)
	debug.FreeOSMemory()
	err = io.print("dht-testnet-up", meter.Ms(up), "ms", d.params,
		meter.Fields{"rss_mb_per_node": (meter.RSS() - before) / float64(*nodes), "rss_mb": meter.RSS(), "rss_before_mb": before})
	if err != nil {
		return err
	}
	if d.server, err = net.node(ctx, hyperdht.Ephemeral); err != nil {
		return err
	}
	defer d.server.Close()
	if d.client, err = net.node(ctx, hyperdht.Ephemeral); err != nil {
		return err
	}
	defer d.client.Close()
	began = time.Now()
	server, err := d.server.Listen(ctx, hypercrypto.NewKeyPair(), nil)
	if err != nil {
		return err
	}
	defer server.Close()
	listening := time.Since(began)
	d.key = server.PublicKey()
	go echo(ctx, server)
	if err := d.connects(ctx, *connects, *inflight, listening); err != nil {
		return err
	}
	return d.records(ctx, *ops)
}

// echo answers every message of every connection.
func echo(ctx context.Context, s *hyperdht.Server) {
	for {
		c, err := s.Accept(ctx)
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			buf := make([]byte, 1024)
			for {
				n, err := c.Read(buf)
				if err != nil {
					return
				}
				if _, err := c.Write(buf[:n]); err != nil {
					return
				}
			}
		}()
	}
}

// connect makes a connection and returns when the server has answered over it.
func (d *dht) connect(ctx context.Context) (*hyperdht.Conn, error) {
	c, err := d.client.Connect(ctx, d.key, nil)
	if err != nil {
		return nil, err
	}
	if _, err := c.Write([]byte("hi")); err != nil {
		c.Close()
		return nil, err
	}
	var answer [2]byte
	if _, err := c.Read(answer[:]); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// once times one connection.
func (d *dht) once(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	c, err := d.connect(ctx)
	if err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, c.Close()
}

func (d *dht) connects(ctx context.Context, connects, inflight int, listening time.Duration) error {
	var warm meter.Latencies
	for range warmConnects {
		took, err := d.once(ctx)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		warm = append(warm, took)
	}
	err := d.io.print("dht-connect-lat", warm.Percentile(0.5), "ms", d.params, meter.Fields{"p99_ms": warm.Percentile(0.99), "listen_ms": meter.Ms(listening)})
	if err != nil {
		return err
	}
	var (
		left atomic.Int64
		mu   sync.Mutex
		lat  meter.Latencies
		errs []error
		wg   sync.WaitGroup
	)
	left.Store(int64(connects))
	cpu, began := meter.CPU(), time.Now()
	for range inflight {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				took, err := d.once(ctx)
				mu.Lock()
				lat, errs = append(lat, took), append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	n := float64(len(lat))
	return d.io.print("dht-connects", n/took.Seconds(), "connects/s", meter.Fields{"nodes": d.params["nodes"], "connects": connects, "inflight": inflight},
		meter.Fields{"p50_ms": lat.Percentile(0.5), "p99_ms": lat.Percentile(0.99), "cpu_ms_per_connect": (meter.CPU() - cpu) / n * 1000})
}

// records announces, looks up, stores and reads.
func (d *dht) records(ctx context.Context, ops int) error {
	kp := hypercrypto.NewKeyPair()
	var announce, lookup, put, get meter.Latencies
	timed := func(l *meter.Latencies, fn func() error) error {
		began := time.Now()
		err := fn()
		*l = append(*l, time.Since(began))
		return err
	}
	for i := range ops {
		var seed [32]byte
		binary.LittleEndian.PutUint32(seed[:], uint32(i+1))
		topic := hypercrypto.Sum(seed[:])
		var hash hypercrypto.Hash
		for _, op := range []struct {
			l  *meter.Latencies
			fn func() error
		}{
			{&announce, func() error {
				_, err := d.client.Announce(ctx, hyperdht.Topic(topic), kp, nil)
				return err
			}},
			{&lookup, func() error {
				n := 0
				for r, err := range d.server.Lookup(ctx, hyperdht.Topic(topic), nil) {
					if err != nil {
						return err
					}
					n += len(r.Peers)
				}
				if n == 0 {
					return errors.New("lookup found nothing")
				}
				return nil
			}},
			{&put, func() (err error) {
				hash, err = d.client.ImmutablePut(ctx, topic[:])
				return err
			}},
			{&get, func() error {
				_, err := d.server.ImmutableGet(ctx, hash)
				return err
			}},
		} {
			if err := timed(op.l, op.fn); err != nil {
				return err
			}
		}
	}
	for _, r := range []struct {
		name string
		l    meter.Latencies
	}{{"dht-announce", announce}, {"dht-lookup", lookup}, {"dht-put", put}, {"dht-get", get}} {
		if err := d.io.print(r.name, r.l.Percentile(0.5), "ms", d.params, meter.Fields{"p99_ms": r.l.Percentile(0.99)}); err != nil {
			return err
		}
	}
	return nil
}

// dhtIdle measures the memory of connections that nobody uses. Both ends are in
// this process.
func dhtIdle(ctx context.Context, io IO, args []string) error {
	f := io.flags("dht-idle")
	connections := f.Int("connections", 500, "connections to hold")
	if err := f.Parse(args); err != nil {
		return err
	}
	net, err := newTestnet(ctx, 3)
	if err != nil {
		return err
	}
	defer net.close()
	d := &dht{io: io}
	if d.server, err = net.node(ctx, hyperdht.Ephemeral); err != nil {
		return err
	}
	defer d.server.Close()
	if d.client, err = net.node(ctx, hyperdht.Ephemeral); err != nil {
		return err
	}
	defer d.client.Close()
	server, err := d.server.Listen(ctx, hypercrypto.NewKeyPair(), nil)
	if err != nil {
		return err
	}
	d.key = server.PublicKey()
	go echo(ctx, server)
	hold := func(n int) error {
		for range n {
			if _, err := d.connect(ctx); err != nil {
				return fmt.Errorf("connect: %w", err)
			}
		}
		return nil
	}
	if err := hold(20); err != nil {
		return err
	}
	debug.FreeOSMemory()
	before := meter.RSS()
	if err := hold(*connections); err != nil {
		return err
	}
	debug.FreeOSMemory()
	return io.print("dht-idle", (meter.RSS()-before)*1024/float64(*connections)/2, "KiB", meter.Fields{"connections": *connections}, meter.Fields{"rss_mb": meter.RSS()})
}
