package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hyperdrive"
	"github.com/tradle/cloudpal/hyper/hyperdrive/mirror"
	"github.com/tradle/cloudpal/internal/fault"
)

// GetOptions says where to write; see api.GetRequest.
type GetOptions struct {
	Dest         string
	DestIsParent bool
	Overwrite    bool
}

// Got is the result of [Library.Get].
type Got struct {
	Version      uint64
	Dest         string
	Files, Bytes uint64
	Written      uint64
	Problems     []mirror.Problem
}

// getter is one run of Get.
type getter struct {
	l      *Library
	r      *Reading
	o      GetOptions
	report func(Progress)

	dest  string // the folder that is written to
	base  string // the folder of the drive that becomes dest
	file  string // with a slash in front, if only one file of base is wanted
	name  string // what it is called in dest
	total Progress
	past  []past
}

// past is a version that an earlier get wrote to the same place.
type past struct {
	get  Get
	view *hyperdrive.View
}

// Get writes the reading's path to disk and waits for what has to come from
// peers. What is held already is not fetched again, and what is on disk already
// is not written again, so that a get that was killed goes on where it was.
//
// Files appear complete or not at all. A file on disk that a person made or
// changed is not replaced without Overwrite; one that an earlier get wrote is,
// and is removed when the drive does not have it any more.
func (l *Library) Get(r *Reading, o GetOptions, report func(Progress)) (Got, error) {
	g := &getter{l: l, r: r, o: o, report: report}
	got, err := g.run()
	for _, p := range g.past {
		p.view.Close()
	}
	if err != nil {
		return got, explain(r.ctx, err)
	}
	return got, nil
}

func (g *getter) run() (got Got, err error) {
	if err := g.names(); err != nil {
		return got, err
	}
	if err := g.place(); err != nil {
		return got, err
	}
	if err := g.count(); err != nil {
		return got, err
	}
	if inside(g.dest, g.l.opts.Home) {
		return got, fault.New(fault.Usage, "%s is part of cloudpal's own data", g.dest)
	}
	if own := g.r.Place.Record; own.Own() && (inside(g.dest, own.Path) || inside(own.Path, g.dest)) {
		return got, fault.New(fault.Conflict, "%s is the folder that this drive follows", g.dest).
			Hint("for a copy of it, name another folder: cloudpal get %s DEST", fault.Word(own.Name)).
			Hint("to bring back an older state of it: cloudpal restore %s --version N", fault.Word(own.Name))
	}
	if err := g.openPast(); err != nil {
		return got, err
	}
	release, err := g.l.claim(g.dest)
	if err != nil {
		return got, err
	}
	defer release()
	m := &mirror.Options{Base: g.base + g.file, Name: g.name, NoPrune: true, Exclusive: g.brokenOff()}
	if g.file == "" && len(g.past) > 0 {
		m.NoPrune, m.Ignore = false, g.foreign
	}
	if !g.o.Overwrite {
		if err := g.check(*m); err != nil {
			return got, err
		}
	}
	if err := g.begin(); err != nil {
		return got, err
	}
	m.OnProgress = func(p mirror.Progress) {
		g.tell(Progress{Phase: "download", Files: p.Files, Bytes: max(p.Bytes, p.Copied)})
	}
	result, err := mirror.Export(g.r.ctx, g.r.View, g.dest, m)
	if err != nil {
		return got, err
	}
	got = Got{Version: g.r.View.Version(), Dest: filepath.Join(g.dest, g.name), Files: result.Files, Bytes: g.total.TotalBytes,
		Written: result.Added + result.Changed, Problems: result.Problems}
	if len(got.Problems) > 0 {
		return got, g.problem(got.Problems)
	}
	return got, g.end(got.Written)
}

func (g *getter) tell(p Progress) {
	if g.report == nil {
		return
	}
	p.TotalFiles, p.TotalBytes, p.Peers = g.total.TotalFiles, g.total.TotalBytes, len(g.r.drive.Core().Peers())
	g.report(p)
}

// names fetches all names, and has the patience follow the contents too.
func (g *getter) names() error {
	g.tell(Progress{Phase: "connect"})
	d := g.r.drive
	names := d.Core().Download(hypercore.Range{Start: 0, End: g.r.View.Version(), Linear: true})
	defer names.Close()
	if err := names.Wait(g.r.ctx); err != nil {
		return fmt.Errorf("fetch names: %w", err)
	}
	blobs, err := d.Blobs(g.r.ctx)
	if err != nil {
		return err
	}
	g.r.release = append(g.r.release, blobs.Core().Events(g.r.watch.event))
	return nil
}

