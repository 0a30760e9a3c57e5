package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/tradle/cloudpal/bench/internal/meter"
	"github.com/tradle/cloudpal/bench/internal/nodes"
	"github.com/tradle/cloudpal/bench/internal/workload"
)

// memoryLimit is what sharing and fetching may take, in MiB, whatever the size
// of the file.
const memoryLimit = 256

// runMemory shares one large file with the program itself and fetches it, and
// prints the peak of resident memory of both.
func runMemory(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("bench memory", flag.ContinueOnError)
	gib := f.Int64("gib", 10, "size of the file in `GiB`; three times as much disk is needed")
	program := f.String("program", "", "cloudpal `binary`; default: built from this module")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	data, err := dataFolder()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(data, "memory-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if *program == "" {
		if *program, err = nodes.Build(ctx, dir); err != nil {
			return err
		}
	}
	file := workload.One.Resized(*gib << 30)
	if err := file.WriteTo(ctx, filepath.Join(dir, "in")); err != nil {
		return err
	}
	return measureMemory(ctx, *program, dir, file)
}

func measureMemory(ctx context.Context, program, dir string, file workload.Files) error {
	share := cloudpal(ctx, program, filepath.Join(dir, "home-share"), "share", "--json", "--listen", "tcp://127.0.0.1:0", filepath.Join(dir, "in", file.Name))
	out, err := share.StdoutPipe()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := share.Start(); err != nil {
		return err
	}
	defer func() {
		share.Cancel()
		share.Wait()
	}()
	shared, err := awaitShared(out)
	if err != nil {
		return fmt.Errorf("cloudpal share: %w", err)
	}
	imported := time.Since(began)
	go io.Copy(io.Discard, out)

	began = time.Now()
	get := cloudpal(ctx, program, filepath.Join(dir, "home-get"), "get", "--json", "--peer", shared.Listen[0], shared.Link, filepath.Join(dir, "out"))
	if err := get.Start(); err != nil {
		return err
	}
	fetching, err := watchPeak(get)
	if err != nil {
		return fmt.Errorf("cloudpal get: %w", err)
	}
	fetched := time.Since(began)
	sharing, err := meter.PeakRSSOf(share.Process.Pid)
	if err != nil {
		return err
	}
	if n, err := meter.DirSize(filepath.Join(dir, "out")); err != nil || n != file.Size {
		return errors.Join(fmt.Errorf("fetched %d of %d bytes", n, file.Size), err)
	}
	mb := float64(file.Size) / 1e6
	fmt.Printf("share: peak %.0f MiB, %.0f MB/s; get: peak %.0f MiB, %.0f MB/s; limit %d MiB\n",
		sharing, mb/imported.Seconds(), fetching, mb/fetched.Seconds(), memoryLimit)
	if max(sharing, fetching) > memoryLimit {
		return errMissed
	}
	return nil
}

func cloudpal(ctx context.Context, program, home string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "CLOUDPAL_HOME="+home, "CLOUDPAL_BOOTSTRAP=none", "CLOUDPAL_LAN=none")
	cmd.Stderr = os.Stderr
	isolate(cmd, false)
	return cmd
}

// sharedEvent is the line that says where a share is.
type sharedEvent struct {
	Type   string
	Link   string
	Listen []string
}

func awaitShared(r io.Reader) (sharedEvent, error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var e sharedEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return e, err
		}
		if e.Type == "shared" && len(e.Listen) > 0 {
			return e, nil
		}
	}
	return sharedEvent{}, errors.Join(errors.New("it ended before it shared anything"), lines.Err())
}

// watchPeak waits for cmd and returns the largest resident memory it was seen
// with, in MiB.
func watchPeak(cmd *exec.Cmd) (peak float64, err error) {
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return peak, err
		case <-tick.C:
			if now, err := meter.PeakRSSOf(cmd.Process.Pid); err == nil {
				peak = max(peak, now)
			}
		}
	}
}
