package api

import "time"

// The names of the events, as in the member "type".
const (
	TypeDone      = "done"
	TypeError     = "error"
	TypeListening = "listening"
	TypePeer      = "peer"
	TypeProgress  = "progress"
	TypeWarning   = "warning"
	TypeShared    = "shared"
	TypeUpdated   = "updated"
	TypeGot       = "got"
	TypeEntry     = "entry"
	TypeVersion   = "version"
	TypeChange    = "change"
	TypeRestored  = "restored"
	TypeServing   = "serving"
	TypeDrive     = "drive"
	TypeInfo      = "info"
	TypeAudit     = "audit"
)

// TypeUp is the event of [Up].
const TypeUp = "up"

// Up says that a node runs, and where it can be asked. No route answers with it: the
// program that starts the node tells it.
type Up struct {
	Type   string `json:"type"`
	Home   string `json:"home"`
	Socket string `json:"socket"`
	// HTTP is the address of the API for who has the token; empty if there is none.
	HTTP string `json:"http,omitempty"`
	// ID is the public key that the node proves to its peers.
	ID     string   `json:"id"`
	Listen []string `json:"listen"`
}

// Listening says where peers can connect.
type Listening struct {
	Type   string   `json:"type"`
	Listen []string `json:"listen"`
}

// Peer reports a change of a connection.
type Peer struct {
	Type    string `json:"type"`
	Address string `json:"address"`
	// State is "connected", "disconnected" or "retrying".
	State string `json:"state"`
	// Key is the peer's proven public key, once connected.
	Key string `json:"key,omitempty"`
	// Path is how packets go to it: "lan", "direct", "punched" or "relayed".
	Path string `json:"path,omitempty"`
	// Sent and Received count bytes since it was connected.
	Sent     uint64 `json:"sent,omitempty"`
	Received uint64 `json:"received,omitempty"`
	// Error says why a connection failed or ended.
	Error string `json:"error,omitempty"`
}

// Progress reports how far work has come. Totals are 0 while unknown.
type Progress struct {
	Type string `json:"type"`
	// Phase is "connect", "import", "download", "serve", "send" or "receive".
	Phase      string `json:"phase"`
	Files      uint64 `json:"files"`
	TotalFiles uint64 `json:"totalFiles"`
	Bytes      uint64 `json:"bytes"`
	TotalBytes uint64 `json:"totalBytes"`
	// Peers is the number of connections that share this drive.
	Peers int `json:"peers"`
}

// Warning reports something that did not stop the work but that a person
// should know, such as a file left out.
type Warning struct {
	Type    string `json:"type"`
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
}

// Shared says that everything is imported and can be fetched. Its members and
// their order are a contract with programs that start cloudpal.
type Shared struct {
	Type string `json:"type"`
	Link string `json:"link"`
	// Key is the drive's key in hexadecimal digits.
	Key     string   `json:"key"`
	Version uint64   `json:"version"`
	Listen  []string `json:"listen"`
}

// Updated says that changes on disk became a new version.
type Updated struct {
	Type    string `json:"type"`
	Link    string `json:"link"`
	Version uint64 `json:"version"`
	Added   uint64 `json:"added"`
	Changed uint64 `json:"changed"`
	Removed uint64 `json:"removed"`
	// Bytes is what the import appended to the logs.
	Bytes uint64 `json:"bytes"`
}

// Got says that a destination is complete.
type Got struct {
	Type    string `json:"type"`
	Link    string `json:"link"`
	Key     string `json:"key"`
	Version uint64 `json:"version"`
	Dest    string `json:"dest"`
	// Files and Bytes count what the destination holds; Written counts the
	// files that had to be written.
	Files   uint64 `json:"files"`
	Bytes   uint64 `json:"bytes"`
	Written uint64 `json:"written"`
}

// Entry is one file, symbolic link or folder of a drive.
type Entry struct {
	Type string `json:"type"`
	Path string `json:"path"`
	// Kind is "file", "symlink" or "folder".
	Kind       string    `json:"kind"`
	Size       uint64    `json:"size"`
	Executable bool      `json:"executable,omitempty"`
	Linkname   string    `json:"linkname,omitempty"`
	Modified   time.Time `json:"modified,omitzero"`
}

