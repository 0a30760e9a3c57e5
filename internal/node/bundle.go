package node

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"time"

	"github.com/tradle/cloudpal/hyper/storage"
)

// logBytes is how much of the log is kept for bundles.
const logBytes = 256 << 10

const bundleAbout = `What helps to find out what is wrong with a CloudPal node.

build.json      version of the program, of Go, and the system
settings.json   what was chosen for the data folder
status.json     connections, the DHT, and what there is, in numbers
store.json      sizes of the store, and of each log
metrics.txt     the metrics, as Prometheus gets them
goroutines.txt  what the program is doing
log.txt         the last lines of the log, without texts that others gave

Names, links, keys, addresses, phrases and contents are not in it. Look through it
nevertheless before you give it away.
`

// build says what runs.
type build struct {
	Version string    `json:"version"`
	Go      string    `json:"go"`
	OS      string    `json:"os"`
	Arch    string    `json:"arch"`
	CPUs    int       `json:"cpus"`
	Started time.Time `json:"started"`
	Now     time.Time `json:"now"`
	// Modules are the versions of what the program is made of.
	Modules map[string]string `json:"modules"`
}

// status is an [api.Info] without what names anybody.
type status struct {
	Peers     []peerStatus `json:"peers"`
	DHT       *dhtStatus   `json:"dht,omitempty"`
	Listening int          `json:"listening"`
	Drives    int          `json:"drives"`
	Bases     int          `json:"bases"`
	Logs      int          `json:"logs"`
	DiskBytes uint64       `json:"diskBytes"`
	FreeBytes uint64       `json:"freeBytes"`
	// Identity is how the key of this device is kept, empty if there is none.
	Identity string `json:"identity,omitempty"`
}

type peerStatus struct {
	State    string `json:"state"`
	Path     string `json:"path,omitempty"`
	Sent     uint64 `json:"sent"`
	Received uint64 `json:"received"`
	Failed   bool   `json:"failed,omitempty"`
}

type dhtStatus struct {
	NAT    string `json:"nat"`
	Nodes  int    `json:"nodes"`
	Online bool   `json:"online"`
	Topics int    `json:"topics"`
}

// storeStatus are the sizes of the store.
type storeStatus struct {
	storage.Stats
	Logs []logStatus `json:"logs"`
}

type logStatus struct {
	Length   uint64 `json:"length"`
	Database uint64 `json:"database"`
	Segments uint64 `json:"segments"`
}

// maxLogs limits the logs whose sizes are in a bundle.
const maxLogs = 10_000

// bundle implements [api.Backend.Bundle].
func (n *Node) bundle(ctx context.Context, w io.Writer) error {
	zip := gzip.NewWriter(w)
	out := tar.NewWriter(zip)
	for _, f := range []struct {
		name string
		make func(ctx context.Context, w io.Writer) error
	}{
		{"about.txt", func(_ context.Context, w io.Writer) error { _, err := io.WriteString(w, bundleAbout); return err }},
		{"build.json", n.writeBuild},
		{"settings.json", n.writeSettings},
		{"status.json", n.writeStatus},
		{"store.json", n.writeStore},
		{"metrics.txt", func(_ context.Context, w io.Writer) error { return n.metrics.Write(w) }},
		{"goroutines.txt", func(_ context.Context, w io.Writer) error { return pprof.Lookup("goroutine").WriteTo(w, 1) }},
		{"log.txt", func(_ context.Context, w io.Writer) error { _, err := n.logs.WriteTo(w); return err }},
	} {
		var b bytes.Buffer
		if err := f.make(ctx, &b); err != nil {
			// What is broken may be the reason for the bundle; the text may name something.
			fmt.Fprintf(&b, "\nnot complete: %T\n", err)
			n.opts.Log.Warn("a bundle lacks something", "file", f.name, "err", err)
		}
		h := &tar.Header{Name: "cloudpal-debug/" + f.name, Mode: 0o600, Size: int64(b.Len()), ModTime: time.Now(), Format: tar.FormatPAX}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := b.WriteTo(out); err != nil {
			return err
		}
	}
	if err := out.Close(); err != nil {
		return err
	}
	return zip.Close()
}

func writeIndented(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func (n *Node) writeBuild(_ context.Context, w io.Writer) error {
	b := build{n.opts.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), n.started.UTC(), time.Now().UTC(), make(map[string]string)}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			b.Modules[m.Path] = m.Version
		}
	}
	return writeIndented(w, b)
}

func (n *Node) writeSettings(_ context.Context, w io.Writer) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return writeIndented(w, settings{Limits: n.bandwidth.now})
}

func (n *Node) writeStatus(ctx context.Context, w io.Writer) error {
	info, err := n.info(ctx)
	if err != nil {
		return err
	}
	s := status{Peers: []peerStatus{}, Listening: len(info.Listen), Drives: info.Drives, Bases: len(n.bases.Records()), Logs: info.Logs, DiskBytes: info.DiskBytes, FreeBytes: info.FreeBytes}
	for _, p := range info.Peers {
		s.Peers = append(s.Peers, peerStatus{p.State, p.Path, p.Sent, p.Received, p.Error != ""})
	}
	if d := info.DHT; d != nil {
		s.DHT = &dhtStatus{d.NAT, d.Nodes, d.Online, d.Topics}
	}
	if i, err := n.person.store.Load(); err == nil {
		s.Identity = i.Protection.String()
	}
	return writeIndented(w, s)
}

func (n *Node) writeStore(ctx context.Context, w io.Writer) error {
	db := n.store.DB()
	s := storeStatus{Logs: []logStatus{}}
	var err error
	if s.Stats, err = db.Stats(); err != nil {
		return err
	}
	for c, err := range db.Cores() {
		if err != nil {
			return err
		}
		if len(s.Logs) == maxLogs || ctx.Err() != nil {
			break
		}
		size, err := c.Size()
		if err != nil {
			return err
		}
		s.Logs = append(s.Logs, logStatus{c.Head().Length, size.Database, size.Segments})
	}
	return writeIndented(w, s)
}
