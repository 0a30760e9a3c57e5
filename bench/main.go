package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/tradle/cloudpal/bench/internal/program"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		if errors.Is(err, errMissed) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

// run chooses what to do by the first argument; without one it compares.
func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "go":
			return runProgram(ctx, args[1:])
		case "memory":
			return runMemory(ctx, args[1:])
		case loopbackCommand:
			return enterLoopback(args[1:])
		}
	}
	return runCompare(ctx, args)
}

// runProgram is one of the measured programs.
func runProgram(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("usage: bench go PROGRAM [flags]; the programs are %v", program.Names())
	}
	return program.Run(ctx, args[0], args[1:], program.IO{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
}
