package gateway

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/tradle/cloudpal/internal/fault"
)

// Sites gives the gateway what it shows. It must be safe for concurrent use.
type Sites interface {
	// Site opens one state of a drive. name is empty when there is only one.
	// version 0 is the newest. An unknown name or version is [fault.NotFound].
	Site(ctx context.Context, name string, version uint64) (*Site, error)
	// List describes the sites, for the page at /.
	List(ctx context.Context) ([]Listing, error)
}

// Site is one state of a drive while a request reads it.
type Site struct {
	// Name is shown to people.
	Name    string
	Version uint64
	// FS holds the files. Those that are no io.ReadSeeker cannot be served.
	FS fs.FS
	// Tag returns a text that changes whenever the content of a file does.
	Tag func(fs.FileInfo) string
	// Close is called when the request is done.
	Close func()
}

// Listing is one line of the list of sites.
type Listing struct {
	// Name is the site's part of the path.
	Name string
	// Version is the newest version.
	Version uint64
	// Bytes is the size of the drive.
	Bytes uint64
}

// Options configures [New]. The zero value is ready to use.
type Options struct {
	// Single serves the one site at / instead of a list.
	Single bool
	// LoopbackOnly refuses requests whose Host is not the loopback interface.
	LoopbackOnly bool
	// Log receives failures of drives; nil discards them.
	Log *slog.Logger
}

// New returns the handler for sites.
func New(sites Sites, opts *Options) http.Handler {
	h := &handler{sites: sites}
	if opts != nil {
		h.opts = *opts
	}
	if h.opts.Log == nil {
		h.opts.Log = slog.New(slog.DiscardHandler)
	}
	return h
}

type handler struct {
	sites Sites
	opts  Options
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	if h.opts.LoopbackOnly && !loopbackHost(r.Host) {
		h.fail(w, r, http.StatusMisdirectedRequest, "This address answers only to localhost.")
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		h.fail(w, r, http.StatusMethodNotAllowed, "Files can only be read here.")
		return
	}
	where, ok := h.locate(r.URL.Path)
	if !ok {
		if r.URL.Path == "/" {
			h.serveList(w, r)
			return
		}
		// /NAME: relative links need the slash.
		redirect(w, r, r.URL.Path+"/")
		return
	}
	site, err := h.sites.Site(r.Context(), where.site, where.version)
	if err != nil {
		h.failWith(w, r, err)
		return
	}
	if site.Close != nil {
		defer site.Close()
	}
	h.serveSite(w, r, site, where)
}

// place is what a path names.
type place struct {
	site    string // empty with Options.Single
	version uint64 // 0 for the newest
	root    string // path of the site's root in its newest version, with slashes around
	file    string // what follows the root
}

// locate splits a path. It is false for the list of sites and for a site's name
// without a slash behind it.
func (h *handler) locate(urlPath string) (p place, ok bool) {
	rest := strings.TrimPrefix(urlPath, "/")
	first, file, slash := strings.Cut(rest, "/")
	if h.opts.Single {
		p.root = "/"
		if v, isVersion := strings.CutPrefix(first, "@"); isVersion {
			if p.version, ok = parseVersion(v); ok {
				p.file = file
				return p, slash
			}
		}
		p.file = rest
		return p, true
	}
	if !slash {
		return p, false
	}
	p.site, p.file = first, file
	if i := strings.LastIndexByte(first, '@'); i >= 0 {
		if v, ok := parseVersion(first[i+1:]); ok {
			p.site, p.version = first[:i], v
		}
	}
	p.root = "/" + p.site + "/"
	return p, true
}

// parseVersion accepts positive numbers in their shortest form.
func parseVersion(s string) (uint64, bool) {
	v, err := strconv.ParseUint(s, 10, 64)
	return v, err == nil && v > 0 && s[0] != '0' && s[0] != '+'
}

