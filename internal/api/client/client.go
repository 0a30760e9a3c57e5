package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/fault"
)

// Client is one way to a node. It is safe for concurrent use.
type Client struct {
	http *http.Client
}

// New returns a client that sends its requests through rt.
func New(rt http.RoundTripper) *Client {
	return &Client{http: &http.Client{Transport: rt}}
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Info describes the node.
func (c *Client) Info(ctx context.Context) (api.Info, error) {
	var info api.Info
	res, err := c.do(ctx, http.MethodGet, "/v1/info", nil)
	if err != nil {
		return info, err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(io.LimitReader(res.Body, maxEvent)).Decode(&info); err != nil {
		return info, lost(ctx, err)
	}
	return info, nil
}

// Content opens the content of one file. The caller closes the reader; size is
// what it will give. A content that breaks off gives an error, never a short
// read.
func (c *Client) Content(ctx context.Context, r api.ContentRequest) (body io.ReadCloser, size uint64, err error) {
	return c.download(ctx, "/v1/content", r)
}

// Bundle opens what helps to find out what is wrong with the node, as [Client.Content]
// opens a file.
func (c *Client) Bundle(ctx context.Context) (body io.ReadCloser, size uint64, err error) {
	return c.download(ctx, "/v1/bundle", api.BundleRequest{})
}

// download opens an answer that is no JSON.
func (c *Client) download(ctx context.Context, path string, r any) (body io.ReadCloser, size uint64, err error) {
	res, err := c.do(ctx, http.MethodPost, path, r)
	if err != nil {
		return nil, 0, err
	}
	if size, err = strconv.ParseUint(res.Header.Get(api.SizeHeader), 10, 64); err != nil {
		res.Body.Close()
		return nil, 0, fmt.Errorf("size of content: %w", err)
	}
	return &content{res: res, ctx: ctx, left: size}, size, nil
}

// content checks that all bytes arrive.
type content struct {
	res  *http.Response
	ctx  context.Context // of the request, to tell why it ended
	left uint64
}

func (r *content) Close() error { return r.res.Body.Close() }

func (r *content) Read(p []byte) (int, error) {
	n, err := r.res.Body.Read(p)
	r.left -= min(uint64(n), r.left)
	switch {
	case err == nil, err == io.EOF && r.left == 0:
		return n, err
	case err == io.EOF:
		var report fault.Report
		if json.Unmarshal([]byte(r.res.Trailer.Get(api.ErrorTrailer)), &report) == nil {
			return n, report.Err()
		}
		err = io.ErrUnexpectedEOF
	}
	return n, lost(r.ctx, err)
}

// do sends one request. Answers other than 2xx become errors.
func (c *Client) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, (&url.URL{Scheme: "http", Host: "node", Path: path}).String(), payload)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, lost(ctx, err)
	}
	if res.StatusCode/100 == 2 {
		return res, nil
	}
	defer res.Body.Close()
	var report fault.Report
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&report); err != nil || report.Type != api.TypeError {
		return nil, fault.New(fault.Other, "the node answered %s to %s %s", res.Status, method, path).
			Hint("the running node may be of another version of cloudpal; stop it and run the command again")
	}
	return nil, report.Err()
}

// lost describes an answer that broke off.
func lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fault.Wrap(fault.Canceled, errors.New("interrupted"))
	}
	return fault.New(fault.Closing, "the node went away: %w", err)
}
