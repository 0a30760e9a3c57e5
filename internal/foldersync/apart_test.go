package foldersync

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// slowTree stores large contents when the test lets it.
type slowTree struct {
	*view
	began chan struct{} // receives for each Store
	goOn  chan struct{} // is received from for each
}

func (s *slowTree) Store(ctx context.Context, r io.Reader, prev []byte) (Content, error) {
	s.began <- struct{}{}
	select {
	case <-s.goOn:
	case <-ctx.Done():
		return Content{}, context.Cause(ctx)
	}
	return s.view.Store(ctx, r, prev)
}

func slow(t *testing.T) (b *box, s *slowTree) {
	tree := newMemTree()
	s = &slowTree{view: tree.view(), began: make(chan struct{}, 100), goOn: make(chan struct{})}
	b = newBoxOn(t, tree, s, nil)
	b.largeSize = 256 << 10
	live(t, b)
	eventually(t, "the start", func() bool { s := b.Status(); return s.Watching && !s.LastScan.IsZero() })
	return b, s
}

func (b *box) has(path, text string) func() bool {
	return func() bool { got, ok := b.tree.texts()[path]; return ok && got == text }
}

// What is saved while a large file is being stored does not wait for that.
func TestLargeFilesHoldUpNothing(t *testing.T) {
	b, s := slow(t)
	big := string(bytes.Repeat([]byte("big"), 200_000))
	b.write("dir/big", big)
	<-s.began
	for _, name := range []string{"a", "dir/b", "z"} {
		b.write(name, "small")
		eventually(t, name, b.has(name, "small"))
	}
	if st := b.Status(); st.State == StateIdle && st.Waiting == 0 {
		t.Errorf("all is said to be done: %+v", st)
	}
	s.goOn <- struct{}{}
	eventually(t, "the large file", b.has("dir/big", big))
	eventually(t, "nothing to do", func() bool { st := b.Status(); return st.State == StateIdle && st.Waiting == 0 })
	if len(b.tree.texts()) != 5 || len(b.Status().Problems) > 0 {
		t.Errorf("%d files, %+v", len(b.tree.texts()), b.Status().Problems)
	}
}

// A large file that goes, changes or moves while it is stored is in the end in the tree
// what it is on disk.
func TestLargeFilesThatChangeMeanwhile(t *testing.T) {
	big := bytes.Repeat([]byte("big"), 200_000)
	for name, c := range map[string]struct {
		change func(b *box)
		want   map[string]string
	}{
		"goes":          {func(b *box) { must(t, os.Remove(b.path("big"))) }, map[string]string{}},
		"moves":         {func(b *box) { must(t, os.Rename(b.path("big"), b.path("moved"))) }, map[string]string{"moved": string(big)}},
		"becomes small": {func(b *box) { b.write("big", "small") }, map[string]string{"big": "small"}},
		"grows":         {func(b *box) { b.write("big", string(big)+"more") }, map[string]string{"big": string(big) + "more"}},
		"folder": {func(b *box) { must(t, os.Remove(b.path("big"))); b.write("big/in", "it") },
			map[string]string{"big/": "", "big/in": "it"}},
	} {
		t.Run(name, func(t *testing.T) {
			b, s := slow(t)
			b.write("big", string(big))
			<-s.began
			c.change(b)
			b.write("other", "small")
			eventually(t, "another file", b.has("other", "small"))
			close(s.goOn)
			c.want["other"] = "small"
			eventually(t, "the tree has what is on disk", func() bool {
				texts := b.tree.texts()
				if len(texts) != len(c.want) {
					return false
				}
				for name, text := range c.want {
					if texts[name] != text {
						return false
					}
				}
				return true
			})
			eventually(t, "nothing to do", func() bool { st := b.Status(); return st.State == StateIdle && st.Waiting == 0 })
			time.Sleep(2 * quietTime) // for what is still to be heard
			wantEqual(t, "tree", b.tree.texts(), c.want)
		})
	}
}

// A large file that cannot be stored is read again, after ever longer pauses.
func TestLargeFilesThatFailAreTriedEverLessOften(t *testing.T) {
	tree := newMemTree()
	var mu sync.Mutex
	var tries []time.Time
	tree.fail = func(op, path string) error {
		if op == "commit" && path == "big" {
			mu.Lock()
			defer mu.Unlock()
			tries = append(tries, time.Now())
			return errors.New("not now")
		}
		return nil
	}
	b := newBox(t, tree, nil)
	b.largeSize = 256 << 10
	b.write("big", strings.Repeat("x", 300<<10))
	live(t, b)
	eventually(t, "three tries", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(tries) >= 3
	})
	mu.Lock()
	defer mu.Unlock()
	if pause := tries[2].Sub(tries[1]); pause < 2*firstRetry {
		t.Errorf("tried again after %v", pause)
	}
}