// Version is one state in the history of a drive.
type Version struct {
	Type    string `json:"type"`
	Version uint64 `json:"version"`
	// Time is when the writer says it made the version; zero when unknown.
	Time time.Time `json:"time,omitzero"`
	// Author is the public key that signed the version; in a space that of a device, which
	// is called Device.
	Author  string   `json:"author,omitempty"`
	Device  string   `json:"device,omitempty"`
	Changes []Change `json:"changes"`
	// Omitted counts changes that are not listed.
	Omitted uint64 `json:"omitted,omitempty"`
}

// Change is the difference of one path between two versions.
type Change struct {
	Type string `json:"type"`
	// Op is "add", "change", "remove", or in a space "move".
	Op   string `json:"op"`
	Path string `json:"path"`
	// From is where something was that moved.
	From       string `json:"from,omitempty"`
	Size       uint64 `json:"size"`
	SizeBefore uint64 `json:"sizeBefore"`
}

// Restored says that an old state became the newest version.
type Restored struct {
	Type    string `json:"type"`
	Link    string `json:"link"`
	Version uint64 `json:"version"`
	// From is the version whose state it is, Before the newest until now:
	// restoring Before undoes the restore.
	From    uint64 `json:"from"`
	Before  uint64 `json:"before"`
	Changes uint64 `json:"changes"`
}

// Serving says where the drives can be seen with a browser.
type Serving struct {
	Type string `json:"type"`
	URL  string `json:"url"`
}

// Drive is a drive that this node knows.
type Drive struct {
	Type string `json:"type"`
	Name string `json:"name"`
	Link string `json:"link"`
	// Path is the folder on this machine that the drive follows, for own drives.
	Path      string `json:"path,omitempty"`
	Writable  bool   `json:"writable"`
	Encrypted bool   `json:"encrypted,omitempty"`
	Version   uint64 `json:"version"`
	// Bytes is the size of the file contents in all versions, Held how much of
	// it is on this machine.
	Bytes uint64 `json:"bytes"`
	Held  uint64 `json:"held"`
}

// Info describes the node.
type Info struct {
	Type    string    `json:"type"`
	Version string    `json:"version"`
	Home    string    `json:"home"`
	Socket  string    `json:"socket"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	// ID is the public key that the node proves to its peers.
	ID     string   `json:"id"`
	Listen []string `json:"listen"`
	Peers  []Peer   `json:"peers"`
	// DHT is the node's place in the DHT, nil while it is in none.
	DHT    *DHT `json:"dht,omitempty"`
	Drives int  `json:"drives"`
	Logs   int  `json:"logs"`
	// DiskBytes is the size of the data folder on disk, FreeBytes what is left
	// on that disk.
	DiskBytes uint64 `json:"diskBytes"`
	FreeBytes uint64 `json:"freeBytes"`
}

// DHT describes a node of the DHT.
type DHT struct {
	// Address is how others see the node; empty while that is unknown.
	Address string `json:"address,omitempty"`
	// NAT is "open", "consistent", "random" or "unknown".
	NAT string `json:"nat"`
	// Nodes is the size of the routing table.
	Nodes int `json:"nodes"`
	// Online tells whether other nodes answer.
	Online bool `json:"online"`
	// Topics is the number of drives that are announced or looked for.
	Topics int `json:"topics"`
}

// Audit is the finding about one log.
type Audit struct {
	Type string `json:"type"`
	// Key is the log's key, Name what the log is to this node.
	Key    string `json:"key"`
	Name   string `json:"name,omitempty"`
	Length uint64 `json:"length"`
	Blocks uint64 `json:"blocks"`
	// Problems is what was found, Repaired what was done about it.
	Problems []string `json:"problems"`
	Repaired []string `json:"repaired"`
}

// Done is the last event of a stream that ended well.
type Done struct {
	Type string `json:"type"`
}
