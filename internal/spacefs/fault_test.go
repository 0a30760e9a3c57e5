package spacefs

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/storage/baddisk"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/filetree"
	"github.com/tradle/cloudpal/internal/space"
)

var everyFault = flag.Bool("fault.every", false, "let every operation fail, not only some of the later ones")

// told is what somebody was told on a disk that fails.
type told struct {
	m     *machine
	ctx   context.Context
	paths map[string][]string // what may be at a path: one text, or several if that is not known
	kept  map[string]bool     // texts that can be read somewhere
	gone  map[string]bool     // texts that are not to be kept
}

func (s *told) put(files map[string]string) error {
	for path, text := range files {
		s.maybe(path, text)
	}
	if err := s.m.tryPut(files); err != nil {
		return err
	}
	for path, text := range files {
		s.paths[path], s.kept[text] = []string{text}, true
	}
	return nil
}

// maybe notes that there may be a text at a path from now on.
func (s *told) maybe(path, text string) {
	if s.paths[path] == nil {
		s.paths[path] = []string{""}
	}
	s.paths[path] = append(s.paths[path], text)
}

// change does something after which there is a text at a path, or nothing for "".
func (s *told) change(path, text string, do func() error) error {
	s.maybe(path, text)
	if err := do(); err != nil {
		return err
	}
	s.paths[path] = []string{text}
	return nil
}

func (s *told) entry(path string) (filetree.Entry, error) {
	v, release := s.m.View()
	defer release()
	e, _, err := v.Lookup(s.ctx, path)
	return e, err
}

// faultStories are what people do with files, on a machine that has some: see faultImage.
var faultStories = map[string]func(s *told) error{
	"store small files": func(s *told) error {
		files := make(map[string]string)
		for i := range 12 {
			files[fmt.Sprintf("many/%d", i)] = fmt.Sprint("small ", i)
		}
		files["small"] = "a small edit"
		var list []Small
		for _, text := range files {
			list = append(list, Small{[]byte(text), hypercrypto.Sum([]byte(text))})
		}
		if _, err := s.m.StoreBatch(s.ctx, list); err != nil {
			return err
		}
		if err := s.put(files); err != nil {
			return err
		}
		return s.put(map[string]string{"many/0": "once more", "same": s.paths["small"][0]})
	},
	"store a large file, and edit it": func(s *told) error {
		text := randomText(7, 700_000)
		if err := s.put(map[string]string{"new": text}); err != nil {
			return err
		}
		if err := s.put(map[string]string{"new": text[:300_000] + "edit" + text[300_000:]}); err != nil {
			return err
		}
		old := s.paths["large"][0]
		return s.put(map[string]string{"large": old[:len(old)/2] + "another edit" + old[len(old)/2:]})
	},
	"empty the trash": func(s *told) error {
		for _, text := range []string{trashedSmall, trashedLarge} {
			delete(s.kept, text)
		}
		if err := s.m.EmptyTrash(s.ctx, ""); err != nil {
			return err
		}
		s.gone[trashedSmall], s.gone[trashedLarge] = true, true
		if err := s.m.space.Update(s.ctx); err != nil {
			return err
		}
		return s.m.free(s.ctx)
	},
	"restore": func(s *told) error {
		v, release := s.m.View()
		defer release()
		for d, err := range v.Trash(s.ctx) {
			if err != nil {
				return err
			}
			text := map[string]string{"trash/small": trashedSmall, "trash/large": trashedLarge}[d.Path]
			if err := s.change(d.Path, text, func() error { return s.m.RestoreVersion(s.ctx, d.Path, d.Version) }); err != nil {
				return err
			}
		}
		if err := s.m.TakeSnapshot(s.ctx, "before"); err != nil {
			return err
		}
		e, err := s.entry("small")
		if err != nil {
			return err
		}
		return s.change("small", "a small file", func() error { return s.m.RestoreVersion(s.ctx, "small", e.Parents[0]) })
	},
	"delete, and undo it": func(s *told) error {
		old := s.paths["small"][0]
		e, err := s.entry("small")
		if err != nil {
			return err
		}
		err = s.change("small", "", func() error {
			_, err := s.m.Commit(s.ctx, []filetree.Change{{Action: filetree.Delete, Path: "small", Base: e.Version}})
			return err
		})
		if err != nil {
			return err
		}
		return s.change("small", old, func() error { _, err := s.m.Undo(s.ctx); return err })
	},
	"read everything": func(s *told) error {
		for path, texts := range s.paths {
			e, err := s.entry(path)
			if err != nil {
				return err
			}
			r, err := s.m.Open(s.ctx, e)
			if err != nil {
				return err
			}
			var b bytes.Buffer
			_, err = r.WriteTo(&b)
			if err := errors.Join(err, r.Close()); err != nil {
				return err
			}
			if b.String() != texts[0] {
				s.m.t.Errorf("%s has %d wrong bytes", path, b.Len())
			}
		}
		_, err := s.m.Survey(s.ctx, s.m.Here(s.ctx))
		return err
	},
}

var trashedSmall, trashedLarge = "thrown away", randomText(5, 400_000)

