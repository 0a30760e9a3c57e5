package main

// appends are the works of core-append.
func (c *catalogue) appends() []work {
	sc := c.scale
	single := []string{"--size", "100", "--batch", "1", "--count", n(sc.smallAppends)}
	durable := append([]string{"--durable"}, single...)
	js, ours := c.both("core-append", single...)
	works := []work{
		{name: "append-100-b1", base: js, ours: ours, lines: []line{
			c.appendLine("append 100 B, batch 1", "value", 5),
			c.overheadLine("disk overhead per block, 100 B, batch 1"),
		}},
		{name: "append-100-b1-durable", base: js, ours: c.goProgram("core-append", durable...), lines: []line{
			c.appendLine("append 100 B, batch 1, synced, against JS unsynced", "value", 1),
		}},
		{name: "append-100-b1-sync-limit", base: c.goProgram("phys", "--only", "sync", "--syncs", n(sc.smallAppends)), ours: c.goProgram("core-append", durable...), lines: []line{
			{name: "append 100 B, batch 1, synced, against write+fdatasync", output: "core-append", baseOutput: "phys-sync", better: higher, cpu: "cpu_s", floor: 0.8},
		}},
		{name: "append-100-16-logs-durable", ours: c.goProgram("core-append", append([]string{"--appenders", "16", "--logs", "16"}, durable...)...), lines: []line{
			{name: "append 100 B, synced, 16 appenders, 16 logs", output: "core-append", better: higher, cpu: "cpu_s", least: 15_000},
		}},
		{name: "append-100-16-appenders-durable", ours: c.goProgram("core-append", append([]string{"--appenders", "16"}, durable...)...), lines: []line{
			{name: "append 100 B, synced, 16 appenders, one log", output: "core-append", better: higher, cpu: "cpu_s"},
		}},
	}
	works[2].base.side = sidePhys
	for _, w := range []struct {
		name, label, figure, size, batch string
		count                            int
		floor                            float64
	}{
		{"append-100-b100", "append 100 B, batch 100", "value", "100", "100", 2 * sc.appendBlocks, 6},
		{"append-100-b1000", "append 100 B, batch 1000", "value", "100", "1000", 5 * sc.appendBlocks, 6},
		{"append-1k-b100", "append 1 KiB, batch 100", "value", "1024", "100", sc.appendBlocks, 4},
		{"append-64k-b16", "append 64 KiB, batch 16", "mb_per_s", "65536", "16", sc.largeAppends, 2.5},
	} {
		js, ours := c.both("core-append", "--size", w.size, "--batch", w.batch, "--count", n(w.count))
		works = append(works, work{name: w.name, base: js, ours: ours, lines: []line{
			c.appendLine(w.label, w.figure, w.floor),
			c.overheadLine("disk overhead per block, " + w.label[len("append "):]),
		}})
	}
	return works
}

func (c *catalogue) appendLine(name, figure string, floor float64) line {
	l := line{name: name, output: "core-append", figure: figure, better: higher, cpu: "cpu_s", floor: floor}
	if figure != "value" {
		l.unit = "MB/s"
	}
	return l
}

func (c *catalogue) overheadLine(name string) line {
	return line{name: name, output: "core-append", figure: "disk_overhead_per_block", unit: "bytes", better: lower, most: 100}
}

// reads are the works of core-open and core-get.
func (c *catalogue) reads() []work {
	jsLog, goLog := c.log(sideJS, "million"), c.log(sideGo, "million")
	works := []work{{
		name: "open", needs: []*set{jsLog, goLog},
		base: c.jsProgram("core-open", "--dir", jsLog.path), ours: c.goProgram("core-open", "--dir", goLog.path),
		lines: []line{
			{name: "open 1M-block core", output: "core-open", better: lower, cpu: "cpu_s", floor: 8},
			{name: "open: process start to first block", output: "core-open", figure: "start_to_first_get_ms", unit: "ms", better: lower, most: 25},
			{name: "open: memory", output: "core-open", figure: "rss_mb", unit: "MiB", better: lower, most: 25},
		},
	}}
	for _, g := range []struct {
		inflight int
		label    string
	}{{1, "random get 100 B of 1M"}, {32, "random get 100 B of 1M, 32 at once"}} {
		get := func(program func(string, ...string) *command, log *set) *command {
			return program("core-get", "--size", "100", "--count", n(c.scale.millionBlocks), "--reads", n(c.scale.reads), "--inflight", n(g.inflight), "--dir", log.path)
		}
		w := work{name: "get-" + n(g.inflight), needs: []*set{jsLog, goLog}, base: get(c.jsProgram, jsLog), ours: get(c.goProgram, goLog), lines: []line{
			{name: g.label, output: "core-get", better: higher, cpu: "cpu_s", floor: 10},
		}}
		if g.inflight == 1 {
			w.lines = append(w.lines, line{name: g.label + ": p99", output: "core-get", figure: "p99_ms", unit: "ms", better: lower, most: 0.05})
		}
		works = append(works, w)
	}
	return works
}
