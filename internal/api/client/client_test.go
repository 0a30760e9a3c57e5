package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
	"github.com/tradle/cloudpal/internal/fault"
)

// handler answers in every way that a node can.
func handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/good", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "event: peer\ndata: {\"type\":\"peer\"}\n\n: comment\n\nevent: done\ndata: {\"type\":\"done\"}\n\n")
	})
	mux.HandleFunc("POST /v1/bad", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "event: peer\ndata: {\"type\":\"peer\"}\n\nevent: error\n"+
			`data: {"type":"error","kind":"full","message":"disk full","hints":["free space"],"exit":7}`+"\n\n")
	})
	mux.HandleFunc("POST /v1/broken", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "event: peer\ndata: {\"type\":\"peer\"}\n\nevent: pe")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("POST /v1/refused", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(404)
		io.WriteString(w, `{"type":"error","kind":"not-found","message":"no such drive","exit":3}`)
	})
	mux.HandleFunc("POST /v1/forever", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "event: peer\ndata: {\"type\":\"peer\"}\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("POST /v1/content", func(w http.ResponseWriter, r *http.Request) {
		var in api.ContentRequest
		json.NewDecoder(r.Body).Decode(&in)
		w.Header().Set(api.SizeHeader, "5")
		w.Header().Set("Trailer", api.ErrorTrailer)
		io.WriteString(w, in.Ref)
		if in.Ref == "hel" {
			w.Header().Set(api.ErrorTrailer, `{"type":"error","kind":"unavailable","message":"no peer"}`)
		}
	})
	return mux
}

// clients returns both ways to the same handler.
func clients(t *testing.T) map[string]*client.Client {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: handler()}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-served })
	return map[string]*client.Client{
		"memory": client.New(client.Memory(handler())),
		"socket": client.New(client.Socket(l.Addr().String())),
	}
}

func TestEventsEndTheSameWayOnBothTransports(t *testing.T) {
	for name, c := range clients(t) {
		for _, tc := range []struct {
			path string
			want []string
			kind fault.Kind
			fail bool
		}{
			{"/v1/good", []string{"peer"}, 0, false},
			{"/v1/bad", []string{"peer"}, fault.Full, true},
			{"/v1/broken", []string{"peer"}, fault.Closing, true},
			{"/v1/refused", nil, fault.NotFound, true},
			{"/v1/unknown", nil, fault.Other, true},
		} {
			t.Run(name+tc.path, func(t *testing.T) {
				var got []string
				var failed error
				for e, err := range c.Events(t.Context(), tc.path, nil) {
					if err != nil {
						failed = err
						break
					}
					got = append(got, e.Type)
				}
				if !slices.Equal(got, tc.want) || (failed != nil) != tc.fail || failed != nil && fault.KindOf(failed) != tc.kind {
					t.Errorf("got %q and %v", got, failed)
				}
			})
		}
	}
}

func TestLeavingTheLoopStopsTheWork(t *testing.T) {
	for name, c := range clients(t) {
		t.Run(name, func(t *testing.T) {
			for range c.Events(t.Context(), "/v1/forever", nil) {
				break
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			for _, err := range c.Events(ctx, "/v1/forever", nil) {
				if err != nil {
					if fault.KindOf(err) != fault.Canceled {
						t.Errorf("got %v", err)
					}
				}
				cancel()
			}
		})
	}
}

func TestContentIsCompleteOrFails(t *testing.T) {
	for name, c := range clients(t) {
		for _, tc := range []struct {
			ref  string
			fail bool
			kind fault.Kind
		}{
			{"hello", false, 0},
			{"hel", true, fault.Unavailable},
			{"he", true, fault.Closing},
		} {
			t.Run(name+"/"+tc.ref, func(t *testing.T) {
				body, size, err := c.Content(t.Context(), api.ContentRequest{Target: api.Target{Ref: tc.ref}})
				if err != nil {
					t.Fatal(err)
				}
				defer body.Close()
				b, err := io.ReadAll(body)
				if string(b) != tc.ref || size != 5 || (err != nil) != tc.fail || err != nil && fault.KindOf(err) != tc.kind {
					t.Errorf("got %q of %d, %v", b, size, err)
				}
			})
		}
	}
}

func TestAnswersTellsWhetherANodeListens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if client.Answers(t.Context(), path) {
		t.Error("nobody listens")
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if !client.Answers(t.Context(), path) {
		t.Error("somebody listens")
	}
	var missing *fault.Error
	if _, err := client.New(client.Socket(path + "x")).Info(t.Context()); !errors.As(err, &missing) || missing.Kind != fault.Closing {
		t.Errorf("got %v", err)
	}
}
