package interop

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// mostMemory is what a node may take at most, in MiB, whatever the folder holds.
const mostMemory = 400

// peak returns the largest resident memory that the node of a machine ever had, in MiB.
func (s *keeper) peak() int {
	s.b.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.node.cmd.Process.Pid))
	if err != nil {
		s.b.t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s*(\d+) kB`).FindSubmatch(status)
	if m == nil {
		s.b.t.Fatalf("no peak in %s", status)
	}
	kib, _ := strconv.Atoi(string(m[1]))
	return kib >> 10
}

// endToEnd keeps what fill makes equal on two machines.
func endToEnd(t *testing.T, fill func(one *keeper)) {
	if !alone(t) {
		return
	}
	one, two := twoKeepers(t)
	two.sync()
	fill(one)
	began := time.Now()
	one.sync()
	equal(t, one, two)
	t.Logf("equal after %v; at most %d and %d MiB of memory", time.Since(began).Round(time.Second), one.peak(), two.peak())
	if max(one.peak(), two.peak()) > mostMemory {
		t.Errorf("want at most %d MiB", mostMemory)
	}
}

func TestManyFilesEndToEnd(t *testing.T) {
	files := 20_000
	if *spacesFull {
		files = 100_000
	}
	endToEnd(t, func(one *keeper) {
		for i := range files {
			name := fmt.Sprintf("d%02d/e%d/f%05d", i%50, i/50%20, i)
			one.write(name, fmt.Sprintf("content of %s, which no other has\n", name))
		}
	})
}

func TestHugeFileEndToEnd(t *testing.T) {
	size := int64(512 << 20)
	if *spacesFull {
		size = 5_000_000_000
	}
	endToEnd(t, func(one *keeper) { one.random("huge", size) })
}
