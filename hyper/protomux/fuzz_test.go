package protomux

import (
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"sync"
	"testing"
)

// FuzzFrames feeds a mux with arbitrary frames. It must not panic or hang, must
// keep its accounts, and must close every channel once.
func FuzzFrames(f *testing.F) {
	for _, frames := range [][]string{
		{"0001 01 01 61 00", "01 00 05", "0003 01"},
		{"0001 01 01 70 00 09", "01 00 05", "0003 01", "0001 02 01 70 00"},
		{"0000 00 05 01 01 01 61 00 00 01 02 00 0a 02 02 0b 00 00 02 03 01"},
		{"0002 01", "0002 02"},
		{"", "00 04", "05 00", "fd0500 00"},
	} {
		var seed []byte
		for _, s := range frames {
			b := unhex(f, s)
			seed = append(binary.LittleEndian.AppendUint16(seed, uint16(len(b))), b...)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		a, b := streamPair(0)
		m := New(a, nil)
		var mu sync.Mutex
		opened, closed := 0, 0
		options := func(protocol string, id []byte) ChannelOptions {
			mu.Lock()
			opened++
			mu.Unlock()
			echo := func(c *Channel, body []byte) error {
				c.Send(0, body)
				return nil
			}
			done := false
			return ChannelOptions{
				Protocol: protocol,
				ID:       id,
				Messages: []func(*Channel, []byte) error{echo, func(c *Channel, _ []byte) error {
					c.Close()
					return nil
				}, nil, echo},
				OnClose: func(*Channel, bool) {
					if done {
						t.Error("closed twice")
					}
					done = true
					mu.Lock()
					closed++
					mu.Unlock()
				},
			}
		}
		open(t, m, options("a", nil))
		open(t, m, options("b", []byte{1})).Close()
		m.Pair("p", nil, func(id []byte) {
			if len(id)%2 == 0 {
				o := options("p", id)
				if _, err := m.Open(o); err != nil {
					o.OnClose(nil, true)
				}
			}
		})
		go func() {
			for {
				if _, err := b.ReadFrame(); err != nil {
					return
				}
			}
		}()
		go func() {
			defer b.Close()
			for len(input) >= 2 {
				n := min(int(binary.LittleEndian.Uint16(input)), len(input)-2)
				frame := append(make([]byte, Headroom, Headroom+n+Tailroom), input[2:2+n]...)
				input = input[2+n:]
				if b.WriteFrames([][]byte{frame}) != nil {
					return
				}
			}
		}()
		_ = m.Run(context.Background())
		if opened != closed {
			t.Errorf("%d channels opened, %d closed", opened, closed)
		}
	})
}

// watcher is a stream that checks what its owner sends, as far as the other mux
// does not: there are no gaps in the numbers, an open is answered once, and no
// channel is closed before the other side has opened it.
type watcher struct {
	*end
	t     testing.TB
	mu    *sync.Mutex
	mine  *history // of the side that sends here
	yours *history // of the other side
}

// history is what one side has sent.
type history struct {
	names                  []string // of the last open, by number-1
	opens, closes, rejects map[string]int
}

func newHistory() *history {
	return &history{opens: make(map[string]int), closes: make(map[string]int), rejects: make(map[string]int)}
}

func (w watcher) WriteFrames(frames [][]byte) error {
	w.mu.Lock()
	for _, f := range frames {
		w.check(f[Headroom:])
	}
	w.mu.Unlock()
	return w.end.WriteFrames(frames)
}

func (w watcher) check(f []byte) {
	if len(f) == 0 {
		return
	}
	channel, f, _ := readUint(f)
	typ, f, _ := readUint(f)
	if channel != 0 {
		w.message(channel)
		return
	}
	if typ != controlBatch {
		w.control(typ, f)
		return
	}
	channel, f, _ = readUint(f)
	for len(f) > 0 {
		size, rest, _ := readUint(f)
		if size == 0 {
			channel, f, _ = readUint(rest)
			continue
		}
		item := rest[:size]
		f = rest[size:]
		typ, body, _ := readUint(item)
		if channel == 0 {
			w.control(typ, body)
		} else {
			w.message(channel)
		}
	}
}

func (w watcher) message(n uint64) {
	if n > uint64(len(w.mine.names)) {
		w.t.Errorf("message on channel %d, which was never opened", n)
	}
}

