package foldersync

// is tells whether a file is what a record says, after a rename: that changes nothing
// but the time of the last change of status.
func (p *place) is(name string, r *record) bool {
	kind, s, err := p.lstat(name)
	if err != nil {
		return false
	}
	s.ctime = r.stat.ctime
	return r.same(kind, s)
}

// replaceChecked is replace where the system has no rename that does not replace.
func (p *place) replaceChecked(temporary, name string, old *record) error {
	if old == nil {
		if _, err := p.root.Lstat(name); err == nil {
			return errLocal
		}
	} else if !p.is(name, old) {
		return errLocal
	}
	return p.root.Rename(temporary, name)
}
