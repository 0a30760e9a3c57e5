package protomux

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestLargestMessageAndBeyond(t *testing.T) {
	a, b := muxes(t, nil)
	got := make(chan int, 4)
	// An open that arrived before a has opened its side would be rejected.
	b.Pair("p", nil, func([]byte) {
		open(t, b, ChannelOptions{Protocol: "p", Messages: []func(*Channel, []byte) error{func(_ *Channel, body []byte) error {
			got <- len(body)
			return nil
		}}})
	})
	closed := make(chan bool, 1)
	c := open(t, a, ChannelOptions{Protocol: "p", OnClose: func(*Channel, bool) { closed <- true }})
	big := make([]byte, MaxMessage)
	a.Cork()
	c.Send(0, nil)
	c.Send(0, big)
	// A wrong hint must not make a frame too large either.
	c.Send(0, nil)
	c.SendFunc(0, 0, func(b []byte) []byte { return append(b, big...) })
	a.Uncork()
	for _, want := range []int{0, MaxMessage, 0, MaxMessage} {
		if n := wait(t, got); n != want {
			t.Fatalf("got %d bytes, want %d", n, want)
		}
	}
	c.Send(0, make([]byte, MaxFrame))
	wait(t, closed)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != ErrTooLarge {
		t.Errorf("ended by %v", a.err)
	}
}

func TestDrainAndBacklog(t *testing.T) {
	x, y := streamPair(0)
	m := New(x, &Options{MaxQueued: 10000, MaxUnsent: 1})
	result := run(t, m)
	peer := raw{t, y}
	r := newRecorder()
	c := open(t, m, r.options("p", nil))
	peer.want("0001 01 01 70 00")
	peer.send("0001 01 01 70 00")
	r.want(t, "open ")
	if !c.Drained() {
		t.Fatal("not drained at the start")
	}
	for c.Drained() {
		c.Send(0, make([]byte, 1000))
	}
	received := 0
	for received < 10*1000 {
		f, err := peer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		received += len(f)
	}
	r.want(t, "drain")
	if !c.Drained() {
		t.Fatal("not drained")
	}
	for range 2*MaxFrame>>20 + 3 {
		c.Send(0, make([]byte, 1<<20))
	}
	if err := wait(t, result); !errors.Is(err, ErrBacklog) {
		t.Fatalf("ended by %v", err)
	}
	r.want(t, "close true")
}

func TestSilenceIsBrokenByEmptyFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := streamPair(1)
		m := New(a, &Options{KeepAlive: 5 * time.Second})
		result := run(t, m)
		peer := raw{t, b}
		start := time.Now()
		peer.want("")
		peer.want("")
		if d := time.Since(start); d != 10*time.Second {
			t.Errorf("two empty frames after %v", d)
		}
		peer.send("")
		if err := peer.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-result; err != nil {
			t.Errorf("ended by %v", err)
		}
	})
}

func TestEndClosesEveryChannelOnce(t *testing.T) {
	for name, stop := range map[string]func(m *Mux, peer raw, cancel func()){
		"close":  func(m *Mux, peer raw, cancel func()) { m.Close() },
		"remote": func(m *Mux, peer raw, cancel func()) { peer.Close() },
		"ctx":    func(m *Mux, peer raw, cancel func()) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := streamPair(100)
				m, peer := New(a, nil), raw{t, b}
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				result := make(chan error, 1)
				go func() { result <- m.Run(ctx) }()
				opened, half, dropped, early, r := newRecorder(), newRecorder(), newRecorder(), newRecorder(), newRecorder()
				open(t, m, opened.options("opened", nil))
				open(t, m, half.options("half", nil))
				open(t, m, dropped.options("dropped", nil)).Close()
				goOn := make(chan struct{})
				m.Pair("p", nil, func(id []byte) {
					<-goOn
					if _, err := m.Open(early.options("p", id)); err != ErrClosed {
						t.Errorf("open after the end: %v", err)
					}
				})
				peer.send("0001 01 01 70 00", "0001 02 06 6f70656e6564 00")
				synctest.Wait()
				stop(m, peer, cancel)
				opened.want(t, "open ", "close true")
				half.want(t, "close true")
				dropped.want(t, "close false")
				select {
				case err := <-result:
					t.Fatalf("Run returned %v while a pair function runs", err)
				default:
				}
				close(goOn)
				want := error(nil)
				if name == "ctx" {
					want = context.Canceled
				}
				if err := <-result; err != want {
					t.Errorf("Run returned %v, want %v", err, want)
				}
				if err := m.Run(ctx); err != ErrClosed {
					t.Errorf("second Run: %v", err)
				}
				if n := len(opened.events) + len(half.events) + len(dropped.events) + len(early.events) + len(r.events); n != 0 {
					t.Errorf("%d more events", n)
				}
				if err := m.Close(); err != nil {
					t.Errorf("second close: %v", err)
				}
			})
		})
	}
}

