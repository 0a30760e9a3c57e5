package protomux

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
)

func TestFramesOfOneChannel(t *testing.T) {
	m, peer, _ := against(t, nil)
	r := newRecorder()
	o := r.options("ab", []byte{9})
	o.Handshake = []byte{5, 6}
	c := open(t, m, o)
	peer.want("0001 01 02 6162 01 09 0506")
	peer.send("0001 01 02 6162 01 09 0708")
	r.want(t, "open 0708")
	c.Send(0, []byte{1, 2})
	peer.want("01 00 0102")
	c.SendFunc(300, 0, func(b []byte) []byte { return append(b, bytes.Repeat([]byte{7}, 300)...) })
	peer.want("01 fd2c01 " + fmt.Sprintf("%x", bytes.Repeat([]byte{7}, 300)))
	peer.send("01 00 0a", "", "01 01 0b", "01 02 0c", "01 fd2c01 0d", "00 09 01", "05 00 01", "01 02")
	r.want(t, "0 0a", "2 0c", "2 ")
	c.Close()
	peer.want("0003 01")
	r.want(t, "close false")
	c.Send(0, []byte{1})
	c.Close()
	peer.silent(2)
}

func TestRemoteCloseFreesBothNumbers(t *testing.T) {
	m, peer, _ := against(t, nil)
	r := newRecorder()
	for range 3 {
		c := open(t, m, r.options("a", nil))
		peer.want("0001 01 01 61 00")
		peer.send("0001 01 01 61 00", "0003 01", "01 00 05", "0003 01")
		r.want(t, "open ", "close true")
		c.Send(0, []byte{1})
		if !c.Closed() {
			t.Fatal("not closed")
		}
	}
	peer.silent(1)
}

func TestCloseOfHalfOpenChannelWaitsForTheAnswer(t *testing.T) {
	m, peer, _ := against(t, nil)
	r := newRecorder()

	c := open(t, m, r.options("a", nil))
	c.Close()
	c.Send(0, []byte{1})
	r.want(t, "close false")
	peer.want("0001 01 01 61 00")
	peer.silent(1)
	peer.send("0001 01 01 61 00", "01 00 07")
	peer.want("0003 01")

	// The number is free now, and again after a reject.
	c = open(t, m, r.options("a", nil))
	peer.want("0001 01 01 61 00")
	c.Close()
	r.want(t, "close false")
	peer.send("0002 01")
	peer.silent(1)
	open(t, m, r.options("a", nil))
	peer.want("0001 01 01 61 00")
	peer.send("0001 01 01 61 00")
	r.want(t, "open ")
}

func TestWantedAgainBeforeTheAnswerKeepsTheChannel(t *testing.T) {
	m, peer, _ := against(t, nil)
	first, second := newRecorder(), newRecorder()
	o := first.options("a", nil)
	o.Aliases = []string{"b"}
	open(t, m, o).Close()
	first.want(t, "close false")
	o = second.options("a", nil)
	o.Aliases = []string{"b"}
	c := open(t, m, o)
	peer.want("0001 01 01 61 00")
	peer.silent(1)
	peer.send("0001 01 01 62 00", "01 00 07")
	second.want(t, "open ", "0 07")
	c.Send(0, []byte{1})
	peer.want("01 00 01")

	// Not so when messages were sent already.
	third, fourth := newRecorder(), newRecorder()
	c = open(t, m, third.options("c", nil))
	c.Send(0, nil)
	c.Close()
	open(t, m, fourth.options("c", nil))
	if err := m.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	peer.send("0001 02 01 63 00", "0001 03 01 63 00", "03 00 08")
	fourth.want(t, "open ", "0 08")
	third.want(t, "close false")
}

func TestUnwantedOpenIsRejectedOnce(t *testing.T) {
	m, peer, _ := against(t, nil)
	called := make(chan []byte, 10)
	m.Pair("p", nil, func(id []byte) { called <- id })
	peer.send("0001 01 01 70 02 0102", "01 00 09", "0003 01")
	if id := wait(t, called); !bytes.Equal(id, []byte{1, 2}) {
		t.Fatalf("pair function got id %x", id)
	}
	peer.want("0002 01")
	peer.send("0003 01") // too late, harmless
	peer.send("0001 01 01 71 02 0102")
	peer.want("0002 01")
	m.Unpair("p", nil)
	peer.silent(1)
}

