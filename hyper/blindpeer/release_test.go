package blindpeer

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// noise is a log of blocks that no compression makes smaller.
func (d *device) noise(name string, blocks, size int) *hypercore.Core {
	d.t.Helper()
	c := d.log(name, 0, 0)
	random := rand.NewChaCha8([32]byte{1})
	var list [][]byte
	for range blocks {
		b := make([]byte, size)
		random.Read(b)
		list = append(list, b)
	}
	if _, err := c.Append(d.t.Context(), list...); err != nil {
		d.t.Fatal(err)
	}
	return c
}

// released is the release of runs of a log by its writer.
func releasedBy(c *hypercore.Core, runs ...hypercore.Run) Release {
	return Release{Log: c.Key(), Fork: c.Fork(), Length: c.Length(), Runs: runs, Writer: c.KeyPair()}
}

// held returns the runs that a mirror holds of a log.
func (m *mirror) held(c *hypercore.Core) (runs []hypercore.Run) {
	m.t.Helper()
	st, err := m.store.DB().Core(c.DiscoveryKey())
	if err != nil {
		m.t.Fatal(err)
	}
	for start, end := range st.Held().Runs(0, c.Length()) {
		runs = append(runs, hypercore.Run{Start: start, End: end})
	}
	return runs
}

func (m *mirror) wantHeld(c *hypercore.Core, want ...hypercore.Run) {
	m.t.Helper()
	if got := m.held(c); !slices.Equal(got, want) {
		m.t.Errorf("held is %v, want %v", got, want)
	}
}

