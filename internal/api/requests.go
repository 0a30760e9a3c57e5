package api

import "time"

// Connect asks for connections that last as long as the request, besides those
// that the node has anyway. The stream of a request reports them with
// [Listening] and [Peer] events.
type Connect struct {
	// Listen holds addresses such as tcp://127.0.0.1:0.
	Listen []string `json:"listen,omitempty"`
	// AnyListener asks for one listener unless the node listens already: where
	// LAN can reach it, or else on the loopback interface. It only counts when
	// Listen is empty.
	AnyListener bool `json:"anyListener,omitempty"`
	// Peers holds addresses to connect to, and to connect to again when the
	// connection is lost.
	Peers []string `json:"peers,omitempty"`
	// Swarm asks for peers from the DHT too. Nil does not.
	Swarm *Swarm `json:"swarm,omitempty"`
	// LAN asks for peers on the local link too. Nil does not.
	LAN *LAN `json:"lan,omitempty"`
	// Mirrors are the public keys of blind peers to connect to. What the request
	// shares or keeps is kept by them too.
	Mirrors []string `json:"mirrors,omitempty"`
	// ByKey makes the node reachable under its key. Handlers fill it in.
	ByKey bool `json:"-"`
	// Rooms are where to meet peers of Swarm and LAN; handlers fill it in.
	Rooms []Room `json:"-"`
	// Patience is how long to wait without any progress for peers that have
	// what is missing here. 0 is for ever.
	Patience time.Duration `json:"patience,omitempty"`
}

// State picks a version of a drive; the zero value is the newest. At most one of
// the fields is set.
type State struct {
	Version uint64 `json:"version,omitempty"`
	// At picks the version that was current at that time.
	At time.Time `json:"at,omitzero"`
	// Snapshot picks the version that was given this name, in a space.
	Snapshot string `json:"snapshot,omitempty"`
}

// Target names a place in a drive, in one of its states.
type Target struct {
	// Ref is a link, the name of a known drive, either with a path behind it,
	// or a path on this machine that is shared.
	Ref string `json:"ref"`
	// Dir is the folder that a relative path in Ref starts from.
	Dir string `json:"dir,omitempty"`
	State
}

// DrivesRequest lists the drives that this node knows, as [Drive] events.
type DrivesRequest struct{}

// ListRequest lists a folder, or describes a file. The answer holds an [Entry]
// for each.
type ListRequest struct {
	Connect
	Target
	// Recursive lists everything below, without the folders themselves.
	Recursive bool `json:"recursive,omitempty"`
}

// ContentRequest asks for the content of one file. The answer is the content
// itself. If it breaks off, the trailer [ErrorTrailer] says why.
type ContentRequest struct {
	Connect
	Target
	// Range limits the answer to some bytes: "6-9" is four, "6-" all from the
	// seventh on, "-4" the last four. Empty is everything.
	Range string `json:"range,omitempty"`
}

// Headers and trailers of the answer to a [ContentRequest].
const (
	// SizeHeader is the number of bytes that follow.
	SizeHeader = "Cloudpal-Size"
	// ErrorTrailer holds a [fault.Report] if the content is not complete.
	ErrorTrailer = "Cloudpal-Error"
)

// HistoryRequest lists the versions of a drive, newest first, as [Version]
// events. With a path in the target only versions that changed it are listed.
type HistoryRequest struct {
	Connect
	Target
	// Limit is the greatest number of versions; 0 lists all.
	Limit uint64 `json:"limit,omitempty"`
}

// DiffRequest compares two states and answers with [Change] events: how From
// becomes the target's state.
type DiffRequest struct {
	Connect
	Target
	// From is the older state. Its zero value is the version before the
	// target's.
	From State `json:"from,omitzero"`
}

// ShareRequest imports a file or folder, and follows its changes.
type ShareRequest struct {
	Connect
	// Path is absolute.
	Path string `json:"path"`
	// Name is how the drive is called on this machine. Empty is the last part
	// of Path, with a number if that is taken.
	Name string `json:"name,omitempty"`
	// Encrypted makes a new drive whose link carries the key to read it.
	Encrypted bool `json:"encrypted,omitempty"`
	// Ignore holds patterns in the syntax of .gitignore.
	Ignore []string `json:"ignore,omitempty"`
	// Once ends the request after the import; otherwise it follows changes.
	Once bool `json:"once,omitempty"`
	// DryRun reports what would change as [Change] events and writes nothing.
	DryRun bool `json:"dryRun,omitempty"`
}

// GetRequest writes a drive, or a part of it, to disk.
type GetRequest struct {
	Connect
	Target
	// Dest is an absolute path.
	Dest string `json:"dest"`
	// DestIsParent says that the person named no destination: a file goes into
	// the folder Dest, a folder into a folder of its own in it.
	DestIsParent bool `json:"destIsParent,omitempty"`
	// Overwrite allows replacing files that a person made or changed.
	Overwrite bool `json:"overwrite,omitempty"`
}

// RestoreRequest makes the state of the target the newest version.
type RestoreRequest struct {
	Target
}

// ServeRequest asks for drives as web sites, as long as the request lasts.
type ServeRequest struct {
	Connect
	// Addr is HOST:PORT; port 0 picks a free one.
	Addr string `json:"addr"`
	// Refs holds the drives to serve. With exactly one the site is at /.
	Refs []string `json:"refs,omitempty"`
	// Dir is the folder that relative paths in Refs start from.
	Dir string `json:"dir,omitempty"`
	// All serves every known drive, those that come later included.
	All bool `json:"all,omitempty"`
}

// AuditRequest checks all logs, and then what else is kept, and repairs what it can.
// The answer holds an [Audit] for each log and a [Checked] for each other check.
type AuditRequest struct {
	// Check only reports.
	Check bool `json:"check,omitempty"`
}
