package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/folders"
	"github.com/tradle/cloudpal/internal/foldersync"
	"github.com/tradle/cloudpal/internal/space"
)

// lowDisk is how many free bytes on the disk of the data folder are few.
const lowDisk = 512 << 20

// checkFolders looks whether the folders of this machine are kept equal with their spaces.
func (n *Node) checkFolders(context.Context, bool) (f api.Findings, err error) {
	if free := freeBytes(n.opts.Home); free > 0 && free < lowDisk {
		f.Warn("only %d MB are left on the disk of the data folder %s: free some", free>>20, n.opts.Home)
	}
	for _, s := range n.folders.Status() {
		n.checkOneFolder(&f, &s)
	}
	return f, nil
}

func (n *Node) checkOneFolder(f *api.Findings, s *folders.Status) {
	info, err := os.Stat(s.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.Warn("%s is not there: connect its disk, or, if it was meant to go, cloudpal sync stop %s", s.Dir, s.Dir)
		return
	case err != nil:
		f.Warn("%s cannot be read: %v", s.Dir, err)
		return
	case !info.IsDir():
		f.Warn("%s is no folder any more: move away what is there", s.Dir)
		return
	}
	if err := writable(s.Dir); err != nil {
		f.Warn("%s is read-only, so changes of others do not get there (%v): check its permissions, and how its disk is mounted", s.Dir, errors.Unwrap(err))
	}
	if free := freeBytes(s.Dir); free > 0 && free < s.MinFree {
		f.Warn("%s gets nothing before there is more space on its disk: %d MB are free, %d MB are to stay free", s.Dir, free>>20, s.MinFree>>20)
	}
	switch {
	case !s.Running && s.Err != nil:
		f.Warn("%s is not kept equal: %s", s.Dir, advice(s.Err))
	case !s.Running && !n.folders.Running():
		f.Warn("nothing keeps %s equal now: run cloudpal up, or cloudpal service install", s.Dir)
	case s.Running && (s.State == foldersync.StateAsking || s.State == foldersync.StateFull):
		f.Warn("%s is paused: %s", s.Dir, strings.Join(append([]string{s.Reason}, s.Hints...), "; "))
	case s.Running && s.Reason != "":
		f.Warn("%s is not equal: %s", s.Dir, strings.Join(append([]string{s.Reason}, s.Hints...), "; "))
	}
	if k := len(s.Problems); k > 0 {
		f.Warn("%s: %s could not be kept equal: see cloudpal sync ls", s.Dir, counted(uint64(k), "file"))
	}
	if s.Running && !s.Watching && !s.LastScan.IsZero() {
		f.Warn("%s: the system does not tell of all changes, they are found after up to 30 seconds: on Linux raise fs.inotify.max_user_watches (sysctl)", s.Dir)
	}
}

// checkSpaces looks whether spaces go on.
func (n *Node) checkSpaces(ctx context.Context, _ bool) (f api.Findings, err error) {
	records, failed := n.spaces.Records()
	for _, r := range records {
		if err := failed[r.Key]; err != nil {
			f.Problems = append(f.Problems, fmt.Sprintf("space %q cannot be opened: %s", r.Name, advice(err)))
			continue
		}
		s, err := n.spaces.Get(r.Key.Hex())
		if err != nil {
			return f, err
		}
		if err := n.checkSpace(ctx, &f, s); err != nil {
			return f, err
		}
	}
	return f, nil
}

func (n *Node) checkSpace(ctx context.Context, f *api.Findings, s *space.Space) error {
	st, err := s.Status(ctx)
	if err != nil {
		return err
	}
	devices, err := s.Devices(ctx)
	if err != nil {
		return err
	}
	name := func(log hypercrypto.Key) string {
		for _, d := range devices {
			if d.Log == log {
				return d.Name
			}
		}
		return "an unknown device"
	}
	removed := slices.ContainsFunc(devices, func(d space.Device) bool { return d.Self && d.Removed })
	switch {
	case st.Err != nil:
		f.Warn("space %q does not go on: %s", s.Name(), advice(st.Err))
	case removed:
		f.Warn("space %q: this device was removed from it: cloudpal space leave %q --forget; with another invite you can join it again then", s.Name(), s.Name())
		return nil
	case st.Role == 0:
		f.Warn("space %q has not arrived: a device of another member has to be online at the same time", s.Name())
	}
	if k := len(st.Missing); k > 0 {
		f.Warn("space %q waits for %s: a device that has it has to be online: %s", s.Name(), counted(uint64(k), "key"), n.others(devices))
	}
	for log := range st.Frozen {
		f.Warn("space %q: the log of %s has two contradicting histories and is not read any further: remove that device and let it join anew", s.Name(), name(log))
	}
	away := slices.DeleteFunc(slices.Clone(devices), func(d space.Device) bool { return !d.Indexer || d.Removed || d.Self || n.online(d.Node) })
	waiting, err := s.Unconfirmed(ctx)
	if err != nil {
		return err
	}
	if waiting > 0 && 2*len(away) >= len(st.Indexers) && len(away) > 0 {
		f.Warn("space %q: %s not confirmed, because devices that confirm are away: %s. Bring one online; if it is lost for good: cloudpal space recover %q", s.Name(),
			counted(waiting, "operation"), n.others(away), s.Name())
	}
	return nil
}

