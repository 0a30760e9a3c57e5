package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// State is what a node is at one moment.
type State struct {
	Version string
	Started time.Time

	// Peers are the open connections by how packets go: lan, direct, punched, relayed.
	Peers map[string]int
	// Sent and Received are encrypted bytes, Connections those that ever were.
	Sent, Received, Connections uint64
	// UpLimit and DownLimit are in bytes per second; 0 is none.
	UpLimit, DownLimit uint64

	// The part in the DHT; Nodes and Topics are 0 without one.
	DHT, Online   bool
	Nodes, Topics int

	Logs, Drives, Bases int

	Spaces  Spaces
	Folders Folders

	// Bytes of the store on disk.
	Database, Segments, Reclaimable int64
	// Bytes of the store in memory.
	MemTables, BlockCache int64
	// Bytes on the disk of the data folder that are free.
	Free uint64
	// What the database does.
	Flushes, Compactions, CacheHits, CacheMisses, LogBytes int64
	CompactionDebt                                         uint64
	ReadAmplification                                      int
}

// Spaces are all spaces of a node together.
type Spaces struct {
	// States counts spaces by what becomes of them: running, arriving, stopped, removed.
	States map[string]int
	// Copies counts spaces by how many hold at least all files as they are now, FullCopies by
	// how many hold everything: 0, 1, 2, more.
	Copies, FullCopies [4]int
	// What this device lacks: bytes of files as they are now, and of older versions.
	LacksFiles, LacksOlder uint64
	// Unconfirmed counts operations whose order is not final.
	Unconfirmed uint64
	// Other devices and mirrors, each once for every space.
	Devices, DevicesOnline, Mirrors, MirrorsOnline int
	// Failed counts copies that did not prove what they say, Unverified those that have not
	// for a week.
	Failed, Unverified int
}

// Folders are all folders that are kept equal together.
type Folders struct {
	// States counts folders by state.
	States map[string]int
	// Pending counts changes that are to be written, Waiting those on disk that are not quiet
	// yet, Problems what could not be kept equal.
	Pending, Waiting, Problems int
	// Sent and Written are bytes of contents since the folders were opened.
	Sent, Written uint64
}

// number is a metric that is read from the state.
type number struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(s *State, emit func(value float64, labels ...string))
}

func gauge(name, help string, read func(*State) float64) number {
	return number{prometheus.NewDesc("cloudpal_"+name, help, nil, nil), prometheus.GaugeValue,
		func(s *State, emit func(float64, ...string)) { emit(read(s)) }}
}

func counter(name, help string, read func(*State) float64) number {
	n := gauge(name, help, read)
	n.kind = prometheus.CounterValue
	return n
}

