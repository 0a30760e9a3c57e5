package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/tradle/cloudpal/bench/internal/meter"
	"github.com/tradle/cloudpal/hyper/udx"
)

// The ids of the two ends, and how much the sender writes at once.
const (
	receiverID = 1
	senderID   = 2
	udxChunk   = 64 << 10
)

// udxSent is what the sending side says at its start, with nothing in it, and at
// its end.
type udxSent struct {
	CPU         float64 `json:"cpu_s"`
	Retransmits uint64  `json:"retransmits"`
}

// udxStream sends zeros over one stream from another process to this one.
func udxStream(ctx context.Context, o IO, args []string) error {
	f := o.flags("udx")
	mb := f.Int("mb", 512, "how much, in MiB")
	loss := f.Int("loss", 0, "`percent` of packets that the network loses, for the record")
	port := f.Uint("port", 0, "send to this port instead of receiving")
	if err := f.Parse(args); err != nil {
		return err
	}
	t := udx.NewTransport(nil)
	defer t.Close()
	s, err := t.Listen(anyLocalPort, func(*udx.Socket, []byte, netip.AddrPort) {})
	if err != nil {
		return err
	}
	total := int64(*mb) << 20
	if *port != 0 {
		return udxSend(o, t, s, netip.AddrPortFrom(anyLocalPort.Addr(), uint16(*port)), total)
	}
	return udxReceive(ctx, o, t, s, total, meter.Fields{"mb": *mb, "loss": *loss})
}

func udxSend(o IO, t *udx.Transport, s *udx.Socket, to netip.AddrPort, total int64) error {
	out := json.NewEncoder(o.Stdout)
	if err := out.Encode(udxSent{}); err != nil {
		return err
	}
	st, err := t.NewStreamID(senderID, nil)
	if err != nil {
		return err
	}
	if err := st.Connect(s, receiverID, to); err != nil {
		return err
	}
	cpu, chunk := meter.CPU(), make([]byte, udxChunk)
	for left := total; left > 0; left -= udxChunk {
		if _, err := st.Write(chunk); err != nil {
			return err
		}
	}
	if err := st.CloseWrite(); err != nil {
		return err
	}
	<-st.Done()
	if err := st.Err(); err != nil {
		return err
	}
	return out.Encode(udxSent{CPU: meter.Round(meter.CPU() - cpu), Retransmits: st.Stats().Retransmits})
}

func udxReceive(ctx context.Context, o IO, t *udx.Transport, s *udx.Socket, total int64, params meter.Fields) error {
	var st *udx.Stream
	var connect sync.Once
	st, err := t.NewStreamID(receiverID, &udx.StreamOptions{Firewall: func(s *udx.Socket, from netip.AddrPort) bool {
		connect.Do(func() { st.Connect(s, senderID, from) }) // it fails only if the stream has ended
		return true
	}})
	if err != nil {
		return err
	}
	sender, err := startServer(ctx, o, "", "udx", []string{"--port", fmt.Sprint(s.LocalAddr().Port()), "--mb", fmt.Sprint(total >> 20)}, &udxSent{})
	if err != nil {
		return err
	}
	defer sender.kill()
	buf, cpu := make([]byte, 256<<10), meter.CPU()
	n, err := st.Read(buf)
	began, got := time.Now(), int64(n)
	for err == nil && got < total {
		n, err = st.Read(buf)
		got += int64(n)
	}
	took, used := time.Since(began), meter.CPU()-cpu
	if got != total {
		return errors.Join(fmt.Errorf("received %d of %d bytes", got, total), err)
	}
	if err := st.CloseWrite(); err != nil {
		return err
	}
	var end udxSent
	if err := sender.line(&end); err != nil {
		return err
	}
	return o.print("udx-stream", float64(total)/1e6/took.Seconds(), "MB/s", params,
		meter.Fields{"ms": meter.Ms(took), "cpu_receiver_s": used, "cpu_sender_s": end.CPU, "retransmits": end.Retransmits, "rss_mb": meter.RSS()})
}
