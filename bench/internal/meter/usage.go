package meter

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// StartVar is the environment variable in which the benchmark tells a program
// when it started it, in nanoseconds since 1970.
const StartVar = "BENCH_START_NS"

// SinceStart returns the milliseconds since the benchmark started this process.
// ok is false if it did not say.
func SinceStart() (ms float64, ok bool) {
	ns, err := strconv.ParseInt(os.Getenv(StartVar), 10, 64)
	if err != nil {
		return 0, false
	}
	return Ms(time.Duration(time.Now().UnixNano() - ns)), true
}

// RSS returns the resident memory of this process in MiB, 0 where the system
// does not tell.
func RSS() float64 { return selfStatus("VmRSS:") }

// PeakRSS returns the largest resident memory this process ever had, in MiB, 0
// where the system does not tell.
func PeakRSS() float64 { return selfStatus("VmHWM:") }

func selfStatus(field string) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	return statusMiB(status, field)
}

// PeakRSSOf is PeakRSS of another process.
func PeakRSSOf(pid int) (mib float64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return statusMiB(status, "VmHWM:"), nil
}

// statusMiB finds a field of /proc/PID/status, which is given in KiB.
func statusMiB(status []byte, field string) float64 {
	for s := bufio.NewScanner(bytes.NewReader(status)); s.Scan(); {
		rest, ok := strings.CutPrefix(s.Text(), field)
		if !ok {
			continue
		}
		kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
		if err != nil {
			return 0
		}
		return kib / 1024
	}
	return 0
}

// Load returns the load average of the last minute, 0 where the system does not
// tell.
func Load() float64 {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return load
}

// DirSize returns the sum of the apparent sizes of all files below dir. Files may
// go away meanwhile.
func DirSize(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			var info fs.FileInfo
			if info, err = e.Info(); err == nil {
				n += info.Size()
			}
		}
		if errors.Is(err, fs.ErrNotExist) && path != dir {
			return nil
		}
		return err
	})
	return n, err
}
