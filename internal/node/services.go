package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// service is a part of the product that runs for as long as the node is up.
type service struct {
	name string
	// run works until ctx ends and then returns nil or why ctx ended. It calls ready
	// once it can be used. Any other end ends the node.
	run func(ctx context.Context, ready func()) error
}

// runServices starts services one after the other, each when the one before is ready,
// calls ready when all are, and stops them in reverse when ctx ends or one fails.
func runServices(ctx context.Context, services []service, ready func()) (err error) {
	type running struct {
		cancel context.CancelFunc
		ended  chan struct{}
	}
	var list []running
	defer func() {
		for _, r := range slices.Backward(list) {
			r.cancel()
			<-r.ended
		}
	}()
	failed := make(chan error, len(services))
	for _, s := range services {
		up, ended := make(chan struct{}), make(chan struct{})
		// It goes on until those that need it have stopped.
		own, cancel := context.WithCancel(context.WithoutCancel(ctx))
		list = append(list, running{cancel, ended})
		go func() {
			defer close(ended)
			var once bool
			err := s.run(own, func() {
				if !once {
					once = true
					close(up)
				}
			})
			if own.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
				return
			}
			if err == nil {
				err = errors.New("it ended")
			}
			failed <- fmt.Errorf("%s: %w", s.name, err)
		}()
		select {
		case <-up:
		case err := <-failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	ready()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
