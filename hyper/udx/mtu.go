package udx

// mtu searches for the size of the path by padding packets, as RFC 8899 does.
type mtu struct {
	size    int // works
	limit   int // the largest size that may work
	probing int // the size under test, in flight
	tries   int // of the same size
}

const (
	maxTries = 3
	// fineness is the difference not worth a probe.
	fineness = 16
	maxPad   = 255
)

func (m *mtu) reset() { *m = mtu{size: baseMTU, limit: maxMTU} }

// payload is the largest amount of data in a packet.
func (m *mtu) payload() int { return m.size - overhead }

// pad returns the number of bytes to pad p with, and notes the probe in it.
func (m *mtu) pad(p *packet) int {
	if m.probing != 0 || m.limit-m.size < fineness || p.flags&flagData == 0 || p.retransmitted {
		return 0
	}
	size := m.limit
	if m.limit < maxMTU {
		size = (m.size + m.limit + 1) / 2
	}
	size = min(size, p.size()+maxPad)
	if size <= m.size || size <= p.size() {
		return 0
	}
	m.probing, p.probe = size, size
	return size - p.size()
}

func (m *mtu) delivered(p *packet) {
	if p.probe == 0 || p.probe != m.probing {
		return
	}
	m.probing, m.tries = 0, 0
	m.size = max(m.size, p.probe)
}

// lost is called for a probe that was lost.
func (m *mtu) lost(p *packet) {
	if p.probe == m.probing {
		m.probing = 0
		if m.tries++; m.tries >= maxTries {
			m.tries = 0
			m.limit = min(m.limit, p.probe-1)
		}
	}
	p.probe = 0
}

// blackHole is called when packets vanish: the path may have become smaller.
func (m *mtu) blackHole() {
	if m.size > baseMTU {
		*m = mtu{size: baseMTU, limit: m.size - 1}
	}
}
