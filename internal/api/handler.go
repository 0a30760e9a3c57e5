package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/blindpeer"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/base"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/files"
	"github.com/tradle/cloudpal/internal/folders"
	"github.com/tradle/cloudpal/internal/handoff"
	"github.com/tradle/cloudpal/internal/identity"
	"github.com/tradle/cloudpal/internal/space"
	"github.com/tradle/cloudpal/internal/spacefs"
)

// maxRequest limits the size of a request in bytes.
const maxRequest = 1 << 20

// Network is what the handlers need of the node's connections.
type Network interface {
	// Join makes connections that last until leave is called. It returns all
	// addresses that the node listens on. report is called for every change of
	// a connection to the peers asked for; it must not wait.
	Join(ctx context.Context, c Connect, report func(Peer)) (listen []string, leave func(), err error)
}

// Web serves drives over HTTP.
type Web interface {
	// Serve listens on r.Addr, calls ready with the URL, and serves until ctx
	// ends.
	Serve(ctx context.Context, r ServeRequest, ready func(url string)) error
}

// Keyholder is the identity on this device, kept open for as long as the node runs.
type Keyholder interface {
	// Unlock opens the device's key, unless it is open.
	Unlock(passphrase string) (*identity.Identity, error)
	// Set takes an identity that was made just now.
	Set(*identity.Identity)
}

// Backend is what the API gives access to.
type Backend struct {
	Files   *files.Library
	Network Network
	Web     Web
	// Meet makes the way to the other side of a handoff. listening is called with the
	// addresses at which this side can be reached, if it waits to be. leave ends
	// all of its connections.
	Meet func(m Meeting, listening func(addresses []string)) (meeting handoff.Rendezvous, leave func())
	// Bases are the bases of the node.
	Bases *base.Library
	// Spaces are the spaces of the node, Folders those of this machine that are kept equal
	// with them.
	Spaces     *space.Library
	SpaceFiles *spacefs.Library
	Folders    *folders.Library
	// Person is who this device is, opened when that is needed.
	Person Keyholder
	// Together keeps the node where the members of all its spaces meet, until leave is
	// called. report is called for every change of a connection, listening with the
	// addresses that the node listens on.
	Together func(ctx context.Context, c Connect, report func(Peer), listening func(listen []string)) (leave func(), err error)
	// Holders returns the nodes of the mirrors and of the other devices of a space, each
	// once.
	Holders func(ctx context.Context, s *space.Space) ([]hypercrypto.PublicKey, error)
	// CopiesOf finds out who holds how much of a space.
	CopiesOf func(ctx context.Context, s *space.Space) (*Copies, error)
	// Prove has a node prove that it has random blocks of a space, and remembers that. The
	// error wraps [hypercore.ErrChallenge] if it does not have what it says.
	Prove func(ctx context.Context, s *space.Space, node hypercrypto.PublicKey) error
	// Mirrors asks blind peers to keep logs.
	Mirrors *blindpeer.Client
	// Mirror runs a blind peer until ctx ends. ready is called once it is reachable,
	// report for every change of a connection to a peer that was named, stats when
	// something changed.
	Mirror func(ctx context.Context, r MirrorRequest, report func(Peer), ready func(Mirroring), stats func(MirrorStats)) error
	// Identity is the person whose device this is.
	Identity *identity.Store
	// Info describes the node.
	Info func(ctx context.Context) (Info, error)
	// Limits changes the limits of the node and returns them; it is called with nil to
	// change nothing.
	Limits func(*Limits) (Limits, error)
	// Checks are made by an audit after that of the logs.
	Checks []Check
	// Bundle writes a [BundleRequest]'s answer.
	Bundle func(ctx context.Context, w io.Writer) error
	// Metrics answers with the node's metrics in the text format of Prometheus.
	Metrics http.Handler
	// Observe is told of every request, by the path of its route, empty if there is
	// none; done is called with the status of the answer when that has ended. Nil is
	// not told.
	Observe func(route string) (done func(status int))
}

