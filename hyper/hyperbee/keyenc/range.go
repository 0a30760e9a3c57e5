package keyenc

// Range bounds the encoded keys of a scan. Nil is no bound. Of GT and GTE at most
// one is set, and of LT and LTE.
type Range struct {
	GT, GTE []byte
	LT, LTE []byte
}

// Contains tells whether key lies within the bounds.
func (r Range) Contains(key []byte) bool {
	return (r.GT == nil || string(key) > string(r.GT)) &&
		(r.GTE == nil || string(key) >= string(r.GTE)) &&
		(r.LT == nil || string(key) < string(r.LT)) &&
		(r.LTE == nil || string(key) <= string(r.LTE))
}
