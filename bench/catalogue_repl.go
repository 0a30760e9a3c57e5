package main

import (
	"path/filepath"
	"strings"
)

// cpuOfBoth is the processor time of both ends of a connection.
const cpuOfBoth = "cpu_client_s+cpu_server_s"

// replication are the works of repl-fetch. The base is always JavaScript fetching
// from JavaScript over the same transport.
func (c *catalogue) replication() []work {
	jsServer := strings.Join([]string{c.node, filepath.Join(c.js, "repl-serve.js")}, " ")
	goServer := c.self + " go repl-serve"
	var works []work
	// one adds a fetch by our side, or by JavaScript from our server, beside the same
	// fetch among JavaScript programs.
	transport := "tcp"
	one := func(name, log, mode, direction string, lines ...line) {
		jsLog, goLog := c.log(sideJS, log), c.log(sideGo, log)
		args := func(set *set, more ...string) []string {
			return append([]string{"--transport", transport, "--mode", mode, "--gets", n(c.scale.gets), "--dir", set.path}, more...)
		}
		w := work{name: name, net: true, needs: []*set{jsLog, goLog}, base: c.jsProgram("repl-fetch", args(jsLog)...), lines: lines}
		switch direction {
		case "go<-go":
			w.ours = c.goProgram("repl-fetch", args(goLog)...)
		case "go<-js":
			w.ours = c.goProgram("repl-fetch", args(jsLog, "--server", jsServer)...)
		case "js<-go":
			w.ours = c.jsProgram("repl-fetch", args(goLog, "--server", goServer)...)
		}
		works = append(works, w)
	}
	large := func(name string, floor, cpuFloor float64) line {
		return line{name: name, output: "repl-full", better: higher, cpu: cpuOfBoth, floor: floor, cpuFloor: cpuFloor}
	}
	small := func(name string, floor float64) line {
		return line{name: name, output: "repl-full", figure: "blocks_per_s", unit: "blocks/s", better: higher, cpu: cpuOfBoth, floor: floor}
	}
	one("tcp-large", "large", "full", "go<-go", large("replicate 1 GiB, TCP", 4, 3.3))
	one("tcp-small", "small", "full", "go<-go", small("replicate 100 B blocks, TCP", 10))
	one("tcp-large-from-js", "large", "full", "go<-js", large("1 GiB, Go <- JS", 1.4, 0))
	one("tcp-small-from-js", "small", "full", "go<-js", small("100 B blocks, Go <- JS", 1.4))
	one("tcp-large-to-js", "large", "full", "js<-go", large("1 GiB, JS <- Go", 1.05, 0))
	one("tcp-small-to-js", "small", "full", "js<-go", small("100 B blocks, JS <- Go", 1.05))
	one("tcp-sparse-small", "small", "sparse", "go<-go",
		line{name: "sparse remote get 100 B, p50", output: "repl-sparse", better: lower, cpu: "cpu_s", floor: 5},
		line{name: "sparse remote get 100 B, p99", output: "repl-sparse", figure: "p99_ms", unit: "ms", better: lower, most: 1},
		line{name: "first block after connect, TCP", output: "repl-sparse", figure: "first_block_after_connect_start_ms", unit: "ms", better: lower, floor: 7})
	one("tcp-sparse-large", "large", "sparse", "go<-go",
		line{name: "sparse remote get 64 KiB, p50", output: "repl-sparse", better: lower, cpu: "cpu_s", floor: 3.5},
		line{name: "sparse remote get 64 KiB, p99", output: "repl-sparse", figure: "p99_ms", unit: "ms", better: lower, most: 2})
	one("tcp-resume", "small", "resume", "go<-go",
		line{name: "resume: reopen and first missing block", output: "repl-resume", figure: "reopen_ms+value", unit: "ms", better: lower, cpu: "cpu_s", floor: 15},
		line{name: "resume: connect to first missing block", output: "repl-resume", better: lower})
	transport = "dht"
	one("udx-large", "large", "full", "go<-go", large("replicate 1 GiB, udx", 4.5, 0))
	one("udx-small", "small", "full", "go<-go", small("replicate 100 B blocks, udx", 8))
	one("udx-large-from-js", "large", "full", "go<-js", large("1 GiB over udx, Go <- JS", 1.4, 0))
	one("udx-large-to-js", "large", "full", "js<-go", large("1 GiB over udx, JS <- Go", 1.05, 0))
	one("udx-sparse-small", "small", "sparse", "go<-go",
		line{name: "sparse remote get 100 B, udx, p50", output: "repl-sparse", better: lower, cpu: "cpu_s", floor: 5},
		line{name: "first block after connect, udx", output: "repl-sparse", figure: "first_block_after_connect_start_ms", unit: "ms", better: lower, floor: 5})
	return works
}