func (h *handler) serveSite(w http.ResponseWriter, r *http.Request, site *Site, where place) {
	name := strings.TrimSuffix(where.file, "/")
	if name == "" {
		name = "."
	}
	if !fs.ValidPath(name) {
		h.fail(w, r, http.StatusNotFound, "There is no such file.")
		return
	}
	info, err := fs.Stat(site.FS, name)
	if err != nil {
		h.failWith(w, r, err)
		return
	}
	isFolder := info.IsDir()
	switch slash := where.file == "" || strings.HasSuffix(where.file, "/"); {
	case isFolder && !slash:
		redirect(w, r, path.Base(r.URL.Path)+"/")
		return
	case !isFolder && slash:
		redirect(w, r, "../"+path.Base(r.URL.Path))
		return
	}
	if isFolder {
		index := path.Join(name, "index.html")
		if indexInfo, err := fs.Stat(site.FS, index); err == nil && !indexInfo.IsDir() {
			name, info, isFolder = index, indexInfo, false
		}
	}
	if isFolder {
		h.serveFolder(w, r, site, where, name)
		return
	}
	h.serveFile(w, r, site, where, name, info)
}

func (h *handler) serveFile(w http.ResponseWriter, r *http.Request, site *Site, where place, name string, info fs.FileInfo) {
	f, err := site.FS.Open(name)
	if err != nil {
		h.failWith(w, r, err)
		return
	}
	defer f.Close()
	content, ok := f.(io.ReadSeeker)
	if !ok {
		h.failWith(w, r, errors.New("file cannot seek"))
		return
	}
	header := w.Header()
	if !h.opts.Single {
		header.Set("Content-Security-Policy", "sandbox allow-scripts allow-forms allow-popups allow-downloads")
	}
	if site.Tag != nil {
		if tag := site.Tag(info); tag != "" {
			header.Set("ETag", `"`+tag+`"`)
		}
	}
	setCaching(header, where)
	if t := contentType(name); t != "" {
		header.Set("Content-Type", t)
	}
	if _, ok := r.URL.Query()["download"]; ok {
		header.Set("Content-Disposition", attachment(path.Base(name)))
	}
	late := &lateWriter{ResponseWriter: w}
	watched := &watchedReader{ReadSeeker: content}
	http.ServeContent(late, r, name, info.ModTime(), watched)
	switch {
	case watched.err == nil:
		late.flush()
	case late.begun:
		// The client learns by the early end that something is missing.
		h.opts.Log.Error("gateway", "path", r.URL.Path, "err", watched.err)
		panic(http.ErrAbortHandler)
	default:
		for _, k := range []string{"Accept-Ranges", "Content-Disposition", "Content-Length", "Content-Range", "Last-Modified"} {
			header.Del(k)
		}
		h.failWith(w, r, watched.err)
	}
}

// setCaching lets clients keep what cannot change and ask again for the rest.
func setCaching(header http.Header, where place) {
	if where.version > 0 {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
		return
	}
	header.Set("Cache-Control", "no-cache")
}

// redirect sends the client to a path relative to the request's. The query is
// kept.
func redirect(w http.ResponseWriter, r *http.Request, target string) {
	target = escapePath(target)
	if r.URL.RawQuery != "" {
		target += "?" + r.URL.RawQuery
	}
	// http.Redirect would resolve the path and could make it begin with two
	// slashes, which names another host.
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusMovedPermanently)
}

func loopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// failWith answers with what err means. Details stay in the log.
func (h *handler) failWith(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // nobody reads the answer
	}
	switch k := fault.KindOf(err); k {
	case fault.NotFound:
		h.fail(w, r, http.StatusNotFound, "There is no such file.")
	case fault.Unavailable:
		h.fail(w, r, http.StatusGatewayTimeout, "No peer that has this file can be reached at the moment.")
	case fault.Canceled:
		h.fail(w, r, http.StatusServiceUnavailable, "This node does not read files any more.")
	default:
		h.opts.Log.Error("gateway", "path", r.URL.Path, "err", err)
		h.fail(w, r, k.HTTPStatus(), "The file cannot be read.")
	}
}
