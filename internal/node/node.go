package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/hyper/blindpeer"
	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
	"github.com/tradle/cloudpal/hyper/storage"
	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/base"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/files"
	"github.com/tradle/cloudpal/internal/folders"
	"github.com/tradle/cloudpal/internal/identity"
	"github.com/tradle/cloudpal/internal/logring"
	"github.com/tradle/cloudpal/internal/metrics"
	"github.com/tradle/cloudpal/internal/space"
	"github.com/tradle/cloudpal/internal/spacefs"
)

// Options configures [Open].
type Options struct {
	// Home is the data folder. It is made if it does not exist.
	Home string
	// Version is the program's version, for people.
	Version string
	// Memory is about how many bytes the process should keep within, 0 or at least
	// [MinMemory]: the sizes of caches follow it, and the garbage collector. 0 are the
	// usual caches, and no bound for what work takes.
	Memory int64
	// Log receives what goes wrong in the background; nil discards it.
	Log *slog.Logger
}

// Node is an open data folder. It is safe for concurrent use.
type Node struct {
	opts      Options
	started   time.Time
	store     *corestore.Store
	files     *files.Library
	network   *network
	bandwidth *bandwidth
	mirrors   *blindpeer.Client
	pairing   *blindpairing.Pairing
	bases     *base.Library
	person    *person
	spaces    *space.Library
	content   *spacefs.Library
	folders   *folders.Library
	metrics   *metrics.Metrics
	logs      *logring.Ring
	handler   http.Handler
	socket    string
	server    *http.Server
	served    chan error // the result of serving the socket

	ctx     context.Context // ends when the node closes; requests end with it
	cancel  context.CancelFunc
	mu      sync.Mutex     // guards adding to wg, and is held while settings change
	wg      sync.WaitGroup // mirrors that run
	looking chan struct{}  // holds a token while the copies of a space are looked at
	seen    sightings

	releasing *releasing

	here map[hypercrypto.Key]sighting // what this device holds of spaces, as last looked at; guarded by mu

	once sync.Once
	err  error // of Close
}