func TestRejectClosesTheChannel(t *testing.T) {
	m, peer, result := against(t, nil)
	r := newRecorder()
	open(t, m, r.options("a", nil))
	peer.want("0001 01 01 61 00")
	peer.send("0002 01")
	r.want(t, "close true")
	peer.silent(1)
	peer.send("0002 01")
	if err := wait(t, result); !errors.Is(err, ErrProtocol) {
		t.Fatalf("second reject: %v", err)
	}
}

func TestPairFunctionOpensAndGetsEarlyMessages(t *testing.T) {
	m, peer, _ := against(t, nil)
	r := newRecorder()
	goOn := make(chan struct{})
	m.Pair("p", nil, func([]byte) { t.Error("the function of the id comes first") })
	m.Pair("p", []byte{1}, func(id []byte) {
		<-goOn
		open(t, m, r.options("p", id))
	})
	peer.send("0001 01 01 70 01 01 33", "01 00 0a", "0000 01 02 02 0b 02 00 0c")
	peer.silent(2)
	close(goOn)
	peer.want("0001 01 01 70 01 01")
	r.want(t, "open 33", "0 0a", "2 0b", "0 0c", "end")
	peer.send("01 00 0d")
	r.want(t, "0 0d")
}

func TestCloseDuringPairingIsAnsweredByReject(t *testing.T) {
	m, peer, _ := against(t, nil)
	r := newRecorder()
	goOn := make(chan struct{})
	m.Pair("p", nil, func(id []byte) {
		<-goOn
		open(t, m, r.options("p", id)).Send(0, []byte{1})
	})
	peer.send("0001 01 01 70 01 01", "01 00 0a", "0003 01", "01 00 0b")
	peer.silent(2)
	close(goOn)
	peer.want("0002 01")
	r.want(t, "close true")
	// The number is free; a live open behind a dead one is found.
	peer.silent(1)
}

func TestLiveOpenBehindDeadOneIsPaired(t *testing.T) {
	m, peer, _ := against(t, nil)
	r := newRecorder()
	goOn := make(chan struct{})
	m.Pair("p", nil, func([]byte) { <-goOn })
	peer.send("0001 01 01 70 00", "0003 01", "0001 02 01 70 00 44")
	peer.silent(3)
	open(t, m, r.options("p", nil))
	peer.want("0000 00 02 02 01 05 01 01 01 70 00")
	r.want(t, "open 44")
	close(goOn)
	peer.silent(1)
}

func TestOpensPairInOrder(t *testing.T) {
	m, peer, _ := against(t, nil)
	var rs [3]recorder
	m.Cork()
	for i := range rs {
		rs[i] = newRecorder()
		o := rs[i].options("a", nil)
		o.Handshake = []byte{byte(i)}
		open(t, m, o)
	}
	m.Uncork()
	peer.want("0000 00 06 01 01 01 61 00 00 06 01 02 01 61 00 01 06 01 03 01 61 00 02")
	peer.send("0001 01 01 61 00 10", "0001 02 01 61 00 11", "0001 03 01 61 00 12", "02 00 aa")
	for i := range rs {
		rs[i].want(t, fmt.Sprintf("open 1%d", i))
	}
	rs[1].want(t, "0 aa")
}

