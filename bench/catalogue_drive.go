package main

// drives are the works of drive.
func (c *catalogue) drives() []work {
	pair := func(name, work string, more ...string) (js, ours *command) {
		return c.both("drive", append([]string{"--src", c.files[name].path, "--work", work}, more...)...)
	}
	filesLine := func(name, output string, floor float64) line {
		return line{name: name, output: output, figure: "files_per_s", unit: "files/s", better: higher, cpu: "cpu_s", floor: floor}
	}
	one := work{name: "drive-one", needs: []*set{c.files["one"]}, lines: []line{
		{name: "drive import 1 GiB", output: "drive-import", better: higher, cpu: "cpu_s", floor: 4},
		{name: "drive resync 1 GiB, no change", output: "drive-resync", better: lower, cpu: "cpu_s", floor: 100},
		{name: "drive range 64 KiB, p50", output: "drive-range64k", better: lower, cpu: "cpu_s", floor: 7},
		{name: "drive read 1 GiB", output: "drive-read", better: higher, cpu: "cpu_s"},
		{name: "drive export 1 GiB", output: "drive-export", better: higher, cpu: "cpu_s", floor: 2.7},
	}}
	one.base, one.ours = pair("one", "one")
	many := work{name: "drive-many", needs: []*set{c.files["many"]}, lines: []line{
		filesLine("drive import 20k files, against JS default", "drive-import", 18),
		{name: "drive resync 20k files, no change", output: "drive-resync", better: lower, cpu: "cpu_s", floor: 20},
		{name: "drive list 20k", output: "drive-list", better: higher, cpu: "cpu_s", floor: 4},
		{name: "drive get 4 KiB, p50", output: "drive-get-4k", better: lower, cpu: "cpu_s", floor: 5},
		filesLine("drive export 20k files", "drive-export", 4),
	}}
	many.base, many.ours = pair("many", "many")
	batch := work{name: "drive-many-batch", needs: many.needs, lines: []line{
		filesLine("drive import 20k files, against JS with batch", "drive-import", 5),
	}}
	batch.base, batch.ours = pair("many", "many", "--batch")
	edit := work{name: "drive-edit", needs: []*set{c.files["edit"]}, lines: []line{
		{name: "1-byte edit of 64 MiB: bytes appended, against JS plain", output: "drive-reput", better: lower, cpu: "cpu_s", floor: 330, most: 200_000},
	}}
	edit.base, edit.ours = pair("edit", "edit")
	dedup := work{name: "drive-edit-dedup", needs: edit.needs, lines: []line{
		{name: "1-byte edit of 64 MiB: bytes appended, against JS dedup", output: "drive-reput", better: lower, cpu: "cpu_s", floor: 8, most: 200_000},
	}}
	dedup.base, dedup.ours = pair("edit", "edit-dedup")
	return []work{one, many, batch, edit, dedup}
}

// driveSyncs compare the whole job: a folder that another process has, on this
// disk.
func (c *catalogue) driveSyncs() []work {
	var works []work
	for _, w := range []struct {
		set, label, figure, unit string
		js, ssh, daemon          float64 // floors
	}{
		{"one", "drive-sync 1 GiB", "value", "", 5, 1.5, 0},
		{"many", "drive-sync 20k x 4 KiB", "files_per_s", "files/s", 7, 1, 0},
	} {
		src := c.files[w.set]
		js, ours := c.both("drive-sync", "--src", src.path)
		l := line{name: w.label, output: "drive-sync-tcp", figure: w.figure, unit: w.unit, better: higher, cpu: cpuOfBoth, floor: w.js}
		works = append(works, work{name: "drive-sync-" + w.set, net: true, needs: []*set{src}, base: js, ours: ours, lines: []line{l}})
		for _, peer := range []struct {
			by    string
			floor float64
		}{{"ssh", w.ssh}, {"daemon", w.daemon}} {
			base := c.goProgram("rsync", "--by", peer.by, "--src", src.path)
			base.side = sidePeer
			// Bytes per second and files per second have the same ratio: both sides copy the same folder.
			against := line{name: w.label + ", against rsync by " + peer.by, output: "drive-sync-tcp", better: higher, cpu: cpuOfBoth, baseOutput: "rsync", floor: peer.floor}
			works = append(works, work{name: "drive-sync-" + w.set + "-rsync-" + peer.by, net: true, needs: []*set{src}, base: base, ours: ours, lines: []line{against}})
		}
	}
	return works
}
