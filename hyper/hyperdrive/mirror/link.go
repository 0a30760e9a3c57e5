package mirror

import (
	"fmt"
	"path/filepath"
	"strings"
)

// diskLink returns the text of a link on disk, given its target in a drive. An
// absolute target is one within the destination.
func diskLink(root, target string) string {
	target = filepath.FromSlash(target)
	if filepath.IsAbs(target) || strings.HasPrefix(target, string(filepath.Separator)) {
		return strings.TrimSuffix(root, string(filepath.Separator)) + target
	}
	return target
}

// checkLink refuses targets that could lead out of the destination: those that
// climb above it, and those that go down and then up again, because what they go
// down through may be a link that leads elsewhere.
func checkLink(path, target string) error {
	if strings.IndexByte(target, 0) >= 0 {
		return fmt.Errorf("%w: %q", ErrName, target)
	}
	depth := strings.Count(path, "/") - 1 // folders above the link
	if strings.HasPrefix(target, "/") {
		depth = 0
	} else if filepath.VolumeName(target) != "" {
		return fmt.Errorf("%w: %q", ErrOutside, target)
	}
	down := false
	for part := range strings.SplitSeq(filepath.ToSlash(target), "/") {
		switch {
		case part == "" || part == ".":
		case part != "..":
			down = true
		case down || depth == 0:
			return fmt.Errorf("%w: %q", ErrOutside, target)
		default:
			depth--
		}
	}
	return nil
}
