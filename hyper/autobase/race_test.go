//go:build race

package autobase

func init() { slowdown = 6 } // the race detector makes everything so much slower