// faultImage is the disk of a machine with some files, of which some are in the trash.
func faultImage(t *testing.T) (*machine, *vfs.MemFS, *told) {
	mem := vfs.NewCrashableMem()
	m := &machine{t: t, name: "ada", dir: t.TempDir(), badge: newBadge(), fs: baddisk.New(mem)}
	m.start()
	m.create()
	large := randomText(3, 600_000)
	m.put(map[string]string{"small": "a small file", "large": large, "trash/small": trashedSmall, "trash/large": trashedLarge})
	m.put(map[string]string{"small": "a newer one"})
	for i := range 20 {
		m.put(map[string]string{fmt.Sprintf("d%d/f%d", i%3, i): fmt.Sprint("text ", i)})
	}
	m.del("trash/small")
	m.del("trash/large")
	m.stop()
	s := &told{paths: map[string][]string{"small": {"a newer one"}, "large": {large}}, kept: map[string]bool{
		"a small file": true, "a newer one": true, large: true, trashedSmall: true, trashedLarge: true,
	}, gone: make(map[string]bool)}
	for i := range 20 {
		text := fmt.Sprint("text ", i)
		s.paths[fmt.Sprintf("d%d/f%d", i%3, i)], s.kept[text] = []string{text}, true
	}
	return m, mem, s
}

// A disk fails at any operation while files are stored, edited, thrown away, brought back and
// read. Whoever works with them is told that it is the disk, and what they were told before is
// there when the disk is a good one again.
func TestFilesOnAFailingDisk(t *testing.T) {
	of, image, before := faultImage(t)
	stories := maps.Clone(faultStories)
	stories["open"] = nil
	for name, story := range stories {
		baddisk.Run(t, name, *everyFault, func(t *testing.T, way baddisk.Fault) (seen, failed int64) {
			return failFiles(t, of, image, before, story, way)
		})
	}
}

// failFiles tells a story on a disk that fails; no story is that the machine starts.
func failFiles(t *testing.T, of *machine, image *vfs.MemFS, before *told, story func(*told) error, way baddisk.Fault) (seen, failed int64) {
	rng := rand.New(rand.NewPCG(uint64(way.At), 1))
	mem := image.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})
	disk := baddisk.New(mem)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m := &machine{t: t, name: of.name, badge: of.badge, fs: disk, narrow: true}
	s := &told{m: m, ctx: ctx, paths: make(map[string][]string), kept: maps.Clone(before.kept), gone: make(map[string]bool)}
	for path, texts := range before.paths {
		s.paths[path] = slices.Clone(texts)
	}
	if story == nil {
		disk.Fail(way)
	}
	err := m.open()
	var sp *space.Space
	if err == nil {
		sp, err = m.library.Get("home")
	}
	if err == nil {
		m.space = sp
		m.Files = prepare(sp, &m.opts, func() {})
	}
	if story != nil {
		must(t, err)
		disk.Fail(way)
		err = story(s)
	}
	if m.store != nil {
		closed := make(chan error, 1)
		go func() { closed <- m.close() }()
		select {
		case <-closed: // what it could not write is lost
		case <-time.After(patience):
			t.Fatal("it does not close")
		}
	}
	seen, failed = disk.Mend()
	if err != nil {
		saysDisk(t, err)
	}
	if failed == 0 && err != nil {
		t.Errorf("nothing failed, and %v", err)
	}
	s.m = &machine{t: t, name: of.name, badge: of.badge, fs: baddisk.New(mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[way.At%3], RNG: rng}))}
	s.check(t)
	return seen, failed
}

// saysDisk fails unless an error says that the disk failed, and what to do.
func saysDisk(t *testing.T, err error) {
	t.Helper()
	if r := fault.ReportOf(err); r.Kind != fault.Disk.String() || r.Exit != 11 || len(r.Hints) == 0 {
		t.Errorf("it says %+v", r)
	}
}

// check opens the machine on a good disk, and looks for everything.
func (s *told) check(t *testing.T) {
	t.Helper()
	m := s.m
	m.start()
	defer m.stop()
	if _, failed := m.library.Records(); len(failed) > 0 {
		t.Fatalf("the space does not open: %v", failed)
	}
	sp, err := m.library.Get("home")
	must(t, err)
	m.space, m.Files = sp, prepare(sp, &m.opts, func() {})
	r, release := sp.Hold(Type)
	must(t, filetree.Check(t.Context(), r))
	release()
	for path, texts := range s.paths {
		got := ""
		if e, ok := m.lookup(path); ok {
			list, err := m.Files.Open(t.Context(), e)
			must(t, err)
			var b bytes.Buffer
			if _, err := list.WriteTo(&b); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			list.Close()
			got = b.String()
		}
		if !slices.Contains(texts, got) {
			t.Errorf("%s has %.20q, may have %.50q", path, got, texts)
		}
	}
	must(t, m.tryPut(map[string]string{"afterwards": "a new one"}), sp.Update(patient(t)), m.free(t.Context()))
	v, release := m.View()
	defer release()
	whole := func(text string) bool {
		list, err := m.places(t.Context(), v, hypercrypto.Sum([]byte(text)), uint64(len(text)))
		must(t, err)
		if len(list) == 0 || !list[0].whole() {
			return false
		}
		r, err := m.Files.store.OpenLocal(t.Context(), list[0].Ref)
		must(t, err)
		defer r.Close()
		var b strings.Builder
		if _, err := r.WriteTo(&b); err != nil || b.String() != text {
			t.Errorf("%.20q is damaged: %v", text, err)
		}
		return true
	}
	for text := range s.kept {
		if !whole(text) {
			t.Errorf("%.20q is lost", text)
		}
	}
	for text := range s.gone {
		if whole(text) {
			t.Errorf("%.20q is still here", text)
		}
	}
}
