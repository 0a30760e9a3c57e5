package api

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperdrive/mirror"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/files"
)

// share imports a path and, unless once, follows it until the client goes away.
func (h *handler) share(ctx context.Context, r ShareRequest, s *Stream) error {
	if err := absolute(r.Path); err != nil {
		return err
	}
	share, err := h.Files.Share(ctx, files.ShareOptions{Path: r.Path, Name: r.Name, Encrypted: r.Encrypted, Ignore: r.Ignore, DryRun: r.DryRun})
	if err != nil {
		return err
	}
	defer share.Close()
	if r.DryRun {
		_, err := share.Import(ctx, true, func(c files.Change) { s.Send(TypeChange, changeOf(c)) }, nil)
		return err
	}
	if r.Once {
		r.Connect.Swarm, r.Connect.LAN, r.Connect.Mirrors = nil, nil, nil
	}
	listen, leave, err := h.join(ctx, r.Connect.meet(true, share.Record.Key), s, nil)
	if err != nil {
		return err
	}
	defer leave()
	var follower *files.Follower
	if !r.Once {
		// Watching begins before the import, so that no change falls between.
		if follower, err = share.Watch(ctx); err != nil {
			return err
		}
		defer follower.Close()
	}
	progress := &throttle{s: s}
	in, err := share.Import(ctx, false, nil, progress.report)
	progress.flush()
	if err != nil {
		return err
	}
	left := warn(s, in.Problems)
	if listen == nil {
		listen = []string{}
	}
	s.Send(TypeUpdated, updatedOf(share, in))
	if err := s.Send(TypeShared, Shared{TypeShared, share.Record.Link, share.Record.Key.Hex(), in.Version, listen}); err != nil {
		return err
	}
	if r.Once {
		return left
	}
	unkeep, err := h.keepDrive(ctx, &r.Connect, share.Record, s)
	if err != nil {
		return err
	}
	defer unkeep()
	stop := serveProgress(share, progress)
	defer stop()
	return follower.Run(ctx, func(in files.Imported) {
		warn(s, in.Problems)
		s.Send(TypeUpdated, updatedOf(share, in))
	}, func(err error) { s.Send(TypeWarning, Warning{Type: TypeWarning, Message: err.Error()}) })
}

func updatedOf(share *files.Share, in files.Imported) Updated {
	return Updated{TypeUpdated, share.Record.Link, in.Version, in.Added, in.Changed, in.Removed, in.Bytes}
}

// warn reports what was left out, and returns an error that sums up what should
// not have been.
func warn(s *Stream, problems []mirror.Problem) error {
	n := 0
	var first error
	for _, p := range problems {
		s.Send(TypeWarning, Warning{TypeWarning, p.Path, files.ProblemText(p.Err)})
		if errors.Is(p, mirror.ErrSpecial) {
			continue // sockets and devices are no files that anybody misses
		}
		if n++; n == 1 {
			first = p
		}
	}
	if first == nil {
		return nil
	}
	kind := fault.KindOf(first)
	if errors.Is(first, mirror.ErrChanging) {
		kind = fault.Conflict
	}
	if n > 1 {
		first = fmt.Errorf("%d files were not imported, the first is %w", n, first)
	} else {
		first = fmt.Errorf("one file was not imported: %w", first)
	}
	return &fault.Error{Kind: kind, Err: first, Hints: []string{"everything else is shared; run the same command again for the rest"}}
}

// serveProgress reports what peers fetch, until stop is called.
func serveProgress(share *files.Share, progress *throttle) (stop func()) {
	var sent atomic.Uint64
	news := make(chan struct{}, 1)
	cancel := share.Traffic(func(bytes uint64) {
		sent.Add(bytes)
		select {
		case news <- struct{}{}:
		default:
		}
	})
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		// The last report of a burst may have been held back.
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-news:
				progress.report(files.Progress{Phase: "serve", Bytes: sent.Load(), Peers: share.Peers()})
			case <-tick.C:
				progress.flush()
			case <-done:
				return
			}
		}
	}()
	return func() { cancel(); close(done); <-ended }
}

func (h *handler) get(ctx context.Context, r GetRequest, s *Stream) error {
	if err := absolute(r.Dest); err != nil {
		return err
	}
	reading, done, err := h.open(ctx, r.Connect, r.Target, s)
	if err != nil {
		return err
	}
	defer done()
	progress := &throttle{s: s}
	got, err := h.Files.Get(reading, files.GetOptions{Dest: r.Dest, DestIsParent: r.DestIsParent, Overwrite: r.Overwrite}, progress.report)
	progress.flush()
	for _, p := range got.Problems {
		s.Send(TypeWarning, Warning{TypeWarning, p.Path, files.ProblemText(p.Err)})
	}
	if err != nil {
		return err
	}
	record := reading.Place.Record
	return s.Send(TypeGot, Got{TypeGot, record.Link, record.Key.Hex(), got.Version, got.Dest, got.Files, got.Bytes, got.Written})
}

func (h *handler) restore(ctx context.Context, r RestoreRequest, s *Stream) error {
	if t, ok, err := h.ofSpace(r.Ref, r.Dir); err != nil || ok {
		return orElse(err, func() error { return h.restoreOfSpace(ctx, t, &r, s) })
	}
	place, err := h.Files.Find(r.Ref, r.Dir)
	if err != nil {
		return err
	}
	state, err := r.State.ofDrive()
	if err != nil {
		return err
	}
	out, err := h.Files.Restore(ctx, place, state)
	if err != nil {
		return err
	}
	return s.Send(TypeRestored, Restored{TypeRestored, place.Record.Link, out.Version, out.From, out.Before, out.Changes})
}

func (h *handler) serve(ctx context.Context, r ServeRequest, s *Stream) error {
	keys, err := h.served(r)
	if err != nil {
		return err
	}
	_, leave, err := h.join(ctx, r.Connect.meet(false, keys...), s, nil)
	if err != nil {
		return err
	}
	defer leave()
	return h.Web.Serve(ctx, r, func(url string) { s.Send(TypeServing, Serving{TypeServing, url}) })
}

func (h *handler) audit(ctx context.Context, r AuditRequest, s *Stream) error {
	logs, damaged := 0, 0
	for a, err := range h.Files.Audit(ctx, !r.Check) {
		if err != nil {
			return err
		}
		out := Audit{TypeAudit, a.Key.Hex(), a.Name, a.Length, a.Blocks, append([]string{}, a.Problems...), append([]string{}, a.Repaired...)}
		if err := s.Send(TypeAudit, out); err != nil {
			return err
		}
		logs++
		if len(a.Problems) > len(a.Repaired) {
			damaged++
		}
	}
	bad, err := h.check(ctx, !r.Check, s)
	if err != nil {
		return err
	}
	if damaged == 0 && bad > 0 {
		return fault.New(fault.Corrupt, "%d of %d checks found something that is not repaired", bad, len(h.Checks))
	}
	if damaged == 0 {
		return nil
	}
	f := fault.New(fault.Corrupt, "%d of %d logs are damaged", damaged, logs)
	if r.Check {
		return f.Hint("repair what can be repaired: cloudpal doctor")
	}
	return f.Hint("what is lost here may still be with peers that fetched the drive; keep a copy of the data folder until all is found")
}
