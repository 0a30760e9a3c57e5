package interop

import (
	"fmt"
	"testing"
	"time"
)

// rests waits until nobody has written anything for many intervals.
func rests(t *testing.T, interval time.Duration, peers ...basePeer) {
	t.Helper()
	last, since := "", time.Now()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(interval) {
		s := converge(t, "rest", nil, peers...).text()
		if s != last {
			last, since = s, time.Now()
		} else if time.Since(since) > 12*interval {
			return
		}
	}
	t.Fatalf("they acknowledge for ever: %s", last)
}

// Of three indexers, one of them in JavaScript, nobody says anything by themselves. What a plain writer in JavaScript says, and changes of
// members, which touch no view, are confirmed and signed all the same, and then it is quiet.
func TestAcksAloneConfirmAndEnd(t *testing.T) {
	const interval = 300 * time.Millisecond
	t.Setenv("ACK_INTERVAL", fmt.Sprint(interval.Milliseconds()))
	peers := startBases(t, "ggjj", 3, baseOptions{acks: interval})
	settled := func(what string, by basePeer, members uint64) {
		t.Helper()
		at := by.state(t).System.Length // of one that knows of the change
		converge(t, what, func(s baseState) bool {
			return s.Members == members && s.Confirmed >= at && s.System.Signed >= at
		}, peers...)
		rests(t, interval, peers...)
	}
	rests(t, interval, peers...)
	for round := range 3 {
		peers[3].append(t, baseOp{Log: fmt.Sprint("entry ", round)})
		converge(t, "entry", func(s baseState) bool {
			return s.Views["log"].Length == uint64(round+1) && s.Views["log"].Signed == uint64(round+1)
		}, peers...)
		rests(t, interval, peers...)
	}
	peers[1].append(t, baseOp{Remove: peers[3].local()})
	settled("removal", peers[1], 3)
	peers[0].append(t, addOp(peers[3].local(), false))
	settled("return", peers[0], 4)
}