// place finds out what is written where.
func (g *getter) place() error {
	inside := g.r.Place.Path
	g.base, g.dest = inside, filepath.Clean(g.o.Dest)
	if inside != "" {
		_, err := g.r.View.Entry(g.r.ctx, inside)
		switch {
		case err == nil:
			return g.placeFile(path.Dir(inside), "/"+path.Base(inside))
		case !errors.Is(err, hyperdrive.ErrNotFound):
			return err
		}
		if err := g.r.mustBeFolder(); err != nil {
			return err
		}
		if g.o.DestIsParent {
			g.dest = filepath.Join(g.o.Dest, path.Base(inside))
		}
		return nil
	}
	if !g.o.DestIsParent {
		return nil
	}
	// A drive of one file is the file.
	only, err := g.onlyFile()
	if err != nil || only != "" {
		g.file, g.name = only, strings.TrimPrefix(only, "/")
		return err
	}
	name := g.r.Place.Record.Name
	if name == "" {
		name = "drive-" + shortKey(g.r.Place.Record.Key)
	}
	g.dest = filepath.Join(g.o.Dest, name)
	return nil
}

// placeFile writes one file: into Dest if that is a folder, else as Dest.
func (g *getter) placeFile(base, file string) error {
	if base == "/" {
		base = ""
	}
	g.base, g.file, g.name = base, file, file[1:]
	info, err := os.Stat(g.o.Dest)
	if g.o.DestIsParent || err == nil && info.IsDir() || g.o.Dest != g.dest {
		return nil
	}
	g.dest, g.name = filepath.Split(g.dest)
	g.dest = filepath.Clean(g.dest)
	return nil
}

// renamed tells whether the one file gets another name.
func (g *getter) renamed() bool { return g.file != "" && g.name != g.file[1:] }

// goal returns where the record of what was written is kept, and what of the
// drive it speaks of: the folders of both sides, but for a file under another
// name just the file.
func (g *getter) goal() (dest, path string) {
	if g.renamed() {
		return filepath.Join(g.dest, g.name), g.base + g.file
	}
	return g.dest, g.base
}

// source returns the path in the drive of what is at p in the destination.
func (g *getter) source(p string) string {
	if g.file != "" {
		return g.base + g.file
	}
	return g.base + p
}

// onlyFile returns the path of the only file of the drive, if it is at the root.
func (g *getter) onlyFile() (string, error) {
	only, n := "", 0
	for e, err := range g.r.View.List(g.r.ctx, "") {
		if err != nil {
			return "", err
		}
		if n++; n > 1 || strings.Count(e.Path, "/") > 1 {
			return "", nil
		}
		only = e.Path
	}
	return only, nil
}

// count adds up what the destination will hold.
func (g *getter) count() error {
	for e, err := range g.r.View.Subtree(g.r.ctx, g.base+g.file) {
		if err != nil {
			return err
		}
		if g.file != "" && e.Path != g.base+g.file {
			continue // of a folder that has the same name
		}
		size, err := g.r.View.Size(g.r.ctx, e)
		if err != nil {
			return err
		}
		g.total.TotalFiles++
		g.total.TotalBytes += size
	}
	g.tell(Progress{Phase: "download"})
	return nil
}

// openPast opens the versions that earlier gets left at the destination.
func (g *getter) openPast() error {
	record, _ := g.l.registry.byKey(g.r.Place.Record.Key)
	dest, path := g.goal()
	for _, get := range record.Gets[dest] {
		if get.Path != path || get.Version > g.r.Newest {
			continue
		}
		v, err := g.r.drive.Checkout(get.Version)
		if err != nil {
			return err
		}
		g.past = append(g.past, past{get, v})
	}
	return nil
}

// brokenOff tells whether an earlier get to the same place did not come to its
// end.
func (g *getter) brokenOff() bool {
	return slices.ContainsFunc(g.past, func(p past) bool { return p.get.Ended.IsZero() })
}

// foreign tells whether a path of the destination is none of ours: neither the
// drive nor what was written before has it.
func (g *getter) foreign(p string) bool {
	views := []*hyperdrive.View{g.r.View}
	for _, old := range g.past {
		views = append(views, old.view)
	}
	for _, v := range views {
		if ok, err := v.Exists(g.r.ctx, g.base+p); ok || err != nil {
			return false
		}
		if ok, err := v.IsFolder(g.r.ctx, g.base+p); ok || err != nil {
			return false
		}
	}
	return true
}

// maxNamed is how many files an error names.
const maxNamed = 3

