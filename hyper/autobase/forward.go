package autobase

type forwarding struct{}

func (b *Base) considerForward() {}