// others names devices, with those that are online first.
func (n *Node) others(devices []space.Device) string {
	var online, away []string
	for _, d := range devices {
		switch {
		case d.Self || d.Removed:
		case n.online(d.Node):
			online = append(online, d.Name+" (online)")
		default:
			away = append(away, d.Name)
		}
	}
	if len(online)+len(away) == 0 {
		return "there is no other"
	}
	return strings.Join(append(online, away...), ", ")
}

const (
	// unproven is how long a copy may go without proof, and proveGrace how long a node that
	// has just started may take for the first one.
	unproven   = 7 * 24 * time.Hour
	proveGrace = 10 * time.Minute
)

// checkCopies looks whether there are enough copies of all spaces, and whether they can be
// relied on.
func (n *Node) checkCopies(ctx context.Context, _ bool) (f api.Findings, err error) {
	for _, s := range n.spaces.Spaces() {
		st, err := s.Status(ctx)
		if err != nil {
			return f, err
		}
		if st.Role == 0 {
			continue
		}
		c, err := n.copiesOf(ctx, s)
		if err != nil {
			return f, err
		}
		for _, w := range c.Warnings(s.Name()) {
			f.Warn("%s: %s", s.Name(), w)
		}
		for _, x := range c.Copies {
			n.checkCopy(&f, s.Name(), &x)
		}
	}
	return f, nil
}

func (n *Node) checkCopy(f *api.Findings, name string, x *api.Copy) {
	held := x.Holds == api.HoldsAll || x.Holds == api.HoldsPresent
	switch {
	case x.Self || !x.Failed.IsZero():
	case x.Mirror && x.Online && !held && time.Since(n.started) > proveGrace:
		f.Warn("%s: the mirror %s is connected and does not keep all of it: wait until it has fetched it; if that lasts, it may refuse: let it trust this node (cloudpal mirror --trust %s), or give it room (--quota)",
			name, x.Name, n.network.keyPair.Public)
	case x.Mirror && x.Seen.IsZero() && !x.Online && time.Since(n.started) > proveGrace:
		f.Warn("%s: the mirror %s was never reached: see that it runs, and that its key is right", name, x.Name)
	case held && !x.Verified.IsZero() && time.Since(x.Verified) > unproven:
		f.Warn("%s: %s last proved on %s what it has: bring it online, then cloudpal space status %q --verify", name, x.Name, x.Verified.Format(time.DateOnly), name)
	case held && x.Verified.IsZero() && time.Since(n.started) > proveGrace:
		f.Warn("%s: %s never proved what it says it has: bring it online, then cloudpal space status %q --verify", name, x.Name, name)
	}
}

// checkClocks looks for clocks that are far off.
func (n *Node) checkClocks(ctx context.Context, _ bool) (f api.Findings, err error) {
	for _, s := range n.spaces.Spaces() {
		log, by, ok, err := s.Ahead(ctx, time.Now())
		if err != nil {
			return f, err
		}
		if !ok {
			continue
		}
		devices, err := s.Devices(ctx)
		if err != nil {
			return f, err
		}
		for _, d := range devices {
			switch {
			case d.Log == log && d.Self:
				f.Warn("space %q: the clock of this device was %v ahead of now when it wrote last: set it", s.Name(), by.Round(time.Second))
			case d.Log == log:
				f.Warn("space %q: the clock of %s is %v ahead of the one here: set the one that is wrong", s.Name(), d.Name, by.Round(time.Second))
			}
		}
	}
	return f, nil
}

// advice is an error with what to do about it.
func advice(err error) string {
	return strings.Join(append([]string{err.Error()}, fault.HintsOf(err)...), ": ")
}

func counted(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
