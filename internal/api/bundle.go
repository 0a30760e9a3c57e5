package api

import (
	"bytes"
	"net/http"
	"strconv"
)

// BundleRequest asks for what helps to find out what is wrong with the node, as a
// tar archive compressed by gzip. It holds no secrets, and no names, links, keys and
// addresses.
type BundleRequest struct{}

// bundle answers with a bundle. It is made in memory, so that an error is told as one.
func (h *handler) bundle(w http.ResponseWriter, r *http.Request) {
	var in BundleRequest
	if err := decode(w, r, &in); err != nil {
		writeError(w, err)
		return
	}
	var b bytes.Buffer
	if err := h.Bundle(r.Context(), &b); err != nil {
		writeError(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/gzip")
	w.Header().Set(SizeHeader, strconv.Itoa(b.Len()))
	_, _ = b.WriteTo(w) // the client is gone if it fails
}
