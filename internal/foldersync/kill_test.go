package foldersync

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/gob"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tradle/cloudpal/internal/digest"
	"github.com/tradle/cloudpal/internal/filetree"
)

// killEnv makes the test program keep the folders of a directory in sync until it is killed.
const killEnv = "FOLDERSYNC_KILL_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killEnv); dir != "" {
		if err := syncUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// diskTree is a memTree that survives the process.
type diskTree struct {
	*view
	dir string
	mu  *sync.Mutex // guards log, and the order of commits
	log *os.File
}

func openDiskTree(dir string) (*memTree, *diskTree, error) {
	m := newMemTree()
	if err := os.MkdirAll(filepath.Join(dir, "contents"), 0o755); err != nil {
		return nil, nil, err
	}
	list, err := os.ReadDir(filepath.Join(dir, "contents"))
	if err != nil {
		return nil, nil, err
	}
	for _, d := range list {
		data, err := os.ReadFile(filepath.Join(dir, "contents", d.Name()))
		if err != nil {
			return nil, nil, err
		}
		if sum := digest.Sum(data); hex.EncodeToString(sum[:]) == d.Name() {
			m.contents[sum] = data
		}
	}
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, nil, err
	}
	all, err := io.ReadAll(log)
	if err != nil {
		return nil, nil, err
	}
	rest := all
	for len(rest) >= 4 {
		n := int(binary.BigEndian.Uint32(rest))
		if n > len(rest)-4 {
			break
		}
		var changes []filetree.Change
		if err := gob.NewDecoder(bytes.NewReader(rest[4 : 4+n])).Decode(&changes); err != nil {
			return nil, nil, err
		}
		if _, err := m.Commit(context.Background(), changes); err != nil {
			return nil, nil, err
		}
		rest = rest[4+n:]
	}
	end := int64(len(all) - len(rest))
	if err := log.Truncate(end); err != nil {
		return nil, nil, err
	}
	if _, err := log.Seek(end, io.SeekStart); err != nil {
		return nil, nil, err
	}
	return m, &diskTree{view: m.view(), dir: dir, mu: new(sync.Mutex), log: log}, nil
}

func (d *diskTree) Commit(ctx context.Context, changes []filetree.Change) ([]filetree.Version, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := bytes.NewBuffer(make([]byte, 4))
	if err := gob.NewEncoder(b).Encode(changes); err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(b.Bytes(), uint32(b.Len()-4))
	if _, err := d.log.Write(b.Bytes()); err != nil {
		return nil, err
	}
	return d.view.Commit(ctx, changes)
}

func (d *diskTree) save(data []byte) error {
	sum := digest.Sum(data)
	name := filepath.Join(d.dir, "contents", hex.EncodeToString(sum[:]))
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	temporary, err := os.CreateTemp(d.dir, "content-")
	if err != nil {
		return err
	}
	if _, err := temporary.Write(data); err != nil {
		return err
	}
	if err := temporary.Close(); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), name)
}

func (d *diskTree) Store(ctx context.Context, r io.Reader, prev []byte) (Content, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return Content{}, err
	}
	if err := d.save(data); err != nil {
		return Content{}, err
	}
	return d.view.Store(ctx, bytes.NewReader(data), prev)
}

func (d *diskTree) StoreBatch(ctx context.Context, list []Small) ([][]byte, error) {
	for _, s := range list {
		if err := d.save(s.Data); err != nil {
			return nil, err
		}
	}
	return d.view.StoreBatch(ctx, list)
}

func killPaths(dir, name string) (root, state string) {
	return filepath.Join(dir, name), filepath.Join(dir, name+"-state")
}

func syncUntilKilled(dir string) error {
	m, first, err := openDiskTree(filepath.Join(dir, "tree"))
	if err != nil {
		return err
	}
	second := *first
	second.view = m.view()
	var wg sync.WaitGroup
	for name, tree := range map[string]Tree{"a": first, "b": &second} {
		root, state := killPaths(dir, name)
		f, err := Open(tree, root, state, nil)
		if err != nil {
			return err
		}
		wg.Go(func() { err = f.Run(context.Background()) })
	}
	fmt.Println("running")
	wg.Wait()
	return err
}

