package hyperbee

// appendBlock encodes a block whose levels are the nodes of index; see block.go
// for the layout.
func appendBlock(b []byte, key, value []byte, index []*child) []byte {
	size := 0
	for _, c := range index {
		size += sizeBytes(c.node.levelSize())
	}
	b = append(b, 1<<3|wireBytes)
	b = appendVarint(b, uint64(size))
	for _, c := range index {
		b = c.node.appendLevel(b)
	}
	b = appendBytes(b, 2, key)
	if value != nil {
		b = appendBytes(b, 3, value)
	}
	return b
}

// blockSize returns an upper bound of the size of an encoded block.
func blockSize(key, value []byte, index []*child) int {
	size := 3*10 + len(key) + len(value)
	for _, c := range index {
		size += sizeBytes(c.node.levelSize())
	}
	return size
}

func (n *node) keysSize() (size int) {
	for i := range n.keys {
		size += sizeVarint(n.keys[i].seq)
	}
	return size
}

func (n *node) childrenSize() (size int) {
	for _, c := range n.children {
		size += sizeVarint(c.seq) + sizeVarint(c.offset)
	}
	return size
}

func (n *node) levelSize() (size int) {
	if len(n.keys) > 0 {
		size = sizeBytes(n.keysSize())
	}
	if len(n.children) > 0 {
		size += sizeBytes(n.childrenSize())
	}
	return size
}

func (n *node) appendLevel(b []byte) []byte {
	b = append(b, 1<<3|wireBytes)
	b = appendVarint(b, uint64(n.levelSize()))
	if len(n.keys) > 0 {
		b = append(b, 1<<3|wireBytes)
		b = appendVarint(b, uint64(n.keysSize()))
		for i := range n.keys {
			b = appendVarint(b, n.keys[i].seq)
		}
	}
	if len(n.children) > 0 {
		b = append(b, 2<<3|wireBytes)
		b = appendVarint(b, uint64(n.childrenSize()))
		for _, c := range n.children {
			b = appendVarint(appendVarint(b, c.seq), c.offset)
		}
	}
	return b
}