// Open opens a data folder and answers on its socket. A folder that another
// process has open is [fault.Busy].
func Open(ctx context.Context, opts Options) (*Node, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Memory != 0 && opts.Memory < MinMemory {
		return nil, fault.New(fault.Usage, "a node cannot keep within %d bytes of memory", opts.Memory).Hint("the least is %d", MinMemory)
	}
	n := &Node{started: time.Now(), here: make(map[hypercrypto.Key]sighting), looking: make(chan struct{}, 1), logs: logring.New(opts.Log.Handler(), logBytes)}
	opts.Log = slog.New(n.logs)
	n.opts = opts
	n.ctx, n.cancel = context.WithCancel(context.Background())
	if err := n.open(ctx); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// open opens everything from below upwards; Close closes what it got to.
func (n *Node) open(ctx context.Context) (err error) {
	if err := makeHome(n.opts.Home); err != nil {
		return err
	}
	s, err := loadSettings(n.opts.Home)
	if err != nil {
		return err
	}
	n.bandwidth = newBandwidth(s.Limits)
	n.store, err = corestore.Open(ctx, filepath.Join(n.opts.Home, storeFolder), &corestore.Options{Storage: cacheSizes(n.opts.Memory), Log: n.opts.Log})
	if err != nil {
		return explainOpen(n.opts.Home, err)
	}
	if n.files, err = files.Open(ctx, n.store, &files.Options{Home: n.opts.Home, Log: n.opts.Log}); err != nil {
		return err
	}
	n.network = newNetwork(n.store.KeyPair("cloudpal/node"), n.speak, n.store.FindingPeers, n.bandwidth, n.opts.Log)
	n.mirrors = blindpeer.NewClient(n.network)
	n.pairing = blindpairing.New(pairing{n.network}, &blindpairing.Options{Poll: pairingPoll, Log: n.opts.Log})
	if n.bases, err = base.Open(ctx, n.store, base.Options{Pairing: n.pairing, Log: n.opts.Log}); err != nil {
		return err
	}
	n.person = &person{store: &identity.Store{Dir: filepath.Join(n.opts.Home, identityFolder), Ring: identity.SystemRing{}}}
	if n.spaces, err = space.Open(ctx, n.store, space.Options{Identity: n.person, PersonName: personName(), DeviceName: machineName(), Node: n.store.KeyPair("cloudpal/node").Public, Online: n.online, Pairing: n.pairing,
		Collections: []space.Collection{spacefs.Collection()}, Log: n.opts.Log}); err != nil {
		return err
	}
	n.releasing = newReleasing()
	n.content = spacefs.NewLibrary(&spacefs.Options{Drives: n.store, Released: n.releasing.nudge, Log: n.opts.Log})
	if n.folders, err = folders.Open(ctx, n.store, folders.Options{Home: n.opts.Home, Tree: n.treeOf, Log: n.opts.Log}); err != nil {
		return err
	}
	n.metrics = metrics.New(n.state)
	n.handler = n.bounded(api.New(api.Backend{Files: n.files, Network: n.network, Web: &web{files: n.files, log: n.opts.Log}, Meet: n.meet, Info: n.info,
		Mirrors: n.mirrors, Mirror: n.mirror, Limits: n.changeLimits, Metrics: n.metrics, Observe: n.metrics.Request, Bases: n.bases,
		Identity: n.person.store, Bundle: n.bundle, Checks: n.checks(), Person: n.person, Spaces: n.spaces, SpaceFiles: n.content, Folders: n.folders, Together: n.together, Holders: n.holders, CopiesOf: n.copiesOf, Prove: n.prove}))
	return n.listen()
}

func explainOpen(home string, err error) error {
	var locked *storage.LockedError
	if errors.As(err, &locked) {
		who := "another process"
		if locked.PID != 0 {
			who = fmt.Sprintf("process %d", locked.PID)
		}
		return fault.New(fault.Busy, "%s holds the data folder %s and does not answer", who, home).
			Hint("wait for it to end, or use another data folder with CLOUDPAL_HOME")
	}
	// What follows the first line of an error of the database is for its authors.
	text, _, _ := strings.Cut(err.Error(), "\n")
	err = &opening{fmt.Sprintf("open %s: %s", home, text), err}
	switch {
	case errors.Is(err, storage.ErrFull):
		return fault.New(fault.Full, "the disk of the data folder is full: %w", err).
			Hint("free some space, or use a data folder on another disk with CLOUDPAL_HOME")
	case errors.Is(err, storage.ErrNewerFormat):
		return fault.New(fault.Usage, "%w", err).Hint("use the newest version of cloudpal")
	case errors.Is(err, storage.ErrCorrupt):
		return fault.New(fault.Corrupt, "the data folder is damaged: %w", err).
			Hint("restore %s from a backup, or move it away: drives of others can be fetched again", home)
	case fault.KindOf(err) == fault.Permission:
		return fault.WithHint(err, "cloudpal has to write to its data folder; choose another one with CLOUDPAL_HOME")
	}
	return err
}

// opening is a failure to open the store, in one line.
type opening struct {
	text string
	err  error
}

func (o *opening) Error() string { return o.text }
func (o *opening) Unwrap() error { return o.err }

// keepAlive is how often an idle connection shows that it lives.
const keepAlive = 5 * time.Second

// speak exchanges everything with a peer.
func (n *Node) speak(ctx context.Context, s protomux.Stream) error {
	m := protomux.New(s, &protomux.Options{KeepAlive: keepAlive, Log: n.opts.Log})
	defer n.mirrors.Attach(m)()
	defer n.bases.Attach(m)()
	defer n.spaces.Attach(m)()
	n.pairing.Attach(m)
	return n.store.ReplicateMux(ctx, m)
}

// listen answers on the socket.
func (n *Node) listen() error {
	path, err := makeSocketPath(n.opts.Home)
	if err != nil {
		return fmt.Errorf("make socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", path, err)
	}
	n.socket = path
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(err, l.Close())
	}
	n.server = &http.Server{Handler: n.handler, ReadHeaderTimeout: 10 * time.Second, ErrorLog: serverLog(n.opts.Log)}
	n.served = make(chan error, 1)
	go func() { n.served <- n.server.Serve(l) }()
	return nil
}

// serverLog takes what servers of net/http have to say, which are texts.
func serverLog(to *slog.Logger) *log.Logger {
	return log.New(serverTexts{to}, "", 0)
}

