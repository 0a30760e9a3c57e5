package foldersync

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tradle/cloudpal/internal/fault"
)

// State is what a folder is doing.
type State string

// The states.
const (
	StateIdle     State = "idle"     // disk and tree are equal, but for problems
	StateScanning State = "scanning" // looks for changes on disk
	StateSending  State = "sending"  // puts changes of the disk into the tree
	StateWriting  State = "writing"  // puts changes of the tree on disk
	StateFull     State = "full"     // waits for space on disk
	StateAsking   State = "asking"   // stopped: a person has to decide, see Status.Reason
)

// Status is a snapshot of a folder's work.
type Status struct {
	State  State
	Reason string   // why it waits or asks, or, idle, what does not work
	Hints  []string // what to do about it
	// Current is a file that is being read or written.
	Current string
	// Files is how many files, folders and links are in agreement.
	Files int
	// Pending is how many changes of the tree are still to be written, Waiting how many paths
	// changed on disk just now and are looked at when they are quiet; those that are
	// problems are not among them.
	Pending, Waiting int
	// What was done since Open.
	Committed, Written, Removed, Moved uint64 // changes
	SentBytes, WrittenBytes            uint64
	// Watching says that the system tells about changes in the whole folder.
	Watching bool
	LastScan time.Time
	Problems []Problem
}

// Problem is something that could not be kept in sync and will be tried again.
type Problem struct {
	Path  string
	Text  string
	Hints []string
	Since time.Time
}

// Event is something that happened.
type Event struct {
	Kind EventKind
	Path string
	// Size is the size of the content that was sent or written.
	Size uint64
	Text string
}

// EventKind is what happened.
type EventKind string

// The kinds of events.
const (
	EventCommitted EventKind = "committed" // a change on disk is in the tree
	EventWritten   EventKind = "written"   // a change of the tree is on disk
	EventRemoved   EventKind = "removed"   // a deletion of the tree is on disk
	EventProblem   EventKind = "problem"
	EventSolved    EventKind = "solved"
	EventState     EventKind = "state" // Text is the State
)

// maxProblems is how many problems are kept.
const maxProblems = 1000

// progress collects the status.
type progress struct {
	onEvent func(Event)

	mu       sync.Mutex
	s        Status
	passes   int // that run
	failed   map[part]failure
	problems map[problemKey]Problem
}

func (p *progress) event(e Event) {
	if p.onEvent != nil {
		p.onEvent(e)
	}
}

func (p *progress) update(fn func(*Status)) {
	p.mu.Lock()
	fn(&p.s)
	p.mu.Unlock()
}

// failure is how the last pass of a part failed.
type failure struct {
	state  State
	reason string
	hints  []string
}

// begin notes that a pass runs.
func (p *progress) begin() {
	p.mu.Lock()
	p.passes++
	p.mu.Unlock()
}

// end notes that a pass of a part ended, and why if it failed: that is shown until one
// of the part does not.
func (p *progress) end(part part, err error) {
	p.mu.Lock()
	p.passes--
	idle := p.passes == 0
	if err != nil {
		n := failure{state: StateIdle}
		n.reason, n.hints = explain(err)
		switch {
		case errors.Is(err, ErrAsking):
			n.state = StateAsking
		case isFull(err):
			n.state = StateFull
		}
		p.failed[part] = n
	} else {
		delete(p.failed, part)
	}
	n := p.failureLocked()
	p.mu.Unlock()
	switch {
	case err != nil || idle && n.state != "":
		p.set(n.state)
	case idle:
		p.set(StateIdle)
	}
}

// failureLocked returns the failure that is shown: one that needs somebody first.
func (p *progress) failureLocked() (n failure) {
	for _, part := range []part{partPush, partLarge, partPull} {
		f, ok := p.failed[part]
		if ok && (n.state == "" || n.state == StateIdle && f.state != StateIdle) {
			n = f
		}
	}
	return n
}

func (p *progress) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passes == 0
}

// state notes what a pass does.
func (p *progress) state(s State) { p.set(s) }

func (p *progress) set(s State) {
	p.mu.Lock()
	changed := p.s.State != s
	n := p.failureLocked()
	p.s.State, p.s.Reason, p.s.Hints = s, n.reason, n.hints
	if s == StateIdle {
		p.s.Current = ""
	}
	p.mu.Unlock()
	if changed {
		p.event(Event{Kind: EventState, Text: string(s)})
	}
}

// problemKey tells problems of one path apart by the part that has it.
type problemKey struct {
	part part
	path string
}

// part is a part of the work.
type part uint8

const (
	partFolder part = iota
	partScan
	partPush
	partLarge
	partPull
)

// problem notes that a path could not be kept in sync.
func (p *progress) problem(part part, path string, err error) {
	text, hints := explain(err)
	key := problemKey{part, path}
	p.mu.Lock()
	old, known := p.problems[key]
	if !known && len(p.problems) >= maxProblems {
		p.mu.Unlock()
		return
	}
	n := Problem{Path: path, Text: text, Hints: hints, Since: time.Now()}
	if known {
		n.Since = old.Since
	}
	p.problems[key] = n
	p.mu.Unlock()
	if !known || old.Text != text {
		p.event(Event{Kind: EventProblem, Path: path, Text: text})
	}
}

// unsent tells whether a path has a problem because of which it is not sent.
func (p *progress) unsent(path string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, known := p.problems[problemKey{partPush, path}]
	return known
}

func (p *progress) solved(part part, path string) {
	key := problemKey{part, path}
	p.mu.Lock()
	_, known := p.problems[key]
	delete(p.problems, key)
	p.mu.Unlock()
	if known {
		p.event(Event{Kind: EventSolved, Path: path})
	}
}

// solvedBelow forgets the problems of scans at a path and below it that are not among
// those of now.
func (p *progress) solvedBelow(prefix string, still map[string]bool) {
	p.mu.Lock()
	var gone []string
	for key := range p.problems {
		if key.part == partScan && below(key.path, prefix) && !still[key.path] {
			gone = append(gone, key.path)
		}
	}
	p.mu.Unlock()
	for _, path := range gone {
		p.solved(partScan, path)
	}
}

func (p *progress) status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.s
	for _, n := range p.problems {
		s.Problems = append(s.Problems, n)
	}
	slices.SortFunc(s.Problems, func(a, b Problem) int { return strings.Compare(a.Path, b.Path) })
	return s
}

// explain says in plain words what went wrong.
func explain(err error) (text string, hints []string) {
	if hints = fault.HintsOf(err); len(hints) > 0 {
		return err.Error(), hints
	}
	switch fault.KindOf(err) {
	case fault.Permission:
		hints = []string{"check who owns the file and its folder, and their permissions; it is tried again by itself"}
	case fault.Full:
		hints = []string{"free some space; it is tried again by itself"}
	case fault.Disk:
		hints = []string{"look at the disk; it is tried again by itself"}
	}
	return err.Error(), hints
}
