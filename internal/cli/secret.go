package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/tradle/cloudpal/internal/fault"
)

// Secrets come from standard input or from files, never from the command line or
// the environment, which others can see. At a terminal they are asked for; otherwise
// each is one line of standard input.

// atTerminal tells whether a person types the input.
func (g *globals) atTerminal() bool {
	in, ok := g.stdin.(*os.File)
	return ok && term.IsTerminal(int(in.Fd()))
}

// secret asks for a secret that is not shown while it is typed.
func (g *globals) secret(ctx context.Context, prompt string) (string, error) {
	if !g.atTerminal() {
		return g.secretLine(ctx)
	}
	in := int(g.stdin.(*os.File).Fd())
	state, err := term.GetState(in)
	if err != nil {
		return "", fmt.Errorf("ask for a secret: %w", err)
	}
	fmt.Fprint(g.stderr, prompt)
	defer fmt.Fprintln(g.stderr)
	typed, err := interruptible(ctx, func() (string, error) {
		b, err := term.ReadPassword(in)
		return string(b), err
	})
	if ctx.Err() != nil {
		_ = term.Restore(in, state) // letters are to be seen again
	}
	return typed, err
}

// visibleSecret asks for a secret that would be too hard to type unseen.
func (g *globals) visibleSecret(ctx context.Context, prompt string) (string, error) {
	if g.atTerminal() {
		fmt.Fprint(g.stderr, prompt)
	}
	return g.secretLine(ctx)
}

// secretLine reads a line and leaves what follows it for the next.
func (g *globals) secretLine(ctx context.Context) (string, error) {
	return interruptible(ctx, func() (string, error) {
		var line strings.Builder
		for b := make([]byte, 1); ; {
			switch _, err := io.ReadFull(g.stdin, b); {
			case errors.Is(err, io.EOF) || err == nil && b[0] == '\n':
				return strings.TrimSuffix(line.String(), "\r"), nil
			case err != nil:
				return "", fmt.Errorf("read a secret: %w", err)
			}
			if line.WriteByte(b[0]); line.Len() > maxLine {
				return "", fault.New(fault.Usage, "a line of more than %d bytes is no secret", maxLine)
			}
		}
	})
}

// interruptible waits for fn, which waits for a person, or for the end of ctx; then the
// process is about to end, and fn with it.
func interruptible[T any](ctx context.Context, fn func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		v, err := fn()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// secretFile reads a secret from a file. The end of the last line is not part of it.
func secretFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxLine+1))
	if err != nil {
		return "", err
	}
	if len(b) > maxLine {
		return "", fault.New(fault.Usage, "%s has more than %d bytes", path, maxLine)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}
