package spacefs

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tradle/cloudpal/internal/filetree"
	"github.com/tradle/cloudpal/internal/foldersync"
)

var (
	chaosSeed  = flag.Uint64("chaos.seed", 1, "the first seed of the tests of folders under chaos")
	chaosSeeds = flag.Int("chaos.seeds", 1, "how many seeds they run")
	chaosTime  = flag.Duration("chaos.time", 1500*time.Millisecond, "how long each does something")
	// Where processors are scarce, a rename is still taken for a deletion and a new file now
	// and then: nothing is lost, but a file may be there twice.
	chaosStrict = flag.Bool("chaos.strict", false, "fail if a file is there twice")
	chaosTrace  = flag.Bool("chaos.trace", false, "log what happens when one fails")
)

// What people do to two folders at once. Each file is edited by one of them at most, and all
// names are new, so nothing is ever in conflict: in the end all that was written to each
// file is there, and with -chaos.strict it is there once.
func TestFoldersUnderChaos(t *testing.T) {
	for name, mix := range map[string]mix{
		"one renames, the other edits": {renames: [2]bool{true, false}, edits: [2]bool{false, true}},
		"both rename":                  {renames: [2]bool{true, true}},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := *chaosSeed; seed < *chaosSeed+uint64(*chaosSeeds); seed++ {
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					c := newChaos(t, seed, mix)
					c.run()
					if c.wantLastEdits(); *chaosStrict {
						c.wantAllOnce()
					}
				})
			}
		})
	}
}

// Where one deletes what the other edits, the last edit is kept: in the folders, the history
// or the trash.
func TestDeletesUnderChaos(t *testing.T) {
	for seed := *chaosSeed; seed < *chaosSeed+uint64(*chaosSeeds); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := newChaos(t, seed, mix{deletes: [2]bool{true, false}, renames: [2]bool{true, false}, edits: [2]bool{false, true}})
			c.run()
			c.wantLastEdits()
		})
	}
}

// mix is what each of the two does.
type mix struct{ renames, edits, deletes [2]bool }

type chaos struct {
	t     *testing.T
	mix   mix
	seed  uint64
	ms    [2]*machine
	files []*scribble

	mu    sync.Mutex // guards what follows
	trace []string
	count int // of names
}

// scribble is a file that one person appends lines to.
type scribble struct {
	id     string // its first line
	editor int
	text   string
}

func newChaos(t *testing.T, seed uint64, mix mix) *chaos {
	c := &chaos{t: t, mix: mix, seed: seed}
	a, b, _ := pair(t, Options{})
	c.ms = [2]*machine{a, b}
	rng := rand.New(rand.NewPCG(seed, 0))
	dirs := []string{"", "d0/", "d1/", "d1/d2/", "d3/"}
	for i := range 12 {
		editor := 0
		if mix.edits[1] && (!mix.edits[0] || i%2 == 1) {
			editor = 1
		}
		s := &scribble{id: fmt.Sprintf("\x00file %d", i), editor: editor}
		s.text = s.id + "\n"
		c.files = append(c.files, s)
		a.write(fmt.Sprintf("%sf%d", dirs[rng.IntN(len(dirs))], i), s.text)
	}
	c.sync(a)
	eventually(t, "the first import", func() bool { return len(a.files()) == len(c.files) })
	c.sync(b)
	wantFolders(t, a.texts(), b)
	t.Cleanup(func() {
		if t.Failed() && *chaosTrace {
			t.Log(strings.Join(c.trace, "\n"))
		}
	})
	return c
}

func (c *chaos) sync(m *machine) {
	m.watch = func(e foldersync.Event) { c.log("%s: %s %q %s", m.name, e.Kind, e.Path, e.Text) }
	m.sync()
}

func (c *chaos) log(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trace = append(c.trace, time.Now().Format("05.0000 ")+fmt.Sprintf(format, args...))
}

// fresh returns a name that nothing ever had.
func (c *chaos) fresh(m *machine, prefix string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	return fmt.Sprintf("%s-%s%d", prefix, m.name[:1], c.count)
}

