package space

import (
	"context"
	goflag "flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/storage"
	"github.com/tradle/cloudpal/hyper/storage/baddisk"
	"github.com/tradle/cloudpal/internal/fault"
)

var everyFault = goflag.Bool("fault.every", false, "let every operation fail, not only some of the later ones")

// badImage is the disk of a machine with a space, and what is not on it yet.
type badImage struct {
	badge *badge
	human *human
	mem   *vfs.MemFS
	notes map[string][]string // what may be the note of a key; "" is none
	other *Space              // of a device whose newest nodes the machine does not have
	logs  []*hypercrypto.KeyPair
	news  map[int][][]byte // of each log, raw
}

// told is what somebody was told on a disk that fails.
type told struct {
	*machine
	of    *badImage
	ctx   context.Context
	s     *Space
	notes map[string][]string
}

// note writes a note.
func (d *told) note(s *Space, key, value string) error {
	if d.notes[key] == nil {
		d.notes[key] = []string{""}
	}
	d.notes[key] = append(d.notes[key], value)
	_, err := s.Append(d.ctx, "notes", []byte(key+"="+value))
	if err == nil {
		d.notes[key] = []string{value}
	}
	return err
}

// hear lets the machine have the newest nodes of others.
func (d *told) hear() error {
	for i, kp := range d.of.logs {
		c, err := d.store.Get(d.ctx, corestore.GetOptions{KeyPair: kp})
		if err != nil {
			return err
		}
		if have := c.Length(); have < uint64(len(d.of.news[i])) {
			if _, err = c.Append(d.ctx, d.of.news[i][have:]...); err == nil {
				err = d.s.base.Hint(d.ctx, c.Key(), c.Length())
			}
		}
		if e := c.Close(); err == nil {
			err = e
		}
		if err != nil {
			return err
		}
	}
	return d.s.Update(d.ctx)
}

var faultStories = map[string]func(d *told) error{
	"write": func(d *told) error {
		for i := range 5 {
			if err := d.note(d.s, fmt.Sprint("k", i%3), fmt.Sprint("written ", i)); err != nil {
				return err
			}
		}
		return nil
	},
	"govern": func(d *told) error {
		who := d.of.other.l.opts.PersonName
		members, err := d.s.Members(d.ctx)
		if err != nil {
			return err
		}
		if err := d.s.SetSetting(d.ctx, settingName, []byte("other plans")); err != nil {
			return err
		}
		i, err := d.s.Invite(d.ctx, InviteOptions{Role: Viewer})
		if err != nil {
			return err
		}
		if err := d.s.Revoke(d.ctx, i.ID()); err != nil {
			return err
		}
		for _, m := range members {
			if m.Name == who {
				if err := d.s.SetRole(d.ctx, m.Person, Viewer); err != nil {
					return err
				}
			}
		}
		return d.note(d.s, "k0", "governed")
	},
	"remove a device": func(d *told) error {
		if err := d.s.RemoveDevice(d.ctx, d.of.other.Log()); err != nil {
			return err
		}
		return d.note(d.s, "k0", "without it")
	},
	"hear of others": func(d *told) error {
		for i := range 4 {
			d.notes[fmt.Sprint("b", i)] = []string{"", fmt.Sprint("news ", i)}
		}
		if err := d.hear(); err != nil {
			return err
		}
		for i := range 4 {
			d.notes[fmt.Sprint("b", i)] = d.notes[fmt.Sprint("b", i)][1:]
		}
		return d.note(d.s, "k1", "heard")
	},
	"create another": func(d *told) error {
		s, err := d.Create(d.ctx, "second")
		if err != nil {
			return err
		}
		_, err = s.Append(d.ctx, "notes", []byte("x=y"))
		return err
	},
	"open": nil,
}

// newBadImage makes a space of two people, of which the second wrote more than the first has
// heard.
func newBadImage(t *testing.T) *badImage {
	ada, bob := newHuman("Ada"), newHuman("Bob")
	mem := vfs.NewCrashableMem()
	a := &machine{t: t, badge: ada.badge(), disk: &storage.Options{FS: baddisk.New(mem), MemTableSize: 256 << 10}}
	a.opts = Options{Identity: a.badge, PersonName: ada.name, DeviceName: "laptop", AckInterval: 50 * time.Millisecond, Collections: []Collection{notes{"notes", 1}}}
	a.open()
	b := newMachine(t, bob, "phone")
	s := a.create("plans")
	cut := connect(t, a, b)
	x := b.joinRole(s, Editor)
	im := &badImage{badge: a.badge, human: ada, other: x, notes: make(map[string][]string), news: make(map[int][][]byte)}
	for i := range 3 {
		write(t, s, fmt.Sprintf("k%d=early %d", i, i))
		write(t, x, fmt.Sprintf("e%d=of bob", i))
		im.notes[fmt.Sprint("k", i)], im.notes[fmt.Sprint("e", i)] = []string{fmt.Sprint("early ", i)}, []string{"of bob"}
	}
	agree(t, s, x)
	cut()
	for i := range 4 {
		write(t, x, fmt.Sprintf("b%d=news %d", i, i))
	}
	kp := b.store.Namespace(storeName(x.Record().namespace))
	im.logs = []*hypercrypto.KeyPair{kp.KeyPair(logName)}
	c, err := b.store.Get(t.Context(), corestore.GetOptions{KeyPair: im.logs[0]})
	if err != nil {
		t.Fatal(err)
	}
	im.news[0] = rawBlocks(t, c)
	a.close()
	im.mem = mem
	return im
}

