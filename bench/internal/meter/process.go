package meter

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// Used is what a process and those that it started have used.
type Used struct {
	CPU     float64 // seconds, user and system, also of those that have ended
	RSS     float64 // MiB now, all together
	PeakRSS float64 // MiB at most, of the largest one
}

// ticks is how many units of /proc/PID/stat are a second.
const ticks = 100

// UsedBy returns what a process of this machine and its descendants have used.
func UsedBy(pid int) (u Used, err error) {
	all, err := os.ReadDir("/proc")
	if err != nil {
		return u, err
	}
	type process struct {
		parent int
		cpu    float64
	}
	known := make(map[int]process)
	for _, e := range all {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if parent, cpu, err := readStat(n); err == nil { // else it just ended
			known[n] = process{parent, cpu}
		}
	}
	if _, ok := known[pid]; !ok {
		return u, fmt.Errorf("no process %d", pid)
	}
	for n, p := range known {
		ours := n == pid
		for up := p.parent; up > 1 && !ours; up = known[up].parent {
			ours = up == pid
		}
		if !ours {
			continue
		}
		u.CPU += p.cpu
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return u, err
		}
		u.RSS += statusMiB(status, "VmRSS:")
		u.PeakRSS = max(u.PeakRSS, statusMiB(status, "VmHWM:"))
	}
	return u, nil
}

// readStat reads /proc/PID/stat.
func readStat(pid int) (parent int, cpu float64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	return parseStat(b)
}

// parseStat returns the parent of a process, and the processor time of it and of the
// children it has waited for. The second field is a name in brackets that may have
// anything in it.
func parseStat(stat []byte) (parent int, cpu float64, err error) {
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(f) < 15 {
		return 0, 0, errors.New("not a status of a process")
	}
	if parent, err = strconv.Atoi(string(f[1])); err != nil {
		return 0, 0, err
	}
	for _, t := range f[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseFloat(string(t), 64)
		if err != nil {
			return 0, 0, err
		}
		cpu += n / ticks
	}
	return parent, cpu, nil
}

// LoopbackBytes returns how many bytes went over the loopback device of this network,
// with all headers. Each counts once, whichever way it goes.
func LoopbackBytes() (uint64, error) {
	b, err := os.ReadFile("/proc/thread-self/net/dev")
	if err != nil {
		return 0, err
	}
	return deviceBytes(b, "lo")
}

// deviceBytes finds what a device has sent in /proc/PID/net/dev.
func deviceBytes(dev []byte, name string) (uint64, error) {
	for line := range bytes.Lines(dev) {
		if is, figures, ok := strings.Cut(strings.TrimSpace(string(line)), ":"); ok && is == name {
			if f := strings.Fields(figures); len(f) > 8 {
				return strconv.ParseUint(f[8], 10, 64)
			}
		}
	}
	return 0, fmt.Errorf("no device %s", name)
}
