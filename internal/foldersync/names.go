package foldersync

import (
	"strings"
	"sync"
)

// names maps between paths in the tree and on disk where they differ, one part at a
// time: a part of a path has one name in the tree and one on disk.
type names struct {
	mu     sync.RWMutex
	onDisk map[string]string // path in the tree -> name on disk
	inTree map[string]string // path in the tree of the folder, slash, name on disk -> name in the tree
}

func newNames() *names {
	return &names{onDisk: make(map[string]string), inTree: make(map[string]string)}
}

// set notes that the last part of path is called local on disk.
func (n *names) set(path, local string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	dir, name := split(path)
	if old, ok := n.onDisk[path]; ok {
		delete(n.inTree, join(dir, old))
		delete(n.onDisk, path)
	}
	if local != "" && local != name {
		n.onDisk[path] = local
		n.inTree[join(dir, local)] = name
	}
}

func (n *names) clear() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.onDisk)
	clear(n.inTree)
}

// local returns the path on disk of a path in the tree.
func (n *names) local(path string) string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if len(n.onDisk) == 0 {
		return path
	}
	var b strings.Builder
	for i := 0; i < len(path); {
		end := len(path)
		if j := strings.IndexByte(path[i:], '/'); j >= 0 {
			end = i + j
		}
		if i > 0 {
			b.WriteByte('/')
		}
		if name, ok := n.onDisk[path[:end]]; ok {
			b.WriteString(name)
		} else {
			b.WriteString(path[i:end])
		}
		i = end + 1
	}
	return b.String()
}

// name returns the name in the tree of what is called local on disk, in a folder with
// the path dir in the tree.
func (n *names) name(dir, local string) string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if len(n.inTree) == 0 {
		return local
	}
	if name, ok := n.inTree[join(dir, local)]; ok {
		return name
	}
	return local
}

// path returns the path in the tree of a path on disk.
func (n *names) path(local string) string {
	n.mu.RLock()
	plain := len(n.inTree) == 0
	n.mu.RUnlock()
	if plain || local == "" {
		return local
	}
	path := ""
	for part := range strings.SplitSeq(local, "/") {
		path = join(path, n.name(path, part))
	}
	return path
}

// split returns the folder of a path, "" for the root, and the last part.
func split(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}
