package main

// bases are the works of autobase.
func (c *catalogue) bases() []work {
	sc := c.scale
	one := func(name string, lines []line, args ...string) work {
		js, ours := c.both("autobase", args...)
		return work{name: name, base: js, ours: ours, lines: lines}
	}
	return []work{
		one("base-append", []line{{name: "base append, one writer", output: "autobase-append", better: higher, cpu: "cpu_s", floor: 8}},
			"--count", n(sc.baseValues)),
		one("base-append-b100", []line{{name: "base append, one writer, batch 100", output: "autobase-append", better: higher, cpu: "cpu_s", floor: 8}},
			"--count", n(sc.baseBatched), "--batch", "100"),
		one("base-multi", []line{
			{name: "base append, three writers", output: "autobase-multi", better: higher, cpu: "cpu_s", floor: 10},
			{name: "base append to another's view, p50", output: "autobase-live", better: lower, floor: 5},
		}, "--mode", "multi", "--writers", "3", "--count", n(sc.baseMulti)),
		one("base-merge", []line{{name: "base merge of a fork, five writers", output: "autobase-merge", better: lower, cpu: "cpu_s", floor: 20}},
			"--mode", "merge", "--writers", "5", "--count", n(sc.baseFork)),
		one("base-reader-replay", []line{{name: "base new reader, replay", output: "autobase-reader", better: lower, cpu: "cpu_s", floor: 10}},
			"--mode", "reader", "--count", n(sc.baseHistory)),
		one("base-reader-forward", []line{{name: "base new reader, fast-forward", output: "autobase-reader", better: lower, cpu: "cpu_s", floor: 10}},
			"--mode", "reader", "--count", n(sc.baseHistory), "--forward"),
		{name: "base-million", ours: c.goProgram("autobase", "--mode", "reader", "--count", n(sc.baseMillion), "--batch", "100"), lines: []line{
			{name: "base new reader, replay of 1M nodes", output: "autobase-reader", better: lower, cpu: "cpu_s"},
			{name: "base replay of 1M nodes: peak memory of both peers", output: "autobase-reader", figure: "peak_rss_mb", unit: "MiB", better: lower, most: 400},
		}},
	}
}