// The process is killed again and again while two folders change. In the end both are
// equal, and every content that was left on disk is in the tree or was.
func TestKilledAtAnyTime(t *testing.T) {
	dir := t.TempDir()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	written := map[string]bool{}
	n := 0
	change := func(name string) {
		root, _ := killPaths(dir, name)
		p := filepath.Join(root, fmt.Sprintf("d%d", r.IntN(4)), fmt.Sprintf("e%d", r.IntN(2)))
		_ = os.MkdirAll(p, 0o755)
		p = filepath.Join(p, fmt.Sprintf("f%d", r.IntN(6)))
		switch r.IntN(12) {
		case 0:
			_ = os.Rename(filepath.Dir(p), filepath.Join(root, fmt.Sprintf("g%d", r.IntN(4))))
		case 1:
			_ = os.Rename(p, p+"-renamed")
		default:
			n++
			text := fmt.Sprintf("content %d ", n)
			if r.IntN(10) == 0 {
				text += string(bytes.Repeat([]byte("large "), 50_000))
			}
			if os.WriteFile(p, []byte(text), 0o644) == nil {
				written[text] = true
			}
		}
	}
	rounds := 12
	if testing.Short() {
		rounds = 4
	}
	for range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killEnv+"="+dir)
		out, err := cmd.StdoutPipe()
		must(t, err)
		cmd.Stderr = os.Stderr
		must(t, cmd.Start())
		if _, err := io.ReadFull(out, make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Duration(50+r.IntN(400)) * time.Millisecond); time.Now().Before(deadline); {
			change([]string{"a", "b"}[r.IntN(2)])
			time.Sleep(time.Duration(r.IntN(5)) * time.Millisecond)
		}
		must(t, cmd.Process.Kill())
		_ = cmd.Wait() // it was killed
	}
	m, tree, err := openDiskTree(filepath.Join(dir, "tree"))
	must(t, err)
	var boxes []*box
	for _, name := range []string{"a", "b"} {
		root, state := killPaths(dir, name)
		f, err := Open(tree, root, state, nil)
		must(t, err)
		boxes = append(boxes, &box{Folder: f, t: t, tree: m, root: root})
	}
	// What is on disk now was not synced perhaps; what is written over later is not lost.
	before := map[string]bool{}
	for _, b := range boxes {
		maps.Copy(before, b.contents())
	}
	for range 3 {
		for _, b := range boxes {
			b.once()
		}
	}
	for text := range before {
		if _, known := m.contents[digest.Sum([]byte(text))]; !known && written[text] {
			t.Errorf("%.20q is lost", text)
		}
	}
	wantEqual(t, "folders", boxes[0].texts(), boxes[1].texts())
	wantEqual(t, "tree", m.texts(), boxes[0].texts())
	conflicts := 0
	for p := range m.texts() {
		if bytes.Contains([]byte(p), []byte("recovered")) {
			conflicts++
		}
	}
	t.Logf("%d contents, %d entries, %d recovered", n, len(m.texts()), conflicts)
}

// An import that was stopped goes on where it was.
func TestImportGoesOnAfterACrash(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, nil)
	const files = 2*MaxChanges + 100
	for i := range files {
		b.write(fmt.Sprintf("d%02d/f%d", i%50, i), fmt.Sprintf("content %d", i))
	}
	left := 1
	tree.fail = func(op, path string) error {
		if op == "commit" {
			if left--; left < 0 {
				return errCrash
			}
		}
		return nil
	}
	if err := b.Once(t.Context()); err == nil {
		t.Fatal("no crash")
	}
	tree.fail = nil
	b.restart()
	before := b.Status().Files
	b.once()
	if s := b.Status(); before == 0 || int(s.Committed) != s.Files-before {
		t.Errorf("%d changes for %d files after %d", s.Committed, s.Files-before, before)
	}
	wantEqual(t, "tree", tree.texts(), b.texts())
}
