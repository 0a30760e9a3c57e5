package secretstream

import (
	"fmt"
	"testing"
)

func TestStreamDoesNotAllocatePerMessage(t *testing.T) {
	a, b := tcpPair(t)
	client, server := connect(t, a, b, nil, nil)
	frames := make([][]byte, 8)
	buf := make([][]byte, 8)
	for i := range buf {
		buf[i] = make([]byte, Headroom+1000+Tailroom)
	}
	if n := testing.AllocsPerRun(100, func() {
		for i := range frames {
			frames[i] = buf[i][:Headroom+1000]
		}
		if err := client.WriteFrames(frames); err != nil {
			t.Fatal(err)
		}
		for range frames {
			if _, err := server.ReadFrame(); err != nil {
				t.Fatal(err)
			}
		}
	}); n > 1 {
		t.Errorf("%v allocations for %d messages", n, len(frames))
	}
}

// The sender's and the receiver's work, with the system calls between them.
func BenchmarkLoopback(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			x, y := tcpPair(b)
			client, server := connect(b, x, y, nil, nil)
			perWrite := max(1, 128<<10/n)
			done := make(chan error, 1)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			b.ResetTimer()
			go func() {
				buf := make([][]byte, perWrite)
				for i := range buf {
					buf[i] = make([]byte, Headroom+n, Headroom+n+Tailroom)
				}
				for i := 0; i < b.N; i += perWrite {
					if err := client.WriteFrames(buf[:min(perWrite, b.N-i)]); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
			for range b.N {
				if _, err := server.ReadFrame(); err != nil {
					b.Fatal(err)
				}
			}
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}
