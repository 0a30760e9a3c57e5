package main

import "path/filepath"

// spaceMemory is what a node may take while a folder goes to another device, in MiB.
const spaceMemory = 256

// spaces are the works of folders that are kept equal by nodes.
func (c *catalogue) spaces() []work {
	var works []work
	for _, w := range []struct {
		name, set, label, figure, unit string
		syncthing, ssh                 float64 // floors
	}{
		{"space-sync", "one", "first sync of 1 GiB", "value", "MB/s", 1.2, 1.5},
		{"space-sync-small", "many", "first sync of 20k x 4 KiB", "files_per_s", "files/s", 6, 1},
	} {
		src := c.files[w.set]
		one := func(suffix string, base *command, prepared bool, l line) {
			args := []string{"--src", src.path}
			if prepared {
				args = append(args, "--prepared")
			}
			l.output, l.figure, l.unit, l.better, l.cpu = "space-sync", w.figure, w.unit, higher, cpuOfBoth
			works = append(works, c.space(w.name+suffix, base, "space-sync", args, []*set{src}, l))
		}
		syncthing := func(more ...string) *command {
			p := c.goProgram("syncthing", append([]string{"--src", src.path}, more...)...)
			p.side = sideSync
			return p
		}
		ssh := c.goProgram("rsync", "--by", "ssh", "--src", src.path)
		ssh.side = sidePeer
		one("", syncthing(), false, line{name: w.label + ", against Syncthing", baseOutput: "syncthing", floor: w.syncthing})
		one("-ssh", ssh, false, line{name: w.label + ", against rsync by ssh", baseOutput: "rsync", floor: w.ssh})
		one("-joined", syncthing("--prepared"), true, line{name: w.label + ", joined, against Syncthing", baseOutput: "syncthing"})
		one("-js", c.jsProgram("drive-sync", "--src", src.path), true, line{name: w.label + ", joined, against a JS drive", baseOutput: "drive-sync-tcp"})
	}
	return append(works, c.changes(), c.visible(), c.huge(), c.still())
}

// space is a work with nodes.
func (c *catalogue) space(name string, base *command, program string, args []string, needs []*set, lines ...line) work {
	ours := c.goProgram(program, append([]string{"--cloudpal", filepath.Join(c.program.path, "cloudpal")}, args...)...)
	return work{name: name, net: true, needs: append(needs, c.program), base: base, ours: ours, lines: lines}
}

func (c *catalogue) changes() work {
	large, many := c.files["one"], c.files["10k"]
	return c.space("space-change", nil, "space-change", []string{"--large", large.path, "--many", many.path}, []*set{large, many},
		line{name: "space-edit: a byte of 1 GiB: bytes sent", output: "space-edit", better: lower, most: 300_000},
		line{name: "space-edit: a byte of 1 GiB: bytes stored", output: "space-edit", figure: "stored_bytes", unit: "bytes", better: lower, most: 300_000},
		line{name: "space-edit: a byte of 1 GiB: until it is there", output: "space-edit", figure: "ms", unit: "ms", better: lower},
		line{name: "space-rename: a folder of 10k files: bytes sent", output: "space-rename", better: lower, most: 2_000_000},
		line{name: "space-rename: a folder of 10k files: bytes stored", output: "space-rename", figure: "stored_bytes", unit: "bytes", better: lower},
		line{name: "space-rename: a folder of 10k files: until it is there", output: "space-rename", figure: "ms", unit: "ms", better: lower},
	)
}

func (c *catalogue) visible() work {
	return c.space("space-visible", nil, "space-visible", []string{"--saves", n(c.scale.visible)}, nil,
		line{name: "saved file is on the other device, p50", output: "space-visible", better: lower, cpu: cpuOfBoth, most: 300},
		line{name: "saved file is on the other device, p99", output: "space-visible", figure: "p99_ms", unit: "ms", better: lower, most: 300},
	)
}

func (c *catalogue) huge() work {
	src := c.files["huge"]
	return c.space("space-huge", nil, "space-sync", []string{"--src", src.path}, []*set{src},
		line{name: "first sync of 5 GB", output: "space-sync", better: higher, cpu: cpuOfBoth},
		line{name: "first sync of 5 GB: peak memory of the sender", output: "space-sync", figure: "peak_rss_server_mb", unit: "MiB", better: lower, most: spaceMemory},
		line{name: "first sync of 5 GB: peak memory of the receiver", output: "space-sync", figure: "peak_rss_mb", unit: "MiB", better: lower, most: spaceMemory},
	)
}

func (c *catalogue) still() work {
	src := c.files["100k"]
	args := []string{"--src", src.path, "--after", c.scale.after.String(), "--during", c.scale.during.String()}
	return c.space("space-many", nil, "space-still", args, []*set{src},
		line{name: "first sync of 100k x 4 KiB", output: "space-many", figure: "files_per_s", unit: "files/s", better: higher, cpu: cpuOfBoth},
		line{name: "first sync of 100k x 4 KiB: peak memory of the sender", output: "space-many", figure: "peak_rss_server_mb", unit: "MiB", better: lower},
		line{name: "first sync of 100k x 4 KiB: peak memory of the receiver", output: "space-many", figure: "peak_rss_mb", unit: "MiB", better: lower},
		line{name: "space-idle: 100k files, after the sync: memory", output: "space-idle", better: lower, most: 60},
		line{name: "space-idle: 100k files, after the sync: CPU in %", output: "space-idle", figure: "cpu_percent", unit: "%", better: lower, most: 0.2},
		line{name: "space-rescan: 100k files, start to nothing to do", output: "space-rescan", better: lower, cpu: "cpu_s", most: 2},
		line{name: "space-idle: 100k files, after a start: memory", output: "space-idle-again", better: lower, most: 60},
		line{name: "space-idle: 100k files, after a start: CPU in %", output: "space-idle-again", figure: "cpu_percent", unit: "%", better: lower, most: 0.2},
	)
}
