package program

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/tradle/cloudpal/bench/internal/meter"
)

// physTime is how long each limit of the processor is measured.
const physTime = 400 * time.Millisecond

// phys measures what this machine can do at most, with one core, so that
// results have something to stand beside. Processor limits are per second of
// processor time.
func phys(ctx context.Context, io IO, args []string) error {
	f := io.flags("phys")
	only := f.String("only", "", "cpu, sync or tcp; default all")
	syncs := f.Int("syncs", 2000, "synced writes")
	bytes := f.Int64("bytes", 1<<30, "`bytes` sent over TCP")
	if err := f.Parse(args); err != nil {
		return err
	}
	for _, m := range []struct {
		name string
		run  func() error
	}{
		{"cpu", func() error { return physCPU(io) }},
		{"sync", func() error { return physSync(io, *syncs) }},
		{"tcp", func() error { return physTCP(ctx, io, *bytes) }},
	} {
		if *only != "" && *only != m.name {
			continue
		}
		if err := m.run(); err != nil {
			return err
		}
	}
	return nil
}

// cpuRate returns how often f runs per second of processor time.
func cpuRate(f func()) float64 {
	n, start := 0, meter.CPU()
	for meter.CPU()-start < physTime.Seconds() {
		for range 64 {
			f()
		}
		n += 64
	}
	return float64(n) / (meter.CPU() - start)
}

func physCPU(io IO) error {
	data := make([]byte, 65536, 65536+chacha20poly1305.Overhead)
	aead, err := chacha20poly1305.New(make([]byte, chacha20poly1305.KeySize))
	if err != nil {
		return err
	}
	nonce := make([]byte, chacha20poly1305.NonceSize)
	for _, size := range []int{100, 1024, 65536} {
		rate := cpuRate(func() { blake2b.Sum256(data[:size]) })
		if err := io.print("phys-blake2b", rate*float64(size)/1e6, "MB/s", meter.Fields{"size": size}, nil); err != nil {
			return err
		}
		rate = cpuRate(func() { aead.Seal(data[:0], nonce, data[:size], nil) })
		if err := io.print("phys-seal", rate*float64(size)/1e6, "MB/s", meter.Fields{"size": size}, nil); err != nil {
			return err
		}
	}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	message := data[:112]
	signature := ed25519.Sign(private, message)
	if err := io.print("phys-sign", cpuRate(func() { ed25519.Sign(private, message) }), "ops/s", meter.Fields{}, nil); err != nil {
		return err
	}
	return io.print("phys-verify", cpuRate(func() { ed25519.Verify(public, message, signature) }), "ops/s", meter.Fields{}, nil)
}

// physSync appends 100 bytes to a file and syncs it, again and again.
func physSync(io IO, count int) error {
	tmp, remove, err := tempDir("phys")
	if err != nil {
		return err
	}
	defer remove()
	file, err := os.Create(filepath.Join(tmp, "file"))
	if err != nil {
		return err
	}
	defer file.Close()
	data := make([]byte, 100)
	var lat meter.Latencies
	cpu, start := meter.CPU(), time.Now()
	for range count {
		began := time.Now()
		if _, err := file.Write(data); err != nil {
			return err
		}
		if err := syncData(file); err != nil {
			return err
		}
		lat = append(lat, time.Since(began))
	}
	rate := float64(count) / time.Since(start).Seconds()
	return io.print("phys-sync", rate, "appends/s", meter.Fields{"size": len(data), "count": count},
		meter.Fields{"cpu_s": meter.CPU() - cpu, "p50_ms": lat.Percentile(0.5), "p99_ms": lat.Percentile(0.99)})
}

// physTCP sends bytes over a loopback connection.
func physTCP(ctx context.Context, o IO, bytes int64) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	sent := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			sent <- err
			return
		}
		defer conn.Close()
		data := make([]byte, 256<<10)
		for left := bytes; left > 0 && err == nil; left -= int64(len(data)) {
			_, err = conn.Write(data[:min(left, int64(len(data)))])
		}
		sent <- err
	}()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer conn.Close()
	cpu, start := meter.CPU(), time.Now()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{conn}, make([]byte, 256<<10))
	if err = errors.Join(err, <-sent); err != nil {
		return err
	}
	return o.print("phys-tcp", float64(n)/1e6/time.Since(start).Seconds(), "MB/s", meter.Fields{"bytes": bytes}, meter.Fields{"cpu_s": meter.CPU() - cpu})
}
