package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tradle/cloudpal/bench/internal/meter"
)

// spaceVisible saves small files in the folder of one of two nodes and takes the time until
// each has its content in the folder of the other. It prints the line space-visible.
func spaceVisible(ctx context.Context, o IO, args []string) (err error) {
	f := o.flags("space-visible")
	var s spaceFlags
	s.add(f)
	saves := f.Int("saves", 200, "`number` of files that are saved, half of them anew")
	if err := f.Parse(args); err != nil {
		return err
	}
	p, done, err := s.pair(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	if err := errors.Join(p.Sync(ctx, p.A), p.Sync(ctx, p.B)); err != nil {
		return err
	}
	a, err := meter.UsedBy(p.A.PID())
	if err != nil {
		return err
	}
	b, err := meter.UsedBy(p.B.PID())
	if err != nil {
		return err
	}
	var took meter.Latencies
	for i := range *saves {
		name := fmt.Sprintf("f%04d", i/2)
		content := bytes.Repeat(fmt.Appendf(nil, "content %d\n", i), 100)
		began := time.Now()
		if err := os.WriteFile(filepath.Join(p.A.Dir, name), content, 0o644); err != nil {
			return err
		}
		for {
			got, err := os.ReadFile(filepath.Join(p.B.Dir, name))
			if err == nil && bytes.Equal(got, content) {
				break
			}
			if err := pause(ctx, time.Millisecond); err != nil {
				return err
			}
		}
		took = append(took, time.Since(began))
	}
	a2, err := meter.UsedBy(p.A.PID())
	if err != nil {
		return err
	}
	b2, err := meter.UsedBy(p.B.PID())
	if err != nil {
		return err
	}
	return o.print("space-visible", took.Percentile(0.5), "ms", meter.Fields{"saves": *saves}, meter.Fields{"p99_ms": took.Percentile(0.99),
		"cpu_client_s": b2.CPU - b.CPU, "cpu_server_s": a2.CPU - a.CPU})
}
