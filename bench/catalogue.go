package main

import (
	"os"
	"path/filepath"
	"strconv"
)

// The sides of the comparison.
const (
	sideJS   = "js"
	sideGo   = "go"
	sidePeer = "rsync"
	sideSync = "syncthing"
	sidePhys = "disk"
)

// catalogue is what there is to compare, with the floors of the goals.
type catalogue struct {
	scale scale
	node  string // the program
	js    string // the folder of the JavaScript programs
	self  string // this program
	root  string // of the data sets
	run   *runner

	files   map[string]*set
	logs    map[string]*set
	program *set
}

func newCatalogue(sc scale, node, js, root string, r *runner) (*catalogue, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &catalogue{scale: sc, node: node, js: js, self: self, root: filepath.Join(root, sc.name), run: r, logs: make(map[string]*set)}
	c.files = map[string]*set{
		"one":  fileSet(c.root, "one", sc.one),
		"many": fileSet(c.root, "many", sc.many),
		"edit": fileSet(c.root, "edit", sc.edit),
		"10k":  fileSet(c.root, "10k", sc.ten),
		"100k": fileSet(c.root, "100k", sc.hundred),
		"huge": fileSet(c.root, "huge", sc.hugest),
	}
	c.program = programSet(root)
	return c, nil
}

// works returns all of them, in the order of the goals.
func (c *catalogue) works() []work {
	var w []work
	for _, part := range []func() []work{c.appends, c.reads, c.replication, c.network, c.bees, c.bases, c.drives, c.driveSyncs, c.spaces} {
		w = append(w, part()...)
	}
	return w
}

func (c *catalogue) jsProgram(name string, args ...string) *command {
	return &command{side: sideJS, argv: append([]string{c.node, filepath.Join(c.js, name+".js")}, args...)}
}

func (c *catalogue) goProgram(name string, args ...string) *command {
	return &command{side: sideGo, argv: append([]string{c.self, "go", name}, args...)}
}

// both returns the programs of both sides with the same arguments.
func (c *catalogue) both(name string, args ...string) (js, ours *command) {
	return c.jsProgram(name, args...), c.goProgram(name, args...)
}

func n(v int) string { return strconv.Itoa(v) }

// log returns the log of that name made by a side.
func (c *catalogue) log(side, name string) *set {
	var size, batch, count int
	switch name {
	case "large":
		size, batch, count = 65536, 16, c.scale.largeBlocks
	case "small":
		size, batch, count = 100, 1000, c.scale.smallBlocks
	case "million":
		size, batch, count = 100, 1000, c.scale.millionBlocks
	}
	id := side + "/" + name
	if c.logs[id] == nil {
		args := []string{"--size", n(size), "--batch", n(batch), "--count", n(count)}
		program := c.goProgram("core-append", args...)
		if side == sideJS {
			program = c.jsProgram("core-append", args...)
		}
		c.logs[id] = logSet(c.run, c.root, name, *program)
	}
	return c.logs[id]
}
