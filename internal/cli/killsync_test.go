package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
	"github.com/tradle/cloudpal/internal/node"
)

// killSeed repeats a run of TestKilledNodesKeepTheirFoldersEqual, killFor makes it go on
// for a while, such as 10m.
const (
	killSeed = "CLOUDPAL_KILL_SEED"
	killFor  = "CLOUDPAL_KILL_FOR"
)

// settled is how long a content has to lie on the disk of a node that says that it is up
// until it has to be in the history.
const settled = 5 * time.Second

// killed is a node with a folder that is kept equal with the space "family". The node
// is killed at times.
type killed struct {
	t         *testing.T
	home, dir string
	up        []string // what it is started with
	p         *process
}

func (k *killed) start() {
	k.t.Helper()
	p, err := startProcess(homeEnv(k.home), k.dir, k.up...)
	if err != nil {
		k.t.Fatal(err)
	}
	k.p = p
	k.t.Cleanup(p.kill)
}

func (k *killed) kill() {
	k.t.Helper()
	if code, err := k.p.end(syscall.SIGKILL); err != nil || code != -1 {
		k.t.Fatalf("it ended with %d, %v before it was killed: %s", code, err, &k.p.stderr)
	}
	k.p = nil
}

// run runs another command and returns what it prints.
func (k *killed) run(args ...string) string {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), patient)
	defer cancel()
	cmd := exec.CommandContext(ctx, "cloudpal", args...)
	cmd.Env, cmd.Dir = homeEnv(k.home), k.dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		k.t.Fatalf("cloudpal %q: %v: %s%s\n%s", args, err, out, &stderr, k.goroutines())
	}
	return string(out)
}

// goroutines ends the node and returns what it was doing.
func (k *killed) goroutines() string {
	if k.p == nil {
		return ""
	}
	if _, err := k.p.end(syscall.SIGQUIT); err != nil {
		return err.Error()
	}
	return k.p.stderr.String()
}

func (k *killed) client() *client.Client { return client.New(client.Socket(node.Socket(k.home))) }

// idle tells whether the folder has nothing to do.
func (k *killed) idle(c *client.Client) (bool, string) {
	v, err := k.folder(c)
	if err != nil {
		return false, err.Error()
	}
	return v.State == "idle" && v.Pending == 0 && len(v.Problems) == 0, fmt.Sprintf("%+v", v)
}

// folder returns the state of the folder.
func (k *killed) folder(c *client.Client) (v api.SyncFolder, err error) {
	ctx, cancel := context.WithTimeout(k.t.Context(), patient)
	defer cancel()
	for e, err := range c.Events(ctx, "/v1/sync/folders", api.SyncFoldersRequest{}) {
		if err == nil && e.Type == api.TypeSyncFolder {
			err = e.Decode(&v)
		}
		if err != nil || v.Type != "" {
			return v, err
		}
	}
	return v, errors.New("there is no folder")
}

