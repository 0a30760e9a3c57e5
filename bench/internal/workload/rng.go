package workload

// RNG is mulberry32. It is not safe for concurrent use.
type RNG struct{ state uint32 }

// NewRNG returns the generator of a seed.
func NewRNG(seed uint32) *RNG { return &RNG{seed} }

// Float returns the next number in [0, 1).
func (r *RNG) Float() float64 {
	r.state += 0x6D2B79F5
	t := r.state
	t = (t ^ t>>15) * (t | 1)
	t ^= t + (t^t>>7)*(t|61)
	return float64(t^t>>14) / (1 << 32)
}

// Intn returns the next number in [0, n).
func (r *RNG) Intn(n uint64) uint64 { return uint64(r.Float() * float64(n)) }
