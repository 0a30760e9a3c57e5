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
	gauge("disk_free_bytes", "Bytes that are free on the disk of the data folder.", func(s *State) float64 { return float64(s.Free) }),
	counter("database_flushes_total", "Times that memory was written to sorted files.", func(s *State) float64 { return float64(s.Flushes) }),
	counter("database_compactions_total", "Times that sorted files were merged.", func(s *State) float64 { return float64(s.Compactions) }),
	counter("database_cache_hits_total", "Blocks found in the cache.", func(s *State) float64 { return float64(s.CacheHits) }),
	counter("database_cache_misses_total", "Blocks read from disk.", func(s *State) float64 { return float64(s.CacheMisses) }),
	gauge("database_log_bytes", "Bytes of the write-ahead log.", func(s *State) float64 { return float64(s.LogBytes) }),
	gauge("database_compaction_debt_bytes", "Bytes that wait to be merged.", func(s *State) float64 { return float64(s.CompactionDebt) }),
	gauge("database_read_amplification", "Files that a lookup may have to ask.", func(s *State) float64 { return float64(s.ReadAmplification) }),
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
