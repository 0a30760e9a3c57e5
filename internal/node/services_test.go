package node

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// events is a list that services add to, one at a time.
type events chan []string

func newEvents() events {
	e := make(events, 1)
	e <- nil
	return e
}

func (e events) add(s string) { e <- append(<-e, s) }

func (e events) service(name string, fail <-chan error) service {
	return service{name, func(ctx context.Context, ready func()) error {
		e.add("start " + name)
		ready()
		ready() // saying it twice does no harm
		select {
		case err := <-fail:
			e.add("fail " + name)
			return err
		case <-ctx.Done():
			e.add("stop " + name)
			return ctx.Err()
		}
	}}
}

func TestServicesStopInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEvents()
		ctx, cancel := context.WithCancel(t.Context())
		err := runServices(ctx, []service{e.service("a", nil), e.service("b", nil), e.service("c", nil)}, func() { e.add("ready"); cancel() })
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		want := []string{"start a", "start b", "start c", "ready", "stop c", "stop b", "stop a"}
		if got := <-e; !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	})
}

func TestAServiceThatFailsEndsAll(t *testing.T) {
	for _, failure := range []error{errors.New("no port"), nil} {
		synctest.Test(t, func(t *testing.T) {
			e := newEvents()
			fail := make(chan error, 1)
			err := runServices(t.Context(), []service{e.service("a", nil), e.service("b", fail), e.service("c", nil)}, func() { e.add("ready"); fail <- failure })
			if err == nil || failure != nil && !errors.Is(err, failure) || !strings.HasPrefix(err.Error(), "b: ") {
				t.Error(err)
			}
			want := []string{"start a", "start b", "start c", "ready", "fail b", "stop c", "stop a"}
			if got := <-e; !slices.Equal(got, want) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestServicesBehindOneThatDoesNotStartAreNotStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEvents()
		broken := service{"b", func(context.Context, func()) error { return errors.New("no") }}
		if err := runServices(t.Context(), []service{e.service("a", nil), broken, e.service("c", nil)}, func() { t.Error("ready") }); err == nil {
			t.Error("no error")
		}
		if got := <-e; !slices.Equal(got, []string{"start a", "stop a"}) {
			t.Errorf("got %q", got)
		}
	})
}
