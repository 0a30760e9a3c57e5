package files

import (
	"context"
)

// Summary is a known drive as it is on this machine.
type Summary struct {
	Record
	Writable bool
	Version  uint64
	// Bytes is the size of all contents ever written, Held how much of it is
	// here.
	Bytes, Held uint64
	Peers       int
}

// Summaries describes all known drives, sorted by name. It asks no peers.
func (l *Library) Summaries(ctx context.Context) ([]Summary, error) {
	var list []Summary
	for _, r := range l.Records() {
		s, err := l.summarize(ctx, r)
		if err != nil {
			return nil, explain(ctx, err)
		}
		list = append(list, s)
	}
	return list, nil
}

func (l *Library) summarize(ctx context.Context, r Record) (Summary, error) {
	h, release, err := l.acquire(ctx, r)
	if err != nil {
		return Summary{}, err
	}
	defer release()
	d := h.drive
	s := Summary{Record: r, Writable: d.Writable(), Version: d.Version(), Peers: len(d.Core().Peers())}
	if !s.Writable && !d.Core().Has(0, 1) {
		return s, nil
	}
	blobs, err := d.Blobs(ctx)
	if err != nil {
		return s, err
	}
	core := blobs.Core()
	s.Bytes = core.ByteLength()
	var blocks uint64
	for start, end := range core.Held(0, core.Length()) {
		blocks += end - start
	}
	if n := core.Length(); n > 0 {
		// Blocks differ in size, but their sum is what a person wants to see.
		s.Held = uint64(float64(s.Bytes) * float64(blocks) / float64(n))
	}
	return s, nil
}
