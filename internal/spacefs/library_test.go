package spacefs

import (
	"errors"
	"sync"
	"testing"
)

// Somebody who goes through the spaces has one at hand that is forgotten meanwhile. Its
// files are not opened again; those of a space that stays after all are.
func TestFilesOfADroppedSpaceStayClosed(t *testing.T) {
	m := newMachine(t, "ada", Options{})
	s, err := m.library.Create(t.Context(), "home")
	must(t, err)
	l := NewLibrary(&Options{Drives: m.store})
	t.Cleanup(func() { must(t, l.Close()) })
	l.Of(s)
	no := errors.New("not now")
	if err := l.Drop(t.Context(), s, func() error { l.Of(s).Published(); return no }); !errors.Is(err, no) {
		t.Fatal(err)
	}
	if len(l.open) != 0 {
		t.Fatal("files were opened while the space was about to end")
	}
	l.Of(s)
	if len(l.open) != 1 {
		t.Fatal("the space goes on without its files")
	}
	var others sync.WaitGroup
	stop := make(chan struct{})
	others.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				l.Of(s).Published()
			}
		}
	})
	err = l.Drop(t.Context(), s, func() error { return m.library.Forget(t.Context(), s) })
	close(stop)
	others.Wait()
	must(t, err)
	if len(l.open) != 0 {
		t.Fatal("files of a forgotten space are open")
	}
}