// check refuses to replace or remove what a person made or changed.
func (g *getter) check(m mirror.Options) error {
	if _, err := os.Stat(g.dest); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var changed []string
	m.DryRun = true
	m.OnOp = func(op mirror.Op) {
		replaced := op.Kind == mirror.Change && op.BytesAdded+op.BytesRemoved > 0
		if (replaced || op.Kind == mirror.Remove) && !g.wrote(op.Path) {
			changed = append(changed, op.Path[1:])
		}
	}
	if _, err := mirror.Export(g.r.ctx, g.r.View, g.dest, &m); err != nil {
		return err
	}
	if len(changed) == 0 {
		return nil
	}
	more := ""
	if n := len(changed) - maxNamed; n > 0 {
		changed, more = changed[:maxNamed], fmt.Sprintf(" and %d more", n)
	}
	return fault.New(fault.Conflict, "%s has files that would be replaced: %s%s", g.dest, strings.Join(changed, ", "), more).
		Hint("get the drive into another folder, or replace them with --overwrite")
}

// wrote tells whether the file at p of the destination is as an earlier get left
// it.
func (g *getter) wrote(p string) bool {
	info, err := os.Lstat(filepath.Join(g.dest, filepath.FromSlash(p)))
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	return slices.ContainsFunc(g.past, func(old past) bool {
		e, err := old.view.Entry(g.r.ctx, g.source(p))
		if err != nil {
			return false
		}
		if e.IsLink() {
			return info.Mode()&fs.ModeSymlink != 0
		}
		size, err := old.view.Size(g.r.ctx, e)
		if err != nil || uint64(info.Size()) != size {
			return false
		}
		if m := e.Meta().ModTime; !m.IsZero() {
			return m.UnixMicro() == info.ModTime().UnixMicro()
		}
		// The writer did not say when the file was modified: it has the time of
		// the get.
		at := info.ModTime()
		return !at.Before(old.get.Began.Add(-time.Second)) && (old.get.Ended.IsZero() || !at.After(old.get.Ended.Add(time.Second)))
	})
}

// begin remembers the drive, and that this version is being written.
func (g *getter) begin() error {
	ctx, place := g.r.ctx, g.r.Place
	if _, known := g.l.registry.byKey(place.Record.Key); !known {
		r := place.Record
		r.Added = time.Now().UTC().Truncate(time.Second)
		r.Name = cleanName(filepath.Base(filepath.Join(g.dest, g.name)))
		if _, err := g.l.registry.add(ctx, r, false); err != nil {
			return err
		}
	}
	_, path := g.goal()
	run := Get{Version: g.r.View.Version(), Path: path, Began: time.Now().UTC()}
	return g.remember(func(old []Get) []Get {
		old = slices.DeleteFunc(old, func(o Get) bool { return o.Version == run.Version && o.Path == run.Path && o.Ended.IsZero() })
		return append(old, run)
	})
}

// end forgets what was written before. Of single files it forgets only what the
// other records say too: beside them lie other files.
func (g *getter) end(written uint64) error {
	return g.remember(func(old []Get) []Get {
		run := old[len(old)-1]
		run.Ended = time.Now().UTC()
		if g.file == "" || g.renamed() {
			return append(slices.DeleteFunc(old, func(o Get) bool { return o.Path == run.Path }), run)
		}
		kept := old[:len(old)-1]
		if written == 0 && slices.ContainsFunc(kept, func(o Get) bool { return o.Path == run.Path && o.Version == run.Version }) {
			return kept
		}
		return append(kept, run)
	})
}

func (g *getter) remember(change func([]Get) []Get) error {
	dest, _ := g.goal()
	return g.l.registry.update(context.WithoutCancel(g.r.ctx), g.r.Place.Record.Key, func(r *Record) {
		gets := make(map[string][]Get, len(r.Gets)+1)
		for at, list := range r.Gets {
			gets[at] = list
		}
		gets[dest] = change(slices.Clone(gets[dest]))
		r.Gets = gets
	})
}

// problem sums up what could not be written.
func (g *getter) problem(problems []mirror.Problem) error {
	worst := problems[0]
	for _, p := range problems {
		// What was refused for safety is what a person must know.
		if fault.KindOf(explain(g.r.ctx, p.Err)) == fault.Unsafe {
			worst = p
			break
		}
	}
	err := explain(g.r.ctx, worst.Err)
	kind := fault.KindOf(err)
	if kind == fault.Canceled || kind == fault.Unavailable {
		return err
	}
	summary := "one file was not written"
	if n := len(problems); n > 1 {
		summary = fmt.Sprintf("%d files were not written", n)
	}
	out := &fault.Error{Kind: kind, Err: fmt.Errorf("%s: %s: %w", summary, worst.Path, &plainError{err})}
	if kind == fault.Unsafe {
		return out.Hint("everything else is written; the drive cannot have been made by an honest program")
	}
	return out
}