// onDisk returns what a folder takes.
func onDisk(t testing.TB, dir string) (total int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil && unix.Stat(name, &st) == nil { // else it disappeared meanwhile
			total += st.Blocks * 512
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return total
}

func TestReleasedBlocksGoFromTheMirror(t *testing.T) {
	const block, blocks = 64 << 10, 200
	m := startMirror(t, nil)
	a := newDevice(t, 1)
	c := a.noise("x", blocks, block)
	a.keep(c, Subject{}, m)
	m.holds(c)
	segments := filepath.Join(m.dir, "segments") // the log of the database is as large as ever
	before, size := m.Stats().Bytes, onDisk(t, segments)
	r := releasedBy(c, hypercore.Run{Start: 0, End: 5}, hypercore.Run{Start: 10, End: 190})
	if err := a.Release(patient(t), m.KeyPair().Public, r); err != nil {
		t.Fatal(err)
	}
	left := []hypercore.Run{{Start: 5, End: 10}, {Start: 190, End: 200}}
	m.wantHeld(c, left...)
	if !m.Holds(c.Key()) {
		t.Error("the mirror does not hold all that is not released")
	}
	s := m.Stats()
	if s.BytesReleased != 185*block || before-s.Bytes != 185*block {
		t.Errorf("%d bytes released, %d less counted", s.BytesReleased, before-s.Bytes)
	}
	eventually(t, "the disk shrinks", func() bool { return onDisk(t, segments) < size/4 })

	// It does not fetch them again: not when the log grows, nor on a new connection, nor
	// after a restart.
	if _, err := c.Append(t.Context(), make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	m.holds(c)
	left[1].End++
	m.wantHeld(c, left...)
	a.offline()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = openMirror(t, m.dir, nil)
	if !m.Holds(c.Key()) || m.Stats().Bytes != before-185*block+10+blockCost {
		t.Errorf("after a restart: %+v", m.Stats())
	}
	a.knows(m)
	a.connect(m)
	if _, err := c.Append(t.Context(), make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	m.holds(c)
	left[1].End++
	m.wantHeld(c, left...)

	// What is said again changes nothing, and what is not released any more comes back.
	if err := a.Release(patient(t), m.KeyPair().Public, r); err != nil {
		t.Fatal(err)
	}
	r = releasedBy(c, hypercore.Run{Start: 0, End: 5})
	if err := a.Release(patient(t), m.KeyPair().Public, r); err != nil {
		t.Fatal(err)
	}
	eventually(t, "fetched again", func() bool { return slices.Equal(m.held(c), []hypercore.Run{{Start: 5, End: 202}}) })
	if got := m.Stats().Bytes; got != before-5*block+20+2*blockCost {
		t.Errorf("%d bytes counted, %d before", got, before)
	}
}

func TestOthersReleaseNothing(t *testing.T) {
	trusted := newDevice(t, 4)
	m := startMirror(t, &Options{Trusted: []hypercrypto.PublicKey{trusted.keyPair.Public}})
	a, deputy, stranger := newDevice(t, 1), newDevice(t, 2).knows(m), newDevice(t, 3).knows(m)
	trusted.knows(m)
	c := a.log("x", 20, 100)
	a.keep(c, Subject{}, m)
	m.holds(c)
	mirror, all := m.KeyPair().Public, hypercore.Run{Start: 0, End: 20}
	stranger.keep(c, Subject{}, m) // to place a log gives no right to it

	forged := releasedBy(c, all)
	forged.Writer = stranger.keyPair
	wantRefusal(t, stranger.Release(patient(t), mirror, forged), string(errNotSpeaker))
	unsigned := releasedBy(c, all)
	unsigned.Writer = nil
	wantRefusal(t, stranger.Release(patient(t), mirror, unsigned), string(errNotSpeaker))
	wantRefusal(t, deputy.Release(patient(t), mirror, unsigned), string(errNotSpeaker))

	// A statement for another mirror, one that was changed, an old one, one about blocks
	// that the mirror does not know, and about another fork.
	say := func(d *device, change func(*statement), sign bool) error {
		s := statement{Log: c.Key(), Time: 1000, To: 20, Runs: []hypercore.Run{{Start: 3, End: 4}}}
		to := mirror
		if !sign {
			to = stranger.keyPair.Public
		}
		if change != nil {
			change(&s)
		}
		signature := c.KeyPair().Sign(s.signed(to))
		s.Signature = signature[:]
		_, err := d.call(patient(t), mirror, methodRelease, s.appendTo(nil))
		return err
	}
	wantRefusal(t, say(stranger, nil, false), string(errNotSpeaker))
	wantRefusal(t, say(stranger, func(s *statement) { s.To++ }, true), string(errNotHere))
	wantRefusal(t, say(stranger, func(s *statement) { s.Fork++ }, true), string(errNotHere))
	wantRefusal(t, say(stranger, func(s *statement) { s.Log[0]++ }, true), string(errNotKept))
	m.wantHeld(c, all)

	// The writer's word counts, whoever brings it, once.
	if err := say(stranger, nil, true); err != nil {
		t.Fatal(err)
	}
	m.wantHeld(c, hypercore.Run{Start: 0, End: 3}, hypercore.Run{Start: 4, End: 20})
	wantRefusal(t, say(stranger, nil, true), string(errOld))

	// Deputies are those that the writer names, until it names others.
	named := releasedBy(c, hypercore.Run{Start: 3, End: 4})
	named.Deputies = []hypercrypto.PublicKey{deputy.keyPair.Public}
	if err := a.Release(patient(t), mirror, named); err != nil {
		t.Fatal(err)
	}
	unsigned.Runs = []hypercore.Run{{Start: 3, End: 5}}
	if err := deputy.Release(patient(t), mirror, unsigned); err != nil {
		t.Fatal(err)
	}
	m.wantHeld(c, hypercore.Run{Start: 0, End: 3}, hypercore.Run{Start: 5, End: 20})
	if err := a.Release(patient(t), mirror, releasedBy(c, hypercore.Run{Start: 3, End: 5})); err != nil {
		t.Fatal(err)
	}
	unsigned.Runs = []hypercore.Run{all}
	wantRefusal(t, deputy.Release(patient(t), mirror, unsigned), string(errNotSpeaker))
	if err := trusted.Release(patient(t), mirror, unsigned); err != nil {
		t.Fatal(err)
	}
	m.wantHeld(c)
}

// A log of which the mirror got nothing before.
func TestWhatIsReleasedIsNotFetchedAtFirst(t *testing.T) {
	m, n := startMirror(t, nil), startMirror(t, nil)
	a := newDevice(t, 1)
	c := a.log("x", 50, 1000)
	a.keep(c, Subject{}, m)
	m.holds(c)
	if err := a.Release(patient(t), m.KeyPair().Public, releasedBy(c, hypercore.Run{Start: 10, End: 40})); err != nil {
		t.Fatal(err)
	}
	a.offline()
	// A reader that holds what the mirror has serves the next one; nobody has the rest.
	b := newDevice(t, 2).knows(m)
	key := c.Key()
	r, err := b.Store.Get(t.Context(), corestore.GetOptions{Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	b.connect(m)
	if err := r.Download(hypercore.Range{Start: 0, End: 50, Except: []hypercore.Run{{Start: 10, End: 40}}}).Wait(patient(t)); err != nil {
		t.Fatal(err)
	}
	b.keep(r, Subject{}, n)
	eventually(t, "the log is known", func() bool { r, _ := n.Record(key); return r.Length == 50 })
	if n.Holds(key) {
		t.Error("the second mirror does not know what is released, and holds all")
	}
	a.knows(n)
	if err := a.Release(patient(t), n.KeyPair().Public, releasedBy(c, hypercore.Run{Start: 10, End: 40})); err != nil {
		t.Fatal(err)
	}
	n.holds(c)
	eventually(t, "counted without what is released", func() bool { r, _ := n.Record(key); return r.Bytes == 20*1000 })
}

func TestManyRunsTakeSeveralStatements(t *testing.T) {
	m := startMirror(t, nil)
	a := newDevice(t, 1)
	c := a.log("x", 70_000, 1)
	a.keep(c, Subject{}, m)
	m.holds(c)
	var runs []hypercore.Run
	for i := uint64(0); i < c.Length(); i += 2 {
		runs = append(runs, hypercore.Run{Start: i, End: i + 1})
	}
	if err := a.Release(patient(t), m.KeyPair().Public, releasedBy(c, runs...)); err != nil {
		t.Fatal(err)
	}
	if got := m.held(c); len(got) != 35_000 || got[0].Start != 1 {
		t.Errorf("%d runs held", len(got))
	}
	if st, err := m.released(c.Key()); err != nil || st.Runs != hashRuns(runs) {
		t.Errorf("%+v, %v", st, err)
	}
}

// A mirror that knows nothing of releases, such as one in JavaScript.
func TestMirrorsThatKeepReleasedBlocksSaySo(t *testing.T) {
	m := startMirror(t, nil)
	a := newDevice(t, 1).knows(m)
	ctx, cancel := context.WithCancel(patient(t))
	defer cancel()
	_, err := a.call(ctx, m.KeyPair().Public, "nonsense", nil)
	var remote *RemoteError
	if !errors.As(err, &remote) || remote.Code != codeUnknown {
		t.Fatal(err)
	}
}

func TestReplacedWindowsAreASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const n = 40
		var model [n]bool
		st := &released{}
		for range rapid.IntRange(1, 6).Draw(t, "statements") {
			from := rapid.Uint64Range(0, n-1).Draw(t, "from")
			to := rapid.Uint64Range(from, n).Draw(t, "to")
			var runs []hypercore.Run
			for i := from; i < to; i++ {
				if model[i] = rapid.Bool().Draw(t, "released"); !model[i] {
					continue
				}
				if k := len(runs); k > 0 && runs[k-1].End == i {
					runs[k-1].End++
				} else {
					runs = append(runs, hypercore.Run{Start: i, End: i + 1})
				}
			}
			st.replace(from, to, runs)
		}
		again, err := decodeReleased(st.appendTo(nil))
		if err != nil || !slices.Equal(again.runs, st.runs) {
			t.Fatalf("%v becomes %v, %v", st.runs, again, err)
		}
		for i := range uint64(n) {
			if in := len(between(st.runs, i, i+1)) > 0; in != model[i] {
				t.Fatalf("block %d: %v in %v", i, in, st.runs)
			}
		}
	})
}

// FuzzStatement feeds the decoders of what is said about released blocks.
func FuzzStatement(f *testing.F) {
	s := statement{Log: hypercrypto.Key{1}, Time: 9, From: 3, To: 70, Runs: []hypercore.Run{{Start: 3, End: 5}, {Start: 60, End: 70}}, Deputies: []hypercrypto.PublicKey{{2}}}
	f.Add(s.appendTo(nil))
	s.Signature = make([]byte, 64)
	f.Add(s.appendTo(nil))
	f.Add((&released{1, 2, s.Runs, s.Deputies, false, 0, 0}).appendTo(nil))
	f.Add((&releaseState{Time: 7}).appendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := decodeStatement(b); err == nil {
			if !sorted(s.Runs, s.From, s.To) || len(s.Deputies) > MaxDeputies || len(s.Runs) > len(b) {
				t.Fatalf("%+v", s)
			}
			again(t, s.appendTo(nil), func(b []byte) ([]byte, error) { s, err := decodeStatement(b); return s.appendTo(nil), err })
		}
		if s, err := decodeReleased(b); err == nil {
			if !sorted(s.runs, 0, maxBlock) {
				t.Fatalf("%+v", s)
			}
			again(t, s.appendTo(nil), func(b []byte) ([]byte, error) {
				s, err := decodeReleased(b)
				if err != nil {
					return nil, err
				}
				return s.appendTo(nil), nil
			})
		}
		if s, err := decodeReleaseState(b); err == nil {
			again(t, s.appendTo(nil), func(b []byte) ([]byte, error) { s, err := decodeReleaseState(b); return s.appendTo(nil), err })
		}
	})
}

// sorted tells whether runs are what a statement may have.
func sorted(runs []hypercore.Run, from, to uint64) bool {
	for i, r := range runs {
		if r.Start < from || i > 0 && r.Start == from || r.End <= r.Start || r.End > to {
			return false
		}
		from = r.End
	}
	return true
}

func TestStatementsAreBounded(t *testing.T) {
	q := call{ID: 1, Method: methodRelease, Value: make([]byte, maxStatement)}
	if _, err := decodeCall(q.appendTo(nil)); err == nil {
		t.Error("a statement above the limit is read")
	}
	q.Value = q.Value[:maxStatement-100]
	if _, err := decodeCall(q.appendTo(nil)); err != nil {
		t.Error(err)
	}
	q.Method = methodAdd
	if _, err := decodeCall(q.appendTo(nil)); err == nil {
		t.Error("another call of that size is read")
	}
	s := statement{To: maxBlock}
	for range MaxDeputies + 1 {
		s.Deputies = append(s.Deputies, hypercrypto.PublicKey{})
	}
	if _, err := decodeStatement(s.appendTo(nil)); err == nil {
		t.Error("too many deputies are read")
	}
	s = statement{From: 5, To: 4}
	if _, err := decodeStatement(s.appendTo(nil)); err == nil {
		t.Error("blocks that end before they begin are read")
	}
	b := compact.AppendUint(compact.AppendUint(nil, 1<<40), 0)
	r := compact.NewReader(b)
	if readRuns(&r, 0, 10); r.Err() == nil {
		t.Error("more runs than there are bytes")
	}
}
