package program

import (
	"context"
	"errors"
	"time"

	"github.com/tradle/cloudpal/bench/internal/meter"
	"github.com/tradle/cloudpal/hyper/hypercore"
)

// coreOpen opens the log in dir, in a fresh process, and reads one block.
func coreOpen(ctx context.Context, io IO, args []string) error {
	entered := time.Now()
	before := meter.RSS()
	f := io.flags("core-open")
	dir := f.String("dir", "", "`folder` of the log")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *dir == "" {
		return errors.New("--dir is missing")
	}
	start := time.Now()
	core, err := openLog(ctx, *dir, hypercore.Options{})
	if err != nil {
		return err
	}
	defer core.Close()
	opened := time.Now()
	if _, err := core.Get(ctx, core.Length()/3); err != nil {
		return err
	}
	got := time.Now()
	extra := meter.Fields{"first_get_ms": meter.Ms(got.Sub(opened)), "load_to_first_get_ms": meter.Ms(got.Sub(entered)),
		"cpu_s": meter.CPU(), "rss_mb": meter.RSS(), "rss_before_load_mb": before}
	if ms, ok := meter.SinceStart(); ok {
		extra["start_to_first_get_ms"] = ms
	}
	return io.print("core-open", meter.Ms(opened.Sub(start)), "ms", meter.Fields{"blocks": core.Length()}, extra)
}
