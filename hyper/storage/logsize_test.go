package storage

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// What a killed process leaves on a real disk is a log that is longer than what
// was written to it, and other logs before it.
func TestCommitsOfAKilledProcessAreThere(t *testing.T) {
	const size = 1000
	if dir := os.Getenv("STORAGE_TEST_APPEND"); dir != "" {
		appendUntilKilled(t, dir, size)
	}
	dir := t.TempDir()
	total := 0
	for _, n := range []int{20, 150, 400, 1000} {
		total += n
		killAfter(t, dir, total)
		if runtime.GOOS == "linux" && !hasZeroTail(t, dir) {
			t.Error("the log has not got its size in advance")
		}
		db := openTest(t, dir, nil)
		c, err := db.Core(dkOf(1))
		if err != nil {
			t.Fatal(err)
		}
		length := c.Head().Length
		if length < uint64(total) || !c.Has(0, length) {
			t.Fatalf("%d of %d commits are there", length, total)
		}
		for i := range length {
			if b, err := c.Block(i, nil); err != nil || string(b) != string(testBlock(i, size)) {
				t.Fatalf("block %d: %v", i, err)
			}
		}
		if total = int(length); db.Close() != nil {
			t.Fatal("the store does not close")
		}
	}
}

// appendUntilKilled tells the length after each commit.
func appendUntilKilled(t *testing.T, dir string, size int) {
	db := openTest(t, dir, &Options{MemTableSize: 256 << 10})
	c, err := db.Core(dkOf(1))
	if err != nil {
		c = createTest(t, db, 1)
	}
	for i := c.Head().Length; ; i++ {
		commit(t, db, Relaxed, func(b *Batch) {
			b.PutBlock(c, i, testBlock(i, size))
			b.SetHead(c, Head{Length: i + 1})
		})
		fmt.Println("length", i+1)
	}
}

// killAfter runs appendUntilKilled in another process, until it has told of n
// commits.
func killAfter(t *testing.T, dir string, n int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "STORAGE_TEST_APPEND="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	reached := false
	for !reached && lines.Scan() {
		length, err := strconv.Atoi(strings.TrimPrefix(lines.Text(), "length "))
		reached = err == nil && length >= n
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() // its error is the kill
	if !reached {
		t.Fatalf("the other process ended before %d commits", n)
	}
}

// hasZeroTail tells whether a log in a store ends in zeros.
func hasZeroTail(t *testing.T, dir string) bool {
	logs, err := filepath.Glob(filepath.Join(dir, "db", "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range logs {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		const tail = 8 << 10
		if len(b) > tail && string(b[len(b)-tail:]) == string(make([]byte, tail)) {
			return true
		}
	}
	return false
}