// New returns the handler of the API.
func New(b Backend) http.Handler {
	h := &handler{Backend: b}
	mux := http.NewServeMux()
	for _, r := range h.routes() {
		mux.HandleFunc(r.Method+" "+r.Path, h.observed(r.Path, r.serve))
		mux.HandleFunc(r.Path, h.observed(r.Path, onlyBy(r.Method)))
	}
	mux.HandleFunc("/", h.observed("", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, fault.New(fault.NotFound, "this node has no %s %s", r.Method, r.URL.Path).
			Hint("the running node may be older than this program; stop it and run the command again"))
	}))
	return mux
}

type handler struct {
	Backend
	decisions decisions
}

// onlyBy refuses the methods that a route does not have.
func onlyBy(method string) http.HandlerFunc {
	allowed := method
	if method == http.MethodGet {
		allowed += ", " + http.MethodHead
	}
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allowed)
		refuse(w, http.StatusMethodNotAllowed, fault.New(fault.Usage, "%s is asked for with %s, not with %s", r.URL.Path, method, r.Method))
	}
}

// decode reads a request. Members that this node does not know are refused: the
// client would wait for something that never happens.
func decode(w http.ResponseWriter, r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, err = d.Token(); err == nil {
			err = errors.New("something follows the JSON object")
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fault.New(fault.Usage, "request to %s: %w", r.URL.Path, err)
	}
	return nil
}

// absolute refuses paths that start from a folder, which would be the one that the node
// was started in.
func absolute(paths ...string) error {
	for _, p := range paths {
		if !filepath.IsAbs(p) {
			return fault.New(fault.Usage, "%q is not an absolute path", p)
		}
	}
	return nil
}

// join makes the connections that a request asks for, and reports them on its
// stream and to reached, which may be nil.
func (h *handler) join(ctx context.Context, c Connect, s *Stream, reached *reached) (listen []string, leave func(), err error) {
	listen, leave, err = h.Network.Join(ctx, c, func(p Peer) {
		p.Type = TypePeer
		if reached != nil {
			reached.note(p)
		}
		s.Post(TypePeer, p)
	})
	if err == nil && len(c.Mirrors) > 0 {
		leave, err = h.reachMirrors(c.Mirrors, leave)
	}
	if err == nil && len(listen) > 0 && (c.AnyListener || len(c.Listen) > 0) {
		s.Send(TypeListening, Listening{TypeListening, listen})
	}
	return listen, leave, err
}

// open opens what a request names, with its connections. The returned function
// releases both.
func (h *handler) open(ctx context.Context, c Connect, t Target, s *Stream) (*files.Reading, func(), error) {
	if t.Version > 0 && !t.At.IsZero() {
		return nil, nil, fault.New(fault.Usage, "a version and a time cannot be asked for together")
	}
	place, err := h.Files.Find(t.Ref, t.Dir)
	if err != nil {
		return nil, nil, err
	}
	if !place.Record.Own() {
		c = c.meet(false, place.Record.Key)
	}
	state, err := t.State.ofDrive()
	if err != nil {
		return nil, nil, err
	}
	peers := reached{ways: c}
	_, leave, err := h.join(ctx, c, s, &peers)
	if err != nil {
		return nil, nil, err
	}
	r, err := h.Files.Read(ctx, place, state, c.Patience)
	if err != nil {
		leave()
		return nil, nil, peers.explain(err)
	}
	return r, func() { r.Close(); leave() }, nil
}

func (h *handler) info(w http.ResponseWriter, r *http.Request) {
	info, err := h.Info(r.Context())
	if err != nil {
		writeError(w, err)
		return
	}
	info.Type = TypeInfo
	writeJSON(w, info)
}

// reportEvery is the least time between two progress events.
const reportEvery = 100 * time.Millisecond

// throttle forwards the latest progress at a limited rate.
type throttle struct {
	s *Stream

	mu      sync.Mutex // guards what follows
	last    time.Time
	pending *Progress
}

func (t *throttle) report(p files.Progress) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := &Progress{Type: TypeProgress, Phase: p.Phase, Files: p.Files, TotalFiles: p.TotalFiles, Bytes: p.Bytes, TotalBytes: p.TotalBytes, Peers: p.Peers}
	if now := time.Now(); now.Sub(t.last) >= reportEvery {
		t.last, t.pending = now, nil
		t.s.Send(TypeProgress, e)
		return
	}
	t.pending = e
}

// flush sends what was held back.
func (t *throttle) flush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pending != nil {
		t.s.Send(TypeProgress, t.pending)
		t.pending = nil
	}
}
