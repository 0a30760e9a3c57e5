package space

// Hold returns the newest state of a collection. It stays what it is until release is
// called, whatever happens to the space.
func (s *Space) Hold(typ string) (r Reader, release func()) {
	tree, release := s.snaps.use()
	return newPart(tree, typ), release
}