func labeled(name, help, label string, read func(s *State, emit func(float64, ...string))) number {
	return number{prometheus.NewDesc("cloudpal_"+name, help, []string{label}, nil), prometheus.GaugeValue, read}
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// paths are the values of the label of peers, so that a series does not come and go.
var paths = []string{"lan", "direct", "punched", "relayed"}

var numbers = []number{
	labeled("build_info", "The version that runs.", "version", func(s *State, emit func(float64, ...string)) { emit(1, s.Version) }),
	gauge("start_time_seconds", "When the node was opened, since 1970.", func(s *State) float64 { return float64(s.Started.UnixMilli()) / 1000 }),
	labeled("peers", "Open connections by path.", "path", func(s *State, emit func(float64, ...string)) {
		for _, p := range paths {
			emit(float64(s.Peers[p]), p)
		}
	}),
	counter("connections_total", "Connections since the start.", func(s *State) float64 { return float64(s.Connections) }),
	counter("sent_bytes_total", "Encrypted bytes sent over connections.", func(s *State) float64 { return float64(s.Sent) }),
	counter("received_bytes_total", "Encrypted bytes received over connections.", func(s *State) float64 { return float64(s.Received) }),
	labeled("limit_bytes_per_second", "Limits of bandwidth; 0 is none.", "direction", func(s *State, emit func(float64, ...string)) {
		emit(float64(s.UpLimit), "up")
		emit(float64(s.DownLimit), "down")
	}),
	gauge("dht_used", "Whether the node takes part in a DHT.", func(s *State) float64 { return one(s.DHT) }),
	gauge("dht_online", "Whether nodes of the DHT answer.", func(s *State) float64 { return one(s.Online) }),
	gauge("dht_nodes", "Nodes of the DHT in the routing table.", func(s *State) float64 { return float64(s.Nodes) }),
	gauge("dht_topics", "Topics that are announced or looked for.", func(s *State) float64 { return float64(s.Topics) }),
	gauge("logs", "Logs in the store.", func(s *State) float64 { return float64(s.Logs) }),
	gauge("drives", "Drives that the node knows.", func(s *State) float64 { return float64(s.Drives) }),
	gauge("bases", "Bases that the node knows.", func(s *State) float64 { return float64(s.Bases) }),
	labeled("store_bytes", "Bytes of the store on disk, by part; reclaimable is a part of segments.", "part", func(s *State, emit func(float64, ...string)) {
		emit(float64(s.Database), "database")
		emit(float64(s.Segments), "segments")
		emit(float64(s.Reclaimable), "reclaimable")
	}),
	labeled("store_memory_bytes", "Bytes of the store in memory, by part.", "part", func(s *State, emit func(float64, ...string)) {
		emit(float64(s.MemTables), "memtables")
		emit(float64(s.BlockCache), "block_cache")
	}),
	labeled("spaces", "Spaces by state.", "state", func(s *State, emit func(float64, ...string)) {
		for _, state := range []string{"running", "arriving", "stopped", "removed"} {
			emit(float64(s.Spaces.States[state]), state)
		}
	}),
	labeled("spaces_by_copies", "Spaces by how many hold all files as they are now.", "copies", func(s *State, emit func(float64, ...string)) { emitCopies(&s.Spaces.Copies, emit) }),
	labeled("spaces_by_full_copies", "Spaces by how many hold everything.", "copies", func(s *State, emit func(float64, ...string)) { emitCopies(&s.Spaces.FullCopies, emit) }),
	labeled("space_missing_bytes", "Bytes of all spaces that are not on this device.", "of", func(s *State, emit func(float64, ...string)) {
		emit(float64(s.Spaces.LacksFiles), "files")
		emit(float64(s.Spaces.LacksOlder), "older")
	}),
	gauge("space_unconfirmed_operations", "Operations whose order is not final yet.", func(s *State) float64 { return float64(s.Spaces.Unconfirmed) }),
	labeled("space_members", "Other devices and mirrors of all spaces.", "kind", func(s *State, emit func(float64, ...string)) {
		emit(float64(s.Spaces.Devices), "device")
		emit(float64(s.Spaces.Mirrors), "mirror")
	}),
	labeled("space_members_online", "Those that are connected.", "kind", func(s *State, emit func(float64, ...string)) {
		emit(float64(s.Spaces.DevicesOnline), "device")
		emit(float64(s.Spaces.MirrorsOnline), "mirror")
	}),
	gauge("copies_failed", "Copies that did not prove what they say when they were last asked.", func(s *State) float64 { return float64(s.Spaces.Failed) }),
	gauge("copies_unverified", "Copies that have not proved what they say for a week.", func(s *State) float64 { return float64(s.Spaces.Unverified) }),
	labeled("folders", "Folders that are kept equal with spaces, by state.", "state", func(s *State, emit func(float64, ...string)) {
		for _, state := range []string{"idle", "scanning", "sending", "writing", "full", "asking", "stopped"} {
			emit(float64(s.Folders.States[state]), state)
		}
	}),
	labeled("folder_changes", "Changes that are still to be written to folders, and that are to be sent from them.", "direction", func(s *State, emit func(float64, ...string)) {
		emit(float64(s.Folders.Pending), "write")
		emit(float64(s.Folders.Waiting), "send")
	}),
	gauge("folder_problems", "Files and folders that could not be kept equal.", func(s *State) float64 { return float64(s.Folders.Problems) }),
	counter("folder_sent_bytes_total", "Bytes of files that were put from folders into spaces.", func(s *State) float64 { return float64(s.Folders.Sent) }),
	counter("folder_written_bytes_total", "Bytes of files that were written to folders.", func(s *State) float64 { return float64(s.Folders.Written) }),
	gauge("disk_free_bytes", "Bytes that are free on the disk of the data folder.", func(s *State) float64 { return float64(s.Free) }),
	counter("database_flushes_total", "Times that memory was written to sorted files.", func(s *State) float64 { return float64(s.Flushes) }),
	counter("database_compactions_total", "Times that sorted files were merged.", func(s *State) float64 { return float64(s.Compactions) }),
	counter("database_cache_hits_total", "Blocks found in the cache.", func(s *State) float64 { return float64(s.CacheHits) }),
	counter("database_cache_misses_total", "Blocks read from disk.", func(s *State) float64 { return float64(s.CacheMisses) }),
	gauge("database_log_bytes", "Bytes of the write-ahead log.", func(s *State) float64 { return float64(s.LogBytes) }),
	gauge("database_compaction_debt_bytes", "Bytes that wait to be merged.", func(s *State) float64 { return float64(s.CompactionDebt) }),
	gauge("database_read_amplification", "Files that a lookup may have to ask.", func(s *State) float64 { return float64(s.ReadAmplification) }),
}

// emitCopies emits how many spaces have no copy, one, two, more.
func emitCopies(n *[4]int, emit func(float64, ...string)) {
	for i, label := range []string{"0", "1", "2", "more"} {
		emit(float64(n[i]), label)
	}
}

// collector reads the state of a node when it is asked for.
type collector struct{ read func() (*State, error) }

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, n := range numbers {
		ch <- n.desc
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s, err := c.read()
	if err != nil {
		ch <- prometheus.NewInvalidMetric(numbers[0].desc, err)
		return
	}
	for _, n := range numbers {
		n.read(s, func(value float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(n.desc, n.kind, value, labels...)
		})
	}
}