type serverTexts struct{ log *slog.Logger }

func (s serverTexts) Write(b []byte) (int, error) {
	s.log.Debug("http server", "text", strings.TrimSpace(string(b)))
	return len(b), nil
}

// Handler returns the API.
func (n *Node) Handler() http.Handler { return n.handler }

// bounded ends requests when the node closes, and turns the end of those that
// had not ended by themselves into [fault.Closing] by breaking them off.
func (n *Node) bounded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		stop := context.AfterFunc(n.ctx, cancel)
		defer stop()
		if n.ctx.Err() == nil {
			h.ServeHTTP(&breakable{ResponseWriter: w, n: n}, r.WithContext(ctx))
		}
		if n.ctx.Err() != nil {
			panic(http.ErrAbortHandler)
		}
	})
}

// breakable drops what a handler says about its end when that is only the end
// of the node.
type breakable struct {
	http.ResponseWriter
	n *Node
}

func (b *breakable) Unwrap() http.ResponseWriter { return b.ResponseWriter }

func (b *breakable) Write(p []byte) (int, error) {
	if b.n.ctx.Err() != nil {
		return 0, net.ErrClosed
	}
	return b.ResponseWriter.Write(p)
}

// drainTime is how long short requests of other processes may take to end when
// the node closes.
const drainTime = 250 * time.Millisecond

// Close ends all requests and closes everything in reverse. It is safe to call
// twice.
func (n *Node) Close() error {
	n.once.Do(func() { n.err = n.close() })
	return n.err
}

func (n *Node) close() error {
	var errs []error
	if n.server != nil {
		// New requests find no socket and wait for the next node.
		ctx, cancel := context.WithTimeout(context.Background(), drainTime)
		_ = n.server.Shutdown(ctx) // what is left is ended next
		cancel()
	}
	n.mu.Lock()
	n.cancel()
	n.mu.Unlock()
	if n.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if n.server.Shutdown(ctx) != nil {
			errs = append(errs, n.server.Close())
		}
		cancel()
		if err := <-n.served; !errors.Is(err, http.ErrServerClosed) {
			errs = append(errs, err)
		}
		n.removeSocket()
	}
	n.wg.Wait()
	if n.mirrors != nil {
		n.mirrors.Close()
	}
	if n.pairing != nil {
		errs = append(errs, n.pairing.Close())
	}
	if n.network != nil {
		n.network.close()
	}
	if n.folders != nil {
		errs = append(errs, n.folders.Close())
	}
	if n.content != nil {
		errs = append(errs, n.seen.flush(n.spaces.Spaces()), n.content.Close())
	}
	if n.spaces != nil {
		errs = append(errs, n.spaces.Close())
	}
	if n.bases != nil {
		errs = append(errs, n.bases.Close())
	}
	if n.files != nil {
		errs = append(errs, n.files.Close())
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	return errors.Join(errs...)
}

// removeSocket removes the socket, and the link to it if there is one.
func (n *Node) removeSocket() {
	for _, path := range []string{n.socket, filepath.Join(n.opts.Home, socketName)} {
		if err := removeStale(path); err != nil {
			n.opts.Log.Debug("remove socket", "err", err)
		}
	}
}

// info describes the node.
func (n *Node) info(ctx context.Context) (api.Info, error) {
	logs := 0
	for _, err := range n.store.List() {
		if err != nil {
			return api.Info{}, fmt.Errorf("list logs: %w", err)
		}
		logs++
	}
	listen := n.network.addresses()
	if listen == nil {
		listen = []string{}
	}
	return api.Info{
		Version: n.opts.Version, Home: n.opts.Home, Socket: n.socket, PID: os.Getpid(), Started: n.started.UTC(),
		ID: n.network.keyPair.Public.String(), Listen: listen, Peers: n.network.peers(), DHT: n.network.dhtInfo(),
		Drives: len(n.files.Records()), Logs: logs, DiskBytes: folderSize(n.opts.Home), FreeBytes: freeBytes(n.opts.Home),
	}, nil
}

// folderSize adds up the sizes of the files below dir. What disappears meanwhile
// does not count.
func folderSize(dir string) (total uint64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			total += uint64(info.Size())
		}
		return nil
	})
	return total
}
