package api

import (
	"context"

	"github.com/tradle/cloudpal/hyper/hyperdrive/link"
)

// PublishRequest makes a read-only drive of a folder of a space, which this device keeps up
// to date, or ends that, or lists what this device publishes of the space. The answer
// holds a [Published] for each.
type PublishRequest struct {
	// Space is the space, or a place in it.
	Space string `json:"space"`
	Dir   string `json:"dir,omitempty"`
	// Start and Stop are about the place; neither only lists.
	Start bool `json:"start,omitempty"`
	Stop  bool `json:"stop,omitempty"`
}

// TypePublished is the event of [Published].
const TypePublished = "published"

// Published is a folder of a space that is also a drive.
type Published struct {
	Type string `json:"type"`
	Path string `json:"path"`
	// Link is for everybody who shall read it.
	Link string `json:"link"`
	// Problem is why it is not up to date.
	Problem string `json:"problem,omitempty"`
}

func (h *handler) publish(ctx context.Context, r PublishRequest, s *Stream) error {
	t, err := h.mustBeSpace(r.Space, r.Dir)
	if err != nil {
		return err
	}
	f := t.files(h)
	switch {
	case r.Start:
		p, err := f.Publish(ctx, t.path)
		if err != nil {
			return err
		}
		return s.Send(TypePublished, Published{TypePublished, p.Path, link.New(p.Key).URL(), textOf(p.Problem)})
	case r.Stop:
		return f.Unpublish(ctx, t.path)
	}
	for _, p := range f.Published() {
		s.Send(TypePublished, Published{TypePublished, p.Path, link.New(p.Key).URL(), textOf(p.Problem)})
	}
	return nil
}

// textOf is the text of an error, empty for none.
func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
