package cli

import (
	"io/fs"
	"path/filepath"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// takes MIB DIR: waits until a folder takes so many MiB of the disk or more; with ! until
// it takes less.
func takes(ts *testscript.TestScript, neg bool, args []string) {
	mib, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	for until := time.Now().Add(patient); ; time.Sleep(100 * time.Millisecond) {
		size := onDisk(ts.MkAbs(args[1]))
		if neg == (size < mib<<20) {
			return
		}
		if time.Now().After(until) {
			ts.Fatalf("%s takes %d MiB", args[1], size>>20)
		}
	}
}

// onDisk returns how many bytes of the disk a folder takes.
func onDisk(dir string) (bytes int64) {
	_ = filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil && unix.Lstat(name, &st) == nil { // else it disappeared meanwhile
			bytes += st.Blocks * 512
		}
		return nil
	})
	return bytes
}