// run has both people at work for a while.
func (c *chaos) run() {
	until := time.Now().Add(*chaosTime)
	var wg sync.WaitGroup
	work := func(n int, salt uint64, wait int, step func(*machine, *rand.Rand)) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(c.seed, salt*2+uint64(n)))
			for time.Now().Before(until) {
				step(c.ms[n], rng)
				time.Sleep(time.Duration(rng.IntN(rng.IntN(wait)+1)) * time.Millisecond)
			}
		})
	}
	for n := range c.ms {
		if c.mix.renames[n] {
			work(n, 1, 200, c.rename)
		}
		if c.mix.edits[n] {
			work(n, 2, 60, func(m *machine, rng *rand.Rand) { c.edit(n, m, rng) })
		}
		if c.mix.deletes[n] {
			work(n, 3, 600, c.remove)
		}
	}
	wg.Wait()
	c.log("all is quiet")
	var stable time.Time
	var last map[string]string
	eventually(c.t, "the folders are equal and stay so", func() bool {
		x, y := c.tree(0), c.tree(1)
		if !maps.Equal(x, y) || !maps.Equal(x, last) {
			last, stable = x, time.Now()
			if time.Since(until) > patience-5*time.Second {
				c.t.Fatalf("%q\n%q\n%+v\n%+v", x, y, c.ms[0].folder.Status(), c.ms[1].folder.Status())
			}
			return false
		}
		return time.Since(stable) > 1200*time.Millisecond // longer than from one look at everything to the next
	})
}

// tree returns what is in a folder, with the folders.
func (c *chaos) tree(n int) map[string]string {
	list := c.ms[n].texts()
	for _, dir := range c.ms[n].dirs() {
		list[dir+"/"] = ""
	}
	return list
}

// dirs returns the folders in the folder.
func (m *machine) dirs() (list []string) {
	_ = filepath.WalkDir(m.root, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && name != m.root {
			rel, _ := filepath.Rel(m.root, name)
			list = append(list, filepath.ToSlash(rel))
		}
		return nil
	})
	return list
}

func (c *chaos) move(m *machine, from, to string) bool {
	err := os.Rename(m.path(from), m.path(to))
	c.log("%s moves %q to %q: %v", m.name, from, to, err)
	return err == nil
}

// rename renames or moves something, with much or little time in between.
func (c *chaos) rename(m *machine, rng *rand.Rand) {
	dirs, files := m.dirs(), slices.Sorted(maps.Keys(m.texts()))
	pause := func() {
		if rng.IntN(3) > 0 {
			time.Sleep(time.Duration(rng.IntN(120)) * time.Millisecond)
		}
	}
	any := func(list []string) string {
		if len(list) == 0 {
			return "none"
		}
		return list[rng.IntN(len(list))]
	}
	from, prefix := any(files), "f"
	if rng.IntN(3) > 0 {
		from, prefix = any(dirs), "d"
	}
	dir, base := "", ""
	if i := strings.LastIndexByte(from, '/'); i >= 0 {
		base = from[:i+1]
	}
	if rng.IntN(3) > 0 {
		if dir = any(dirs) + "/"; strings.HasPrefix(dir, from+"/") {
			dir = ""
		}
	}
	to := dir + c.fresh(m, prefix)
	switch rng.IntN(7) {
	case 0, 1:
		c.move(m, from, base+c.fresh(m, prefix))
	case 2:
		c.move(m, from, to)
	case 3: // on and on
		for range 1 + rng.IntN(3) {
			if !c.move(m, from, to) {
				break
			}
			pause()
			from, to = to, dir+c.fresh(m, prefix)
		}
	case 4: // there and back
		if c.move(m, from, to) {
			pause()
			c.move(m, to, from)
		}
	case 5: // into a new folder
		into := dir + c.fresh(m, "d")
		if os.Mkdir(m.path(into), 0o755) == nil {
			pause()
			c.move(m, from, into+"/"+c.fresh(m, prefix))
		}
	case 6: // swap
		list := files
		if prefix == "d" {
			list = dirs
		}
		other := any(list)
		if other == from || strings.HasPrefix(other, from+"/") || strings.HasPrefix(from, other+"/") {
			return
		}
		between := c.fresh(m, prefix)
		if c.move(m, from, between) {
			pause()
			c.move(m, other, from)
			pause()
			c.move(m, between, other)
		}
	}
}