func TestCloseWithoutRunClosesChannels(t *testing.T) {
	a, _ := streamPair(1)
	m := New(a, nil)
	r := newRecorder()
	c := open(t, m, r.options("p", nil))
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	r.want(t, "close true")
	c.Close()
	c.Send(0, nil)
	if err := m.Run(context.Background()); err != ErrClosed {
		t.Errorf("Run after Close: %v", err)
	}
	if err := m.Flush(context.Background()); err != nil && err != ErrClosed {
		t.Errorf("Flush after Close: %v", err)
	}
	if _, err := m.Open(r.options("p", nil)); err != ErrClosed {
		t.Errorf("Open after Close: %v", err)
	}
}

func TestHandlerErrorEndsTheMux(t *testing.T) {
	bad := errors.New("bad")
	for _, where := range []string{"open", "message"} {
		m, peer, result := against(t, nil)
		r := newRecorder()
		o := r.options("a", nil)
		if where == "open" {
			o.OnOpen = func(*Channel, []byte) error { return bad }
		} else {
			o.Messages[0] = func(*Channel, []byte) error { return bad }
		}
		open(t, m, o)
		peer.want("0001 01 01 61 00")
		peer.send("0001 01 01 61 00", "01 00")
		if err := wait(t, result); !errors.Is(err, bad) {
			t.Errorf("%s: ended by %v", where, err)
		}
		peer.wantEnd()
	}
}

func TestFramesAgainstTheRulesEndTheMux(t *testing.T) {
	for name, frames := range map[string][]string{
		"no channel":         {"fd00"},
		"no type":            {"01"},
		"channel too large":  {"ff ffffffffffffffff 00"},
		"open short":         {"0001 01 05 61"},
		"open number 0":      {"0001 00 01 61 00"},
		"open gap":           {"0001 02 01 61 00"},
		"open in use":        {"0001 01 01 77 00", "0001 01 01 77 00"},
		"open large":         {"0001 01 01 61 00" + fmt.Sprintf("%x", make([]byte, maxNames))},
		"reject unknown":     {"0002 05"},
		"reject 0":           {"0002 00"},
		"reject short":       {"0002"},
		"close short":        {"0003 fd"},
		"batch short":        {"0000"},
		"item beyond end":    {"0000 01 05 00"},
		"item without type":  {"0000 01 01 fd"},
		"switch without end": {"0000 01 00"},
		"batch in batch":     {"0000 00 03 00 01 00"},
	} {
		t.Run(name, func(t *testing.T) {
			m, peer, result := against(t, nil)
			goOn := make(chan struct{})
			m.Pair("w", nil, func([]byte) { <-goOn })
			peer.send(frames...)
			wait(t, m.done)
			close(goOn)
			if err := wait(t, result); !errors.Is(err, ErrProtocol) {
				t.Errorf("ended by %v", err)
			}
		})
	}
}

func TestHarmlessFramesAreIgnored(t *testing.T) {
	_, peer, _ := against(t, nil)
	peer.send("", "01 00", "0003 01", "0003 00", "0004 01 02", "00 fd0001", "0000 05 02 00 01", "0000 01")
	peer.silent(1)
}

func TestOnCloseMayCloseAMuxThatNeverRan(t *testing.T) {
	a, _ := streamPair(1)
	m := New(a, nil)
	closed := 0
	open(t, m, ChannelOptions{Protocol: "p", OnClose: func(*Channel, bool) { closed++; m.Close() }})
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.Close()
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("it hangs")
	}
	if err := m.Run(t.Context()); !errors.Is(err, ErrClosed) || closed != 1 {
		t.Errorf("closed %d times, then %v", closed, err)
	}
}
