package content

import (
	"context"

	"github.com/tradle/cloudpal/hyper/hypercore"
)

// Order asks peers for the blocks of contents that are not held here, all at once and
// front to back, and returns without waiting for them. Of a content with a list of parts
// it asks for the list. stop withdraws what has not come.
func (s *Store) Order(ctx context.Context, refs []Ref) (stop func()) {
	l := s.logs()
	defer l.close()
	var need Blocks
	for _, ref := range refs {
		if ref.Check() != nil {
			continue // it shows when it is read
		}
		if ref.Table != nil {
			need.add(ref.Table.run())
		}
		for _, p := range ref.Parts {
			if !p.Zeros() {
				need.add(p.run())
			}
		}
	}
	var orders []*hypercore.Download
	for key := range need.logs {
		b, err := l.get(ctx, key)
		if err != nil {
			continue
		}
		for _, r := range missingOf(b.Core(), need.Runs(key)) {
			orders = append(orders, b.Core().Download(hypercore.Range{Start: r.Start, End: r.End, Linear: true}))
		}
	}
	return func() {
		for _, o := range orders {
			o.Close()
		}
	}
}
