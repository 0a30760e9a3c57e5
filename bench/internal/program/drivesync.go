package program

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/tradle/cloudpal/bench/internal/meter"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdrive"
	"github.com/tradle/cloudpal/hyper/hyperdrive/mirror"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// driveSync fetches a drive from another process into a store, and from there
// into an empty folder, which is what `cloudpal get` does. With --serve it is
// that other process.
func driveSync(ctx context.Context, io IO, args []string) error {
	f := io.flags("drive-sync")
	src := f.String("src", "", "`folder` that the server imports")
	serve := f.Bool("serve", false, "be the server")
	command := f.String("server", "", "`command` of the server program; default: this one's")
	if err := f.Parse(args); err != nil {
		return err
	}
	tmp, remove, err := tempDir("dsync")
	if err != nil {
		return err
	}
	defer remove()
	store := filepath.Join(tmp, "store")
	if *serve {
		return serveDrive(ctx, io, *src, store)
	}
	size, err := meter.DirSize(*src)
	if err != nil {
		return err
	}
	var info driveReady
	server, err := startServer(ctx, io, *command, "drive-sync", []string{"--serve", "--src", *src}, &info)
	if err != nil {
		return err
	}
	defer server.kill()
	key, err := hypercrypto.ParseKey(info.Key)
	if err != nil {
		return err
	}
	d, err := newDrive(ctx, store, hyperdrive.Options{Key: &key})
	if err != nil {
		return err
	}
	defer d.Close()

	out := filepath.Join(tmp, "out")
	took, extra, err := measure(func() (*mirror.Result, error) { return fetchDrive(ctx, d, info.Port, out) })
	if err != nil {
		return err
	}
	if n, err := meter.DirSize(out); err != nil || n != size {
		return errors.Join(fmt.Errorf("fetched %d of %d bytes", n, size), err)
	}
	used, err := server.stop()
	if err != nil {
		return err
	}
	files := extra["files"].(float64)
	return io.print("drive-sync-tcp", float64(size)/1e6/took.Seconds(), "MB/s", meter.Fields{"bytes": size, "files": files}, meter.Fields{
		"ms": meter.Ms(took), "files_per_s": files / took.Seconds(), "cpu_client_s": extra["cpu_s"], "cpu_server_s": used.CPU,
		"peak_rss_mb": meter.PeakRSS(), "peak_rss_server_mb": used.PeakRSS})
}

// driveReady is the first line of the server.
type driveReady struct {
	Port int    `json:"port"`
	Key  string `json:"key"`
}

// serveDrive imports src into a new drive and serves it until the input ends.
func serveDrive(ctx context.Context, io IO, src, store string) error {
	d, err := newDrive(ctx, store, hyperdrive.Options{})
	if err != nil {
		return err
	}
	defer d.Close()
	if _, _, err := measure(func() (*mirror.Result, error) { return mirror.Import(ctx, src, d.Drive, nil) }); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	go accept(ctx, l, func(conn *secretstream.Conn) {
		d.store.Replicate(ctx, conn) // its end is that of the connection
	})
	return io.serve(driveReady{Port: l.Addr().(*net.TCPAddr).Port, Key: d.Key().Hex()})
}

// fetchDrive connects with the server and makes the folder out like the drive.
func fetchDrive(ctx context.Context, d *openDrive, port int, out string) (*mirror.Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	raw, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, err
	}
	conn, err := secretstream.Client(ctx, raw, nil)
	if err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cancel(errors.Join(errors.New("the connection ended"), d.store.Replicate(ctx, conn)))
	}()
	if err := waitFilled(ctx, d.Core()); err != nil {
		return nil, errors.Join(err, context.Cause(ctx))
	}
	r, err := mirror.Export(ctx, d.View, out, nil)
	if err != nil {
		return nil, errors.Join(err, context.Cause(ctx))
	}
	conn.Close()
	<-ended
	return r, nil
}

// waitFilled waits until the drive has a version that is not empty.
func waitFilled(ctx context.Context, core *hypercore.Core) error {
	grown := make(chan struct{}, 1)
	cancel := core.Events(func(hypercore.Event) {
		select {
		case grown <- struct{}{}:
		default:
		}
	})
	defer cancel()
	for core.Length() < 2 {
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Minute):
			return errors.New("no version of the drive came within a minute")
		}
	}
	return nil
}
