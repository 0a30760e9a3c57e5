package node

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// dropProgram takes the pages of the program's file out of the memory of the process: to
// start up takes most of them, to rest few, which come back from the cache of the system
// when they are used. Only what is exactly as in the file is dropped.
func dropProgram() error {
	name, err := os.Executable()
	if err != nil {
		return err
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return err
	}
	defer f.Close()
	for _, m := range fileMappings(f, name) {
		if _, _, e := unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED); e != 0 {
			return e
		}
	}
	return nil
}

// mapping is a range of addresses.
type mapping struct{ from, to uintptr }

// fileMappings returns from the form of smaps where a file lies in memory that cannot be
// written to and has no pages of its own, such as those with relocations or breakpoints.
func fileMappings(smaps io.Reader, name string) (list []mapping) {
	var m *mapping
	for s := bufio.NewScanner(smaps); s.Scan(); {
		fields := strings.Fields(s.Text())
		switch {
		case len(fields) >= 5 && !strings.HasSuffix(fields[0], ":"): // from-to permissions offset device inode path
			m = nil
			if len(fields) == 6 && fields[5] == name && strings.HasPrefix(fields[1], "r-") && strings.HasSuffix(fields[1], "p") {
				m = parseRange(fields[0])
			}
		case m != nil && len(fields) >= 2 && fields[0] == "Anonymous:":
			if fields[1] == "0" {
				list = append(list, *m)
			}
			m = nil
		}
	}
	return list
}

func parseRange(s string) *mapping {
	from, to, _ := strings.Cut(s, "-")
	a, err1 := strconv.ParseUint(from, 16, 64)
	b, err2 := strconv.ParseUint(to, 16, 64)
	if err1 != nil || err2 != nil || b <= a {
		return nil
	}
	return &mapping{uintptr(a), uintptr(b)}
}