func rawBlocks(t *testing.T, c *hypercore.Core) (list [][]byte) {
	for i := range c.Length() {
		b, err := c.GetRaw(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, b)
	}
	return list
}

// A disk fails at any operation while a space is written, governed, and brought up to date
// with what others wrote. Who asks is told that it is the disk, and what was told before is
// there when the disk is a good one again. A disk that only could not be read once needs no
// restart.
func TestSpacesOnAFailingDisk(t *testing.T) {
	im := newBadImage(t)
	for name, story := range faultStories {
		baddisk.Run(t, name, *everyFault, func(t *testing.T, way baddisk.Fault) (seen, failed int64) { return im.fail(t, story, way) })
	}
}

// on returns the machine on a disk that is as the image is.
func (im *badImage) on(t *testing.T, fs vfs.FS) *machine {
	m := &machine{t: t, badge: im.badge, disk: &storage.Options{FS: fs, MemTableSize: 256 << 10, CacheSize: 1, PageCacheSize: 1}}
	m.opts = Options{Identity: im.badge, PersonName: im.human.name, DeviceName: "laptop", AckInterval: 50 * time.Millisecond, Collections: []Collection{notes{"notes", 1}}}
	return m
}

func (im *badImage) fail(t *testing.T, story func(*told) error, way baddisk.Fault) (seen, failed int64) {
	rng := rand.New(rand.NewPCG(uint64(way.At), 1))
	mem := im.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})
	disk := baddisk.New(mem)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d := &told{machine: im.on(t, disk), of: im, ctx: ctx, notes: make(map[string][]string)}
	for k, v := range im.notes {
		d.notes[k] = slices.Clone(v)
	}
	if story == nil {
		disk.Fail(way)
	}
	err := d.tryOpen()
	if err == nil {
		d.s, err = d.Get("plans")
	}
	if story != nil {
		if err != nil {
			t.Fatal(err)
		}
		disk.Fail(way)
		err = story(d)
		if err != nil && way.Op == errorfs.OpIsRead && !way.Forever && d.store.DB().Err() == nil {
			d.goesOn(t)
		}
	}
	closed := make(chan error, 1)
	go func() { closed <- d.tryClose() }()
	select {
	case <-closed: // what it could not write is lost
	case <-time.After(patience):
		t.Fatal("it does not close")
	}
	seen, failed = disk.Mend()
	if err != nil {
		if r := fault.ReportOf(err); r.Kind != fault.Disk.String() || r.Exit != 11 || len(r.Hints) == 0 {
			t.Errorf("it says %+v", r)
		}
		if failed == 0 {
			t.Errorf("nothing failed, and %v", err)
		}
	}
	d.machine = im.on(t, baddisk.New(mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[way.At%3], RNG: rng})))
	d.check(t)
	return seen, failed
}

// goesOn fails unless the space can be written to.
func (d *told) goesOn(t *testing.T) {
	until(t, "the space goes on", func() bool {
		err := d.note(d.s, "again", "goes on")
		if err != nil && d.s.base.Err() != nil {
			t.Fatalf("it stopped: %v", err)
		}
		return err == nil
	})
}

// check opens the machine on a good disk, and looks for everything.
func (d *told) check(t *testing.T) {
	t.Helper()
	d.open()
	defer d.close()
	if _, failed := d.Records(); len(failed) > 0 {
		t.Fatalf("a space does not open: %v", failed)
	}
	d.s = d.get("plans")
	if err := d.hear(); err != nil {
		t.Fatal(err)
	}
	if d.notes["b0"] == nil {
		for i := range 4 { // its device may have been removed
			d.notes[fmt.Sprint("b", i)] = []string{"", fmt.Sprint("news ", i)}
		}
	}
	got := make(map[string]string)
	for _, n := range dump(t, d.s.View("notes")) {
		k, v, _ := strings.Cut(n, "=")
		got[k] = v
	}
	for k, may := range d.notes {
		if !slices.Contains(may, got[k]) {
			t.Errorf("%s is %q, may be %q", k, got[k], may)
		}
	}
	for k := range maps.Keys(got) {
		if d.notes[k] == nil {
			t.Errorf("%s is %q", k, got[k])
		}
	}
	x := d.s
	fresh := newApp(x.Key(), x.app.level, x.l.opts.Collections)
	fresh.clock, fresh.ring, fresh.box, fresh.log = x.app.clock, x.app.ring, x.app.box, x.app.log
	if err := x.base.Check(t.Context(), fresh.handlers()); err != nil {
		t.Errorf("it is not what its operations give: %v", err)
	}
	write(t, x, "afterwards=a new one")
}
