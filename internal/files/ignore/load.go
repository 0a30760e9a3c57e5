package ignore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// File is the name of the file at the root of a folder that holds patterns of
// what stays out.
const File = ".cloudpalignore"

// maxFile limits the size of that file in bytes.
const maxFile = 1 << 20

// Load joins what counts by default, the file in the folder and the given patterns,
// in this order: the last one that matches decides.
func Load(folder, defaults string, patterns []string) (*List, error) {
	list := &List{}
	if err := list.Add("built-in patterns", defaults); err != nil {
		return nil, err
	}
	name := filepath.Join(folder, File)
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxFile)
	default:
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if err := list.Add(name, string(text)); err != nil {
			return nil, err
		}
	}
	return list, list.Add("--ignore", strings.Join(patterns, "\n"))
}