// look describes all that is in the folder.
func (k *killed) look() (map[string]string, map[hypercrypto.Hash]bool) {
	k.t.Helper()
	all, contents := make(map[string]string), make(map[hypercrypto.Hash]bool)
	err := filepath.WalkDir(k.dir, func(name string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(k.dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it just went away
		}
		if err != nil || rel == "." || rel == ".cloudpal-folder" {
			return err
		}
		if d.IsDir() {
			all[rel] = "folder"
			return nil
		}
		info, err := d.Info()
		if err == nil {
			var b []byte
			if b, err = os.ReadFile(name); err == nil {
				contents[hypercrypto.Sum(b)] = true
				all[rel] = fmt.Sprintf("%v %s %.30q %d", info.Mode(), info.ModTime(), b, len(b))
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return all, contents
}

// written is a content that the test wrote.
type written struct {
	by   *killed
	at   time.Time
	size uint64
	// gone: the test itself has removed it before it had to be known.
	gone bool
	text string
}

// writer changes two folders and knows what must not be lost.
type writer struct {
	t   *testing.T
	r   *rand.Rand
	tmp string
	n   int
	all map[hypercrypto.Hash]*written
}

// leaves notes that what is at a path, or below it, is about to be removed by the test.
func (w *writer) leaves(k *killed, path string) {
	b, err := os.ReadFile(path)
	if err != nil {
		return
	}
	c := w.all[hypercrypto.Sum(b)]
	if c == nil || c.by != k { // the other side has it from the space
		return
	}
	if k.p == nil {
		c.gone = true
		return
	}
	if up := k.p.up.Load(); up == nil || time.Since(*up) < settled || time.Since(c.at) < settled {
		c.gone = true
	}
}

// content makes one that nothing else has: the next of a file, or a new one.
func (w *writer) content(path string) []byte {
	w.n++
	line := fmt.Sprintf("content %d\n", w.n)
	switch w.r.IntN(6) {
	case 0, 1:
		if old, err := os.ReadFile(path); err == nil && len(old) < 1<<20 {
			return append(old, line...)
		}
	case 2:
		return append([]byte(line), randomBytes(byte(w.n), 100_000+w.n)...)
	case 3:
		return append([]byte(line), strings.Repeat("a line of text\n", w.n)...)
	}
	return append([]byte(line), randomBytes(byte(w.n), 200+w.n)...)
}

func (w *writer) change(k *killed) {
	folder := func() string {
		return filepath.Join(k.dir, fmt.Sprintf("d%d", w.r.IntN(4)), fmt.Sprintf("e%d", w.r.IntN(2)))
	}
	file := func() string { return filepath.Join(folder(), fmt.Sprintf("f%d", w.r.IntN(8))) }
	path := file()
	// All of these fail at times, since the other side removes things as well.
	switch w.r.IntN(14) {
	case 0:
		to := file()
		if to != path {
			w.leaves(k, to)
			_ = os.Rename(path, to)
		}
	case 1:
		_ = os.Rename(filepath.Dir(path), folder())
	case 2, 3:
		w.leaves(k, path)
		_ = os.Remove(path)
	case 4:
		if w.r.IntN(4) == 0 {
			entries, _ := os.ReadDir(filepath.Dir(path))
			for _, e := range entries {
				w.leaves(k, filepath.Join(filepath.Dir(path), e.Name()))
				_ = os.Remove(filepath.Join(filepath.Dir(path), e.Name()))
			}
			_ = os.Remove(filepath.Dir(path))
		}
	default:
		_ = os.MkdirAll(filepath.Dir(path), 0o755)
		b := w.content(path)
		w.leaves(k, path)
		if w.r.IntN(2) == 0 { // as a good editor saves
			tmp := filepath.Join(w.tmp, "new")
			if err := os.WriteFile(tmp, b, 0o644); err != nil {
				w.t.Fatal(err)
			}
			if os.Rename(tmp, path) != nil {
				return
			}
		} else {
			if os.WriteFile(path, b, 0o644) != nil {
				return
			}
			// A file that is replaced while a program has it open is lost to it.
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, b) {
				return
			}
		}
		w.all[hypercrypto.Sum(b)] = &written{by: k, at: time.Now(), size: uint64(len(b)), text: fmt.Sprintf("%.20q (%d bytes) at %s", b, len(b), path)}
	}
}

// Two nodes keep a folder each equal with a space, which a mirror keeps, while files are
// written, renamed and deleted on both sides. All three are killed again and again. In the
// end the folders are equal, all that lay on a disk for a while is in them or in the
// history, and a third device, which is killed while it gets the space, has the same.
func TestKilledNodesKeepTheirFoldersEqual(t *testing.T) {
	t.Setenv("CLOUDPAL_BOOTSTRAP", "none")
	t.Setenv("CLOUDPAL_LAN", "none")
	seed := rand.Uint64()
	if s := os.Getenv(killSeed); s != "" {
		if _, err := fmt.Sscan(s, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s=%d", killSeed, seed)
	var long time.Duration
	if v := os.Getenv(killFor); v != "" {
		var err error
		if long, err = time.ParseDuration(v); err != nil {
			t.Fatal(err)
		}
	}
	w := &writer{t: t, r: rand.New(rand.NewPCG(seed, 0)), tmp: t.TempDir(), all: make(map[hypercrypto.Hash]*written)}
	a, b := newKilledPair(t, t.TempDir(), t.TempDir())
	m := newKilledMirror(t, a, b)
	nodes := []*killed{a, b}
	began := time.Now()
	for n := 0; n < 9 || time.Since(began) < long; n++ {
		k := []*killed{a, b, a, b, m}[w.r.IntN(5)]
		w.busy(nodes, time.Duration(w.r.IntN(3000))*time.Millisecond)
		k.kill()
		w.busy(nodes, time.Duration(w.r.IntN(600))*time.Millisecond)
		k.start()
	}
	w.busy(nodes, time.Second)
	awaitEqual(t, a, b)
	_, kept := a.look()
	awaitHistory(t, w, a, kept)
	c := newcomer(t, w, a)
	awaitEqual(t, a, c)
	for _, k := range append(nodes, m, c) {
		k.healthy()
	}
}

// ownAddress is one for a program that is to listen at the same port whenever it starts
// again. On Linux nobody else takes the port meanwhile: connections come from 127.0.0.1.
func ownAddress() string {
	if runtime.GOOS != "linux" {
		return "tcp://127.0.0.1:0"
	}
	return fmt.Sprintf("tcp://127.%d.%d.%d:0", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
}

// newKilledMirror starts a mirror of the space.
func newKilledMirror(t *testing.T, a, b *killed) *killed {
	t.Helper()
	root := t.TempDir()
	m := &killed{t: t, home: filepath.Join(root, "home"), dir: root, up: []string{"mirror", "--listen", ownAddress()}}
	m.start()
	up, err := m.p.event("mirroring")
	if err != nil {
		t.Fatal(err)
	}
	m.up[2] = up["listen"].([]any)[0].(string)
	for _, k := range []*killed{a, b} {
		k.kill()
		k.up = append(k.up, "--peer", m.up[2])
		k.start()
		if _, err := k.p.event("up"); err != nil {
			t.Fatal(err)
		}
	}
	a.run("space", "add-mirror", "family", up["key"].(string))
	return m
}

// newcomer lets one more device of somebody else into the space, which is killed while it
// jumps to the state, fetches the rest, and fills its folder, and while what is in the
// trash goes from all devices.
func newcomer(t *testing.T, w *writer, a *killed) *killed {
	t.Helper()
	root := t.TempDir()
	c := &killed{t: t, home: filepath.Join(root, "home"), dir: filepath.Join(root, "folder"), up: []string{"up", "--peer", a.up[2]}}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	c.run("identity", "new", "--protect", "plain")
	invite := strings.TrimSpace(a.run("space", "invite", "family", "--role", "editor", "--no-wait", "--quiet"))
	c.run("join", invite[strings.Index(invite, "cloudpal://"):], "--peer", a.up[2], "--name", "family")
	c.start()
	if _, err := c.p.event("up"); err != nil {
		t.Fatal(err)
	}
	c.run("sync", c.dir, "--space", "family")
	for n := range 6 {
		time.Sleep(time.Duration(w.r.IntN(500)) * time.Millisecond) // when it is killed does not matter
		c.kill()
		if n == 2 {
			a.run("trash", "empty", "family")
		}
		if n == 4 {
			a.kill()
			a.start()
		}
		c.start()
	}
	return c
}

// healthy ends the node, and wants it to be well.
func (k *killed) healthy() {
	k.t.Helper()
	if code, err := k.p.end(syscall.SIGINT); err != nil || code != 0 {
		k.t.Errorf("it ends with %d, %v: %s", code, err, &k.p.stderr)
	}
	k.p = nil
	if out := k.run("doctor", "--check"); !strings.Contains(out, ", 0 problems") {
		k.t.Errorf("doctor: %s", out)
	}
}

// busy changes the folders for a while.
func (w *writer) busy(nodes []*killed, d time.Duration) {
	for until := time.Now().Add(d); time.Now().Before(until); {
		w.change(nodes[w.r.IntN(2)])
		time.Sleep(time.Duration(w.r.IntN(60)) * time.Millisecond) // the pace of work, nothing waits for it
	}
}

// newKilledPair starts two nodes with a space in common and a folder each. Those of the
// second are below homes and folders.
func newKilledPair(t *testing.T, homes, folders string) (a, b *killed) {
	t.Helper()
	root := t.TempDir()
	var pair []*killed
	for _, k := range []*killed{
		{t: t, home: filepath.Join(root, "home"), dir: filepath.Join(root, "folder")},
		{t: t, home: filepath.Join(homes, "home"), dir: filepath.Join(folders, "folder")},
	} {
		if err := os.MkdirAll(k.dir, 0o755); err != nil {
			t.Fatal(err)
		}
		k.run("identity", "new", "--protect", "plain")
		pair = append(pair, k)
	}
	a, b = pair[0], pair[1]
	a.run("space", "create", "family")
	a.up = []string{"up", "--listen", ownAddress()}
	a.start()
	up, err := a.p.event("up")
	if err != nil {
		t.Fatal(err)
	}
	listen := up["listen"].([]any)[0].(string)
	a.up[2] = listen // and there again after each kill
	invite := strings.TrimSpace(a.run("space", "invite", "family", "--role", "editor", "--no-wait", "--quiet"))
	invite = invite[strings.Index(invite, "cloudpal://"):]
	b.run("join", invite, "--peer", listen, "--name", "family")
	b.up = []string{"up", "--peer", listen}
	b.start()
	if _, err := b.p.event("up"); err != nil {
		t.Fatal(err)
	}
	for _, k := range pair {
		k.run("sync", k.dir, "--space", "family")
	}
	return a, b
}

// awaitEqual waits until both folders are equal and have nothing to do.
func awaitEqual(t *testing.T, a, b *killed) {
	t.Helper()
	left, right := a.client(), b.client()
	defer left.Close()
	defer right.Close()
	quiet := 0
	for until := time.Now().Add(patient); quiet < 3; time.Sleep(300 * time.Millisecond) {
		one, _ := a.look()
		two, _ := b.look()
		idleA, stateA := a.idle(left)
		idleB, stateB := b.idle(right)
		if idleA && idleB && maps.Equal(one, two) {
			quiet++
			continue
		}
		quiet = 0
		if time.Now().After(until) {
			for _, p := range slices.Sorted(maps.Keys(one)) {
				if one[p] != two[p] {
					t.Errorf("%s: %s, and in the other folder %s", p, one[p], two[p])
				}
			}
			for _, p := range slices.Sorted(maps.Keys(two)) {
				if one[p] == "" {
					t.Errorf("%s: only in the other folder: %s", p, two[p])
				}
			}
			for _, k := range []*killed{a, b} {
				t.Logf("the space at %s:\n%s", k.dir, k.run("ls", "-r", "family:"))
				for p := range one {
					if one[p] != two[p] && one[p] != "folder" {
						t.Logf("%s there:\n%s", p, k.run("log", "family:"+p))
					}
				}
			}
			t.Fatalf("not equal:\n%s\n%s\n%s\n%s", stateA, stateB, a.goroutines(), b.goroutines())
		}
	}
}

// awaitHistory looks in the history of the space for all that is not in the folders.
func awaitHistory(t *testing.T, w *writer, k *killed, kept map[hypercrypto.Hash]bool) {
	t.Helper()
	c := k.client()
	defer c.Close()
	missing, sizes := make(map[hypercrypto.Hash]*written), make(map[uint64]bool)
	for sum, v := range w.all {
		if !v.gone && !kept[sum] {
			missing[sum], sizes[v.size] = v, true
		}
	}
	must := len(missing)
	versions := 0
	for e, err := range c.Events(t.Context(), "/v1/history", api.HistoryRequest{Target: api.Target{Ref: "family:"}}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type != api.TypeVersion {
			continue
		}
		var v api.Version
		if err := e.Decode(&v); err != nil {
			t.Fatal(err)
		}
		versions++
		if v.Omitted > 0 { // look at all that there was
			list := api.ListRequest{Target: api.Target{Ref: "family:", State: api.State{Version: v.Version}}, Recursive: true}
			for e, err := range c.Events(t.Context(), "/v1/list", list) {
				var x api.Entry
				if err == nil && e.Type == api.TypeEntry {
					err = e.Decode(&x)
				}
				if err != nil {
					t.Fatal(err)
				}
				if x.Kind == "file" {
					v.Changes = append(v.Changes, api.Change{Op: "add", Path: strings.TrimPrefix(x.Path, "/"), Size: x.Size})
				}
			}
		}
		for _, change := range v.Changes {
			if change.Op == "remove" || !sizes[change.Size] {
				continue
			}
			r := api.ContentRequest{Target: api.Target{Ref: "family:" + change.Path, State: api.State{Version: v.Version}}}
			body, _, err := c.Content(t.Context(), r)
			if err != nil {
				t.Errorf("version %d of %s: %v", v.Version, change.Path, err)
				continue
			}
			data, err := io.ReadAll(body)
			if err = errors.Join(err, body.Close()); err != nil {
				t.Errorf("version %d of %s: %v", v.Version, change.Path, err)
			}
			delete(missing, hypercrypto.Sum(data))
		}
	}
	for _, v := range missing {
		t.Errorf("%s is lost, written %s before the end", v.text, time.Since(v.at).Round(time.Millisecond))
	}
	t.Logf("%d contents written, %d in the folders, %d looked for in %d versions", len(w.all), len(kept), must, versions)
}