func TestReadingPausesWhileTooMuchIsEarly(t *testing.T) {
	a, b := streamPair(1)
	m := New(a, nil)
	run(t, m)
	peer := raw{t, b}
	r := newRecorder()
	goOn := make(chan struct{})
	m.Pair("p", nil, func(id []byte) {
		<-goOn
		open(t, m, r.options("p", id))
	})
	peer.send("0001 01 01 70 00")
	sent := make(chan struct{})
	const messages = 200
	go func() {
		defer close(sent)
		for range messages {
			peer.send("01 00 0a")
		}
	}()
	m.mu.Lock()
	for m.table.buffered <= maxBuffered {
		m.mu.Unlock()
		select {
		case <-sent:
			t.Fatal("reading did not pause")
		default:
		}
		m.mu.Lock()
	}
	if m.table.buffered > maxBuffered+messageCost+1 {
		t.Errorf("%d bytes buffered", m.table.buffered)
	}
	m.mu.Unlock()
	close(goOn)
	wait(t, sent)
	r.want(t, "open ")
	for range messages {
		r.want(t, "0 0a")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.table.buffered != 0 || m.table.opening != 0 {
		t.Errorf("%d and %d bytes left in the accounts", m.table.buffered, m.table.opening)
	}
}

func TestBatchSwitchesChannelsAndHoldsControl(t *testing.T) {
	m, peer, _ := against(t, nil)
	a, b := newRecorder(), newRecorder()
	ca := open(t, m, a.options("a", nil))
	peer.want("0001 01 01 61 00")
	cb := open(t, m, b.options("b", nil))
	peer.want("0001 02 01 62 00")
	peer.send("0000 00" +
		"05 01 01 01 61 00" + // open a
		"05 01 02 01 62 00" + // open b
		"00 01 02 00 0a 02 02 0b" + // two for a
		"00 02 02 00 0c" + // one for b
		"00 00 02 03 01" + // close a
		"00 01 02 00 0d" + // too late
		"00 02 02 02 0e")
	a.want(t, "open ", "0 0a", "2 0b", "close true")
	b.want(t, "open ", "0 0c", "2 0e")
	ca.Close()
	cb.Close()
	peer.want("0003 02")
}

func TestCorkedMessagesAreOneBatch(t *testing.T) {
	m, peer, _ := against(t, nil)
	r := newRecorder()
	a := open(t, m, r.options("a", nil))
	peer.want("0001 01 01 61 00")
	b := open(t, m, r.options("b", nil))
	peer.want("0001 02 01 62 00")
	m.Cork()
	m.Cork()
	a.Send(0, []byte{1})
	m.Uncork()
	a.Send(3, nil)
	b.Send(0, []byte{2})
	a.SendFunc(1, 1000, func(b []byte) []byte { return append(b, 3) })
	m.Uncork()
	peer.want("0000 01 02 00 01 01 03 00 02 02 00 02 00 01 02 01 03")
	m.Cork()
	a.Send(0, []byte{1})
	b.SendAlone(0, 1, func(b []byte) []byte { return append(b, 2) })
	a.Send(0, []byte{3})
	a.Send(0, []byte{4})
	m.Uncork()
	peer.want("01 00 01")
	peer.want("02 00 02")
	peer.want("0000 01 02 00 03 02 00 04")
}

func TestAnswersToABatchAreABatch(t *testing.T) {
	m, peer, _ := against(t, nil)
	r := newRecorder()
	o := r.options("a", nil)
	o.Messages[0] = func(c *Channel, body []byte) error {
		c.Send(0, body)
		return nil
	}
	o.OnBatchEnd = func(c *Channel) { c.Send(1, nil) }
	open(t, m, o)
	peer.want("0001 01 01 61 00")
	peer.send("0001 01 01 61 00")
	peer.want("01 01")
	peer.send("0000 01 02 00 05 02 00 06 02 00 07")
	peer.want("0000 01 02 00 05 02 00 06 02 00 07 01 01")
}

func TestHandlersMayDoAnything(t *testing.T) {
	a, b := muxes(t, nil)
	const rounds = 50
	done := make(chan bool, 1)
	var options func(round int) ChannelOptions
	closed := 0
	options = func(round int) ChannelOptions {
		return ChannelOptions{
			Protocol: "p",
			ID:       []byte{byte(round)},
			OnOpen: func(c *Channel, _ []byte) error {
				c.Send(0, nil)
				return nil
			},
			Messages: []func(*Channel, []byte) error{func(c *Channel, _ []byte) error {
				if round < rounds {
					next, err := c.Mux().Open(options(round + 1))
					if err != nil {
						return err
					}
					next.Send(0, nil)
				}
				c.Close()
				return nil
			}},
			OnClose: func(c *Channel, _ bool) {
				c.Close()
				if closed++; closed == rounds+1 {
					done <- true
				}
			},
		}
	}
	b.Pair("p", nil, func(id []byte) {
		if _, err := b.Open(ChannelOptions{Protocol: "p", ID: id, OnOpen: func(c *Channel, _ []byte) error {
			c.Send(0, nil)
			return nil
		}}); err != nil {
			t.Error(err)
		}
	})
	open(t, a, options(0))
	wait(t, done)
}

func TestMessageAloneInACorkIsWritten(t *testing.T) {
	m, peer, _ := against(t, nil)
	c := open(t, m, newRecorder().options("p", nil))
	peer.want("0001 01 01 70 00")
	// The writer must be asleep: then only Uncork can wake it.
	for idle := false; !idle; runtime.Gosched() {
		m.mu.Lock()
		idle = m.out.idle
		m.mu.Unlock()
	}
	m.Cork()
	c.SendAlone(0, 1, func(b []byte) []byte { return append(b, 7) })
	m.Uncork()
	peer.want("01 00 07")
}
