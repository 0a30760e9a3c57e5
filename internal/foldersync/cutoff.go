package foldersync

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"

	"github.com/tradle/cloudpal/internal/filetree"
)

// cutOff tells whether a file is what a power failure left of what was written: a
// beginning of it. Then it is taken away, to be written once more.
func (f *Folder) cutOff(ctx context.Context, h *os.File, e edit, now stat, entry filetree.Entry, exists bool) (bool, error) {
	if !exists || entry.Version != e.old.version {
		return false, nil
	}
	if now.size > 0 {
		content, err := f.tree.Open(ctx, entry)
		if err != nil {
			return false, nil // it counts as a change
		}
		same, err := begins(content, h)
		if err = errors.Join(err, content.Close()); err != nil || !same {
			return false, nil
		}
	}
	at, err := f.enterLocked(e.path)
	if err != nil {
		return false, fileError{err}
	}
	defer at.close()
	f.mu.Lock()
	defer f.mu.Unlock()
	_, local := split(e.local)
	here := e.old
	here.stat, here.unsure, here.doubt = now, false, false
	if err := at.remove(local, &here); err != nil {
		return false, fileError{err}
	}
	u := update{delete: []string{e.path}}
	f.lookAgain(&u, e.path)
	return true, f.notePushed(u)
}

// begins tells whether whole begins with part.
func begins(whole, part io.Reader) (bool, error) {
	a, b := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(part, b)
		if m, _ := io.ReadFull(whole, a[:n]); m < n || !bytes.Equal(a[:n], b[:n]) {
			return false, nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
}