func (w watcher) control(typ uint64, body []byte) {
	n, rest, _ := readUint(body)
	owner := w.mine
	switch typ {
	case controlOpen:
		if n == uint64(len(owner.names))+1 {
			owner.names = append(owner.names, "")
		}
	case controlReject:
		owner = w.yours
	}
	if n == 0 || n > uint64(len(owner.names)) {
		w.t.Errorf("control %d for channel %d of %d", typ, n, len(owner.names))
		return
	}
	name := owner.names[n-1]
	switch typ {
	case controlOpen:
		name = string(rest)
		owner.names[n-1] = name
		owner.opens[name]++
	case controlReject:
		w.mine.rejects[name]++
		if w.mine.rejects[name]+w.yours.closes[name] > owner.opens[name] {
			w.t.Errorf("%q is rejected although none waits", name)
		}
	case controlClose:
		w.mine.closes[name]++
		if w.mine.closes[name] > w.yours.opens[name] {
			w.t.Errorf("%q is closed half open", name)
		}
	}
}

// FuzzTwoMuxes lets two muxes do what the input says and checks what they send,
// that nothing hangs, and that every channel ends once.
func FuzzTwoMuxes(f *testing.F) {
	f.Add([]byte{0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21})
	f.Add([]byte{0, 0, 16, 16, 32, 33, 34, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240})
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) > 4096 {
			return
		}
		x, y := streamPair(2)
		var mu sync.Mutex
		xs, ys := newHistory(), newHistory()
		sides := [2]*side{
			{t: t, m: New(watcher{x, t, &mu, xs, ys}, nil)},
			{t: t, m: New(watcher{y, t, &mu, ys, xs}, nil)},
		}
		var running sync.WaitGroup
		for _, s := range sides {
			s.pair()
			running.Go(func() {
				// The end of the other side may show as an error of the stream.
				if err := s.m.Run(context.Background()); errors.Is(err, ErrProtocol) {
					t.Errorf("ended by %v", err)
				}
			})
		}
		for _, op := range input {
			sides[op&1].do(op >> 1)
		}
		ctx := context.Background()
		for _, s := range sides {
			if err := s.m.Flush(ctx); err != nil {
				t.Errorf("flush: %v", err)
			}
		}
		for _, s := range sides {
			s.m.Close()
		}
		running.Wait()
		for _, s := range sides {
			if s.opened != s.closed {
				t.Errorf("%d channels opened, %d closed", s.opened, s.closed)
			}
		}
	})
}

// side is a mux with what a test does with it.
type side struct {
	t testing.TB
	m *Mux

	mu             sync.Mutex
	opened, closed int
	channels       []*Channel
}

func (s *side) options(id byte) ChannelOptions {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened++
	opens, closes := 0, 0
	o := ChannelOptions{Protocol: "p", ID: []byte{id}}
	if id&1 != 0 {
		o.Aliases = []string{"q"}
	}
	o.OnOpen = func(c *Channel, _ []byte) error {
		if opens++; opens > 1 || closes > 0 {
			s.t.Error("opened too often or too late")
		}
		return nil
	}
	o.Messages = []func(*Channel, []byte) error{
		func(c *Channel, body []byte) error {
			if opens != 1 || closes > 0 || string(body) != string([]byte{id, id}) {
				s.t.Errorf("message %x for %d", body, id)
			}
			return nil
		},
		func(c *Channel, _ []byte) error {
			c.Close()
			return nil
		},
	}
	o.OnClose = func(c *Channel, _ bool) {
		if closes++; closes > 1 {
			s.t.Error("closed twice")
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.closed++
	}
	return o
}

func (s *side) open(id byte) {
	c, err := s.m.Open(s.options(id))
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.opened--
		return
	}
	s.channels = append(s.channels, c)
}

// pair makes the side open what the other has opened, except for every fourth id.
func (s *side) pair() {
	for _, p := range []string{"p", "q"} {
		s.m.Pair(p, nil, func(id []byte) {
			if len(id) == 1 && id[0]%4 != 3 {
				runtime.Gosched()
				s.open(id[0])
			}
		})
	}
}

func (s *side) do(op byte) {
	id := op >> 3 & 7
	s.mu.Lock()
	var c *Channel
	if len(s.channels) > 0 {
		c = s.channels[int(op)%len(s.channels)]
	}
	s.mu.Unlock()
	switch op & 7 {
	case 0, 1:
		s.open(id)
	case 2, 3:
		if c != nil {
			c.Close()
		}
	case 4:
		if c != nil {
			c.Send(0, []byte{c.ID()[0], c.ID()[0]})
		}
	case 5:
		if c != nil {
			c.Send(1, nil)
		}
	case 6:
		s.m.Cork()
		s.open(id)
		if c != nil {
			c.SendAlone(0, 0, func(b []byte) []byte { return append(b, c.ID()[0], c.ID()[0]) })
		}
		s.m.Uncork()
	case 7:
		runtime.Gosched()
	}
}
