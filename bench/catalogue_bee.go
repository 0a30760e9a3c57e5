package main

// bees are the works of bee.
func (c *catalogue) bees() []work {
	sc := c.scale
	js, ours := c.both("bee", "--keys", n(sc.beeKeys), "--single", n(sc.beeSingle), "--reads", n(sc.beeReads))
	return []work{
		{name: "bee", base: js, ours: ours, lines: []line{
			{name: "bee put, single", output: "bee-put-single", better: higher, cpu: "cpu_s", floor: 10},
			{name: "bee put, batch 1000", output: "bee-put-batch", better: higher, cpu: "cpu_s", floor: 15},
			{name: "bee block bytes per key", output: "bee-put-batch", figure: "block_bytes_per_key", unit: "bytes", better: lower, floor: 0.99},
			{name: "bee get", output: "bee-get", better: higher, cpu: "cpu_s", floor: 20},
			{name: "bee scan", output: "bee-scan", better: higher, cpu: "cpu_s", floor: 20},
			{name: "bee range of 100", output: "bee-range100", better: lower, cpu: "cpu_s", floor: 7},
		}},
		{name: "bee-million", ours: c.goProgram("bee", "--keys", n(sc.beeMillionKeys), "--single", "0", "--reads", n(sc.beeReads)), lines: []line{
			{name: "bee put 1M keys in random order", output: "bee-put-batch", figure: "ms", unit: "ms", better: lower, cpu: "cpu_s", most: 30_000},
			{name: "bee put 1M keys: peak memory", output: "bee-put-batch", figure: "peak_rss_mb", unit: "MiB", better: lower, most: 200},
		}},
	}
}
