package filetree

import "context"

// Void returns those of some versions that no operation wrote which was applied: a device
// may write on before it learns that it may not any more, and that has no effect. Each
// version comes with a path at which it may be.
func (v *View) Void(ctx context.Context, at map[Version]string) (map[Version]bool, error) {
	void := make(map[Version]bool)
	for version, path := range at {
		_, known, err := v.Version(ctx, path, version)
		if err != nil {
			return nil, err
		}
		if !known {
			void[version] = true
		}
	}
	if len(void) == 0 {
		return void, nil
	}
	// What is not kept any more counted once.
	for rec, err := range v.Journal(ctx, 0) {
		if err != nil {
			return nil, err
		}
		by := rec.op.author()
		for i := range rec.Changes {
			delete(void, by.Version(i))
		}
		if len(void) == 0 {
			break
		}
	}
	return void, nil
}
