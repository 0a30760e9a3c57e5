package gateway

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

var (
	pageTemplate = template.Must(template.New("page").Parse(pageText))
	// The page's own style is all that it may load.
	pagePolicy = func() string {
		sum := sha256.Sum256([]byte(pageStyle))
		return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
			"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	}()
)

// page is what page.html shows: a folder, the list of sites, or a message.
type page struct {
	Style   template.CSS
	Title   string
	Crumbs  []crumb
	Caption string
	// Rows is nil for a message.
	Rows    []row
	Empty   string
	Message string
	// Version and Pin are set for folders in their newest version, Pinned for
	// those in a version.
	Version uint64
	Pin     string
	Pinned  string
}

type crumb struct {
	Name string
	Href string // empty for the page itself
}

type row struct {
	Name     string
	Href     string
	Kind     string // "folder", "file" or "drive"
	Size     string
	Bytes    int64
	Modified string // what a person reads
	Stamp    string // RFC 3339
}

// serveFolder answers with the index of a folder.
func (h *handler) serveFolder(w http.ResponseWriter, r *http.Request, site *Site, where place, name string) {
	entries, err := fs.ReadDir(site.FS, name)
	if err != nil {
		h.failWith(w, r, err)
		return
	}
	p := page{Title: site.Name, Caption: "Contents of this folder", Empty: "This folder is empty.", Version: site.Version}
	p.Crumbs = crumbs(site.Name, name, !h.opts.Single)
	if where.version == 0 {
		p.Pin = h.pinned(where, site.Version)
	} else {
		p.Pinned = escapePath(where.root + where.file)
	}
	if name != "." {
		p.Title = path.Base(name) + " – " + site.Name
	}
	p.Rows = make([]row, 0, len(entries))
	for pass := range 2 { // folders first
		for _, e := range entries {
			if info, err := e.Info(); err == nil && info.Mode()&fs.ModeSymlink != 0 {
				// Show where a link leads; one that leads nowhere is left out.
				if info, err = fs.Stat(site.FS, path.Join(name, e.Name())); err != nil {
					continue
				}
				e = namedEntry{fs.FileInfoToDirEntry(info), e.Name()}
			}
			if e.IsDir() == (pass == 0) {
				p.Rows = append(p.Rows, rowOf(e))
			}
		}
	}
	setCaching(w.Header(), where)
	w.Header().Set("ETag", fmt.Sprintf(`"folder-%d"`, site.Version))
	h.servePage(w, r, http.StatusOK, p)
}

// pinned returns the address of this folder in its present version.
func (h *handler) pinned(where place, version uint64) string {
	return escapePath(fmt.Sprintf("/%s@%d/%s", where.site, version, where.file))
}

// namedEntry is an entry under the name of the link to it.
type namedEntry struct {
	fs.DirEntry
	name string
}

func (e namedEntry) Name() string { return e.name }

func rowOf(e fs.DirEntry) row {
	if e.IsDir() {
		return row{Name: e.Name() + "/", Href: escapePath(e.Name() + "/"), Kind: "folder"}
	}
	line := row{Name: e.Name(), Href: escapePath(e.Name()), Kind: "file"}
	if info, err := e.Info(); err == nil {
		line.Size, line.Bytes = humanBytes(uint64(info.Size())), info.Size()
		if t := info.ModTime(); !t.IsZero() {
			line.Modified, line.Stamp = t.UTC().Format("2006-01-02 15:04"), t.UTC().Format(time.RFC3339)
		}
	}
	return line
}

func crumbs(site, name string, withList bool) []crumb {
	var up []crumb
	if withList {
		up = append(up, crumb{Name: "All drives"})
	}
	up = append(up, crumb{Name: site})
	if name != "." {
		for part := range strings.SplitSeq(name, "/") {
			up = append(up, crumb{Name: part})
		}
	}
	for i := range up[:len(up)-1] {
		up[i].Href = strings.Repeat("../", len(up)-1-i)
	}
	return up
}

// serveList answers with the list of sites.
func (h *handler) serveList(w http.ResponseWriter, r *http.Request) {
	sites, err := h.sites.List(r.Context())
	if err != nil {
		h.failWith(w, r, err)
		return
	}
	p := page{Title: "All drives", Crumbs: []crumb{{Name: "All drives"}}, Caption: "Drives on this node",
		Empty: "No drive is shared here yet.", Rows: make([]row, 0, len(sites))}
	for _, s := range sites {
		p.Rows = append(p.Rows, row{Name: s.Name, Href: escapePath(s.Name + "/"), Kind: "drive",
			Size: humanBytes(s.Bytes), Bytes: int64(s.Bytes), Modified: fmt.Sprintf("version %d", s.Version)})
	}
	w.Header().Set("Cache-Control", "no-cache")
	h.servePage(w, r, http.StatusOK, p)
}

// fail answers with a message for people.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, status int, message string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Del("ETag")
	h.servePage(w, r, status, page{Title: http.StatusText(status), Crumbs: []crumb{{Name: http.StatusText(status)}}, Message: message})
}

func (h *handler) servePage(w http.ResponseWriter, r *http.Request, status int, p page) {
	p.Style = template.CSS(pageStyle)
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, p); err != nil {
		h.opts.Log.Error("gateway", "page", p.Title, "err", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", pagePolicy)
	if status == http.StatusOK {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(out.Bytes()))
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(out.Len()))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(out.Bytes())
	}
}

// humanBytes writes a size in decimal units.
func humanBytes(n uint64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n)/1000, 0
	for f >= 999.5 && unit < 4 {
		f, unit = f/1000, unit+1
	}
	digits := 1
	if f >= 9.95 {
		digits = 0
	}
	return fmt.Sprintf("%.*f %cB", digits, f, "kMGTP"[unit])
}