// remove deletes something.
func (c *chaos) remove(m *machine, rng *rand.Rand) {
	list := slices.Sorted(maps.Keys(m.texts()))
	if rng.IntN(2) == 0 {
		list = m.dirs()
	}
	if len(list) > 0 {
		name := list[rng.IntN(len(list))]
		c.log("%s removes %q: %v", m.name, name, os.RemoveAll(m.path(name)))
	}
}

// edit appends a line to a file, in place or as editors do.
func (c *chaos) edit(n int, m *machine, rng *rand.Rand) {
	var mine []*scribble
	for _, s := range c.files {
		if s.editor == n {
			mine = append(mine, s)
		}
	}
	s := mine[rng.IntN(len(mine))]
	line := fmt.Sprintf("%s %d\n", m.name, rng.Uint32())
	for name, text := range m.texts() {
		if !strings.HasPrefix(text, s.id+"\n") {
			continue
		}
		if text != s.text {
			c.log("%s sees %q not as it is: %q", m.name, name, text)
			continue
		}
		write := replace
		if rng.IntN(2) == 0 && !c.mix.deletes[0] {
			write = appendTo // what is being removed could take it along
		}
		err := write(m, name, s.text, s.text+line)
		c.log("%s edits %q: %q: %v", m.name, name, line, err)
		if err == nil {
			s.text += line
		}
		return
	}
}

// appendTo writes what is new to the end of a file.
func appendTo(m *machine, name, before, after string) error {
	h, err := os.OpenFile(m.path(name), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = h.WriteString(after[len(before):])
	return errors.Join(err, h.Close())
}

// kept tells whether a content is in the tree of a machine, its history or its trash.
func (c *chaos) kept(m *machine, s *scribble) bool {
	for _, text := range m.texts() {
		if text == s.text {
			return true
		}
	}
	v, release := m.View()
	defer release()
	found := func(e filetree.Entry) bool {
		r, err := m.Open(c.t.Context(), e)
		if err != nil {
			return false
		}
		defer r.Close()
		var b bytes.Buffer
		_, err = r.WriteTo(&b)
		return err == nil && b.String() == s.text
	}
	past := func(path string) bool {
		for p, err := range v.History(c.t.Context(), path) {
			must(c.t, err)
			if p.Kind == filetree.File && found(p.Entry) {
				return true
			}
		}
		return false
	}
	for _, name := range m.files() {
		if past(name) {
			return true
		}
	}
	for d, err := range v.Trash(c.t.Context()) {
		must(c.t, err)
		if d.Kind == filetree.File && (found(d.Entry) || past(d.Path)) {
			return true
		}
	}
	return false
}

func (c *chaos) wantLastEdits() {
	for _, s := range c.files {
		if !c.kept(c.ms[1], s) {
			c.t.Errorf("what was written to %q is lost: %q", s.id, s.text)
		}
	}
}

func (c *chaos) wantAllOnce() {
	texts := c.ms[0].texts()
	for _, s := range c.files {
		n := 0
		for name, text := range texts {
			if !strings.HasPrefix(text, s.id+"\n") {
				continue
			}
			if n++; text != s.text {
				c.t.Errorf("%q has %d bytes of %d: %q, want %q", name, len(text), len(s.text), text, s.text)
			}
		}
		if n != 1 {
			c.t.Errorf("%q is there %d times", s.id, n)
		}
	}
	if len(texts) != len(c.files) {
		c.t.Errorf("%d files", len(texts))
	}
	v, release := c.ms[0].View()
	defer release()
	for rec, err := range v.Journal(c.t.Context(), 0) {
		must(c.t, err)
		for e, err := range v.Effects(c.t.Context(), rec) {
			must(c.t, err)
			if e.What == filetree.MovedAside {
				c.t.Errorf("a conflict copy was made: %q", e.Path)
			}
		}
	}
}
