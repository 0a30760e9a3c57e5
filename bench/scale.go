package main

import (
	"time"

	"github.com/tradle/cloudpal/bench/internal/workload"
)

// scale is how much work there is.
type scale struct {
	name string // of the folder with the data sets

	appendBlocks   int // divided among the append works, see catalogue
	smallAppends   int // appends of one block
	largeAppends   int // blocks of 64 KiB
	largeBlocks    int // of 64 KiB, in the log that is replicated
	smallBlocks    int // of 100 bytes, in the log that is replicated
	millionBlocks  int // of 100 bytes, in the log that is opened and read
	reads, gets    int
	udxMiB         int // sent over one stream
	dhtNodes       int
	idle           int // connections
	beeKeys        int
	beeSingle      int
	beeReads       int
	beeMillionKeys int
	baseValues     int // appended one by one
	baseBatched    int
	baseMulti      int // by three writers
	baseFork       int // by each writer, apart
	baseHistory    int // what a new reader finds
	baseMillion    int // the same, of a long history

	visible int           // files that are saved, one after the other
	after   time.Duration // how long nodes have nothing to do before they are looked at
	during  time.Duration // how long that is

	one, many, edit      workload.Files
	ten, hundred, hugest workload.Files // files of spaces: 10,000, 100,000 and one
}

// fullScale is the work that the goals are stated for.
func fullScale() scale {
	return scale{
		name:         "full",
		appendBlocks: 100_000, smallAppends: 20_000, largeAppends: 8_192,
		largeBlocks: 16_384, smallBlocks: 50_000, millionBlocks: 1_000_000,
		reads: 50_000, gets: 1000,
		udxMiB: 1024, dhtNodes: 100, idle: 500,
		beeKeys: 100_000, beeSingle: 5000, beeReads: 20_000, beeMillionKeys: 1_000_000,
		baseValues: 5000, baseBatched: 50_000, baseMulti: 1500, baseFork: 200, baseHistory: 3000, baseMillion: 1_000_000,
		visible: 200, after: 30 * time.Second, during: time.Minute,
		one: workload.One, many: workload.Many, edit: workload.Edit,
		ten: workload.Many.Resized(10_000 * 4096), hundred: workload.Many.Resized(100_000 * 4096), hugest: workload.One.Resized(5_000_000_000),
	}
}

// quickScale shows in little time that everything runs. Its ratios say nothing:
// much of what is measured is the start of the programs.
func quickScale() scale {
	return scale{
		name:         "quick",
		appendBlocks: 5000, smallAppends: 500, largeAppends: 128,
		largeBlocks: 512, smallBlocks: 2000, millionBlocks: 20_000,
		reads: 2000, gets: 50,
		udxMiB: 32, dhtNodes: 10, idle: 50,
		beeKeys: 3000, beeSingle: 200, beeReads: 500, beeMillionKeys: 20_000,
		baseValues: 200, baseBatched: 2000, baseMulti: 60, baseFork: 10, baseHistory: 100, baseMillion: 5000,
		visible: 10, after: time.Second, during: 2 * time.Second,
		ten: workload.Many.Resized(200 * 4096), hundred: workload.Many.Resized(1000 * 4096), hugest: workload.One.Resized(64 << 20),
		one: workload.One.Resized(32 << 20), many: workload.Many.Resized(400 * 4096), edit: workload.Edit.Resized(16 << 20),
	}
}
