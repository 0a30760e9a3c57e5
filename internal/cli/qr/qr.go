// Package qr draws QR codes on a terminal, two modules high per line, so that a
// telephone can read them off the screen.
//
// The codes have a quiet zone of two modules, half of what the standard asks for and
// enough for the readers there are, and the lowest error correction: a screen has no
// scratches. Colors are set, dark on light, whatever those of the terminal are.
package qr

import (
	"bufio"
	"fmt"
	"io"

	"rsc.io/qr"
)

const (
	quiet = 2
	// begin and end of a line in black on white.
	begin = "\x1b[38;2;0;0;0;48;2;255;255;255m"
	end   = "\x1b[0m"
)

// Write draws text. Capitals and digits alone make the smallest codes.
func Write(w io.Writer, text string) error {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return fmt.Errorf("draw a QR code: %w", err)
	}
	out := bufio.NewWriter(w)
	for y := -quiet; y < code.Size+quiet; y += 2 {
		out.WriteString(begin)
		for x := -quiet; x < code.Size+quiet; x++ {
			out.WriteString(blocks[b2i(code.Black(x, y))|b2i(code.Black(x, y+1))<<1])
		}
		out.WriteString(end + "\n")
	}
	return out.Flush()
}

// blocks are two modules above each other; bit 0 is the upper.
var blocks = [...]string{" ", "▀", "▄", "█"}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
