package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/tradle/cloudpal/bench/internal/meter"
)

// IO is what a program reads and writes.
type IO struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
}

type program func(ctx context.Context, io IO, args []string) error

func programs() map[string]program {
	return map[string]program{
		"core-append": coreAppend,
		"core-get":    coreGet,
		"core-open":   coreOpen,
		"repl-serve":  replServe,
		"repl-fetch":  replFetch,
		"autobase":    base,
		"bee":         bee,
		"drive":       drive,
		"drive-sync":  driveSync,
		"rsync":       rsync,
		"udx":         udxStream,
		"dht":         dhtWork,
		"dht-idle":    dhtIdle,
		"phys":        phys,

		"space-sync":    spaceSync,
		"space-change":  spaceChange,
		"space-visible": spaceVisible,
		"space-still":   spaceStill,
		"syncthing":     syncthing,
	}
}

// Run runs the program of that name.
func Run(ctx context.Context, name string, args []string, io IO) error {
	p, ok := programs()[name]
	if !ok {
		return fmt.Errorf("no program %q; there are: %s", name, strings.Join(Names(), ", "))
	}
	if err := p(ctx, io, args); err != nil && !errors.Is(err, flag.ErrHelp) {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Names returns the names of all programs, sorted.
func Names() []string { return slices.Sorted(maps.Keys(programs())) }

// flags returns an empty set of flags for a program.
func (io IO) flags(name string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Stderr)
	return f
}

// print writes one result.
func (io IO) print(name string, value float64, unit string, params, extra meter.Fields) error {
	return meter.Line{Name: name, Value: value, Unit: unit, Params: params, Extra: extra}.Print(io.Stdout)
}

// tempVar names the folder in which temporary folders are made, which must be on
// the disk that is measured.
const tempVar = "BENCH_TMP"

// keepVar is set if the benchmark removes temporary folders itself.
const keepVar = "BENCH_KEEP"

// tempDir makes a folder for one run. remove removes it, unless keepVar is set.
func tempDir(tag string) (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp(os.Getenv(tempVar), "b-"+tag+"-")
	if err != nil {
		return "", nil, err
	}
	return dir, func() {
		if os.Getenv(keepVar) == "" {
			os.RemoveAll(dir)
		}
	}, nil
}
