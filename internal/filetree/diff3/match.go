package diff3

// maxEdits bounds how many lines two texts may differ in to be compared. The time is
// this times the number of lines, the memory its square.
const maxEdits = 2000

// match returns for every line of a its place in b, -1 for none: in order, with the
// fewest lines left over. ok is false if more than maxEdits are.
//
// It is the greedy algorithm of E. W. Myers, "An O(ND) Difference Algorithm and Its
// Variations", Algorithmica 1 (1986).
func match(a, b []int32) (at []int32, ok bool) {
	at = make([]int32, len(a))
	for i := range at {
		at[i] = -1
	}
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		at[head] = int32(head)
		head++
	}
	n, m := len(a), len(b)
	for n > head && m > head && a[n-1] == b[m-1] {
		n, m = n-1, m-1
		at[n] = int32(m)
	}
	return at, matchMiddle(a[head:n], b[head:m], at[head:n], head)
}

// matchMiddle notes in at, plus offset, what is in both.
func matchMiddle(a, b, at []int32, offset int) bool {
	n, m := len(a), len(b)
	limit := min(n+m, maxEdits)
	// far[limit+k] is how far in a one gets on diagonal k with the edits so far.
	far := make([]int32, 2*limit+3)
	var trace [][]int32 // for each number of edits, far from -d to d as it was before
	for d := 0; d <= limit; d++ {
		trace = append(trace, append([]int32(nil), far[limit+1-d:limit+2+d]...))
		for k := -d; k <= d; k += 2 {
			x := int(far[limit+1+k-1]) + 1
			if k == -d || k != d && far[limit+1+k-1] < far[limit+1+k+1] {
				x = int(far[limit+1+k+1])
			}
			y := x - k
			for x < n && y < m && a[x] == b[y] {
				x, y = x+1, y+1
			}
			far[limit+1+k] = int32(x)
			if x >= n && y >= m {
				walkBack(trace, n, m, at, offset)
				return true
			}
		}
	}
	return false
}

// walkBack follows the edits from the ends of both texts to their beginnings.
func walkBack(trace [][]int32, x, y int, at []int32, offset int) {
	for d := len(trace) - 1; d >= 0; d-- {
		k := x - y
		prevX, prevY := 0, 0
		if d > 0 {
			before := func(k int) int { return int(trace[d][d+k]) }
			prevK := k - 1
			if k == -d || k != d && before(k-1) < before(k+1) {
				prevK = k + 1
			}
			prevX = before(prevK)
			prevY = prevX - prevK
		}
		for x > prevX && y > prevY {
			x, y = x-1, y-1
			at[x] = int32(y + offset)
		}
		x, y = prevX, prevY
	}
}
