//go:build !linux

package foldersync

import "os"

// bootID is not known: what was written since the last mark is in doubt after every
// end without Close.
func bootID() string { return "" }

// syncEach says whether each file has to be made durable by itself.
const syncEach = true

func syncAll(*os.File) error { return nil }

// replace gives a temporary file its name, in the place of what the index says is
// there, or of nothing.
func (p *place) replace(temporary, name string, old *record) error {
	return p.replaceChecked(temporary, name, old)
}

// rename moves what the index says is at name to another place, where nothing may be.
func (p *place) rename(name string, old *record, to *place, newName string) error {
	return errLocal // it is written anew
}

// remove removes what the index says is at name, and nothing else.
func (p *place) remove(name string, old *record) error {
	if old.kind != kindDir && !p.is(name, old) {
		return errLocal
	}
	return p.root.Remove(name)
}
