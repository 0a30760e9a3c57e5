//go:build !unix

package meter

// CPU returns 0: this system is not measured.
func CPU() float64 { return 0 }

// ChildrenCPU returns 0: this system is not measured.
func ChildrenCPU() float64 { return 0 }
