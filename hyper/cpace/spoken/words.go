package spoken

import (
	"cmp"
	"slices"
	"strings"
)

func known(w string) bool {
	_, ok := slices.BinarySearch(words, w)
	return ok
}

// maxSuggestions is how many words a person is willing to read.
const maxSuggestions = 3

// suggest returns the words that w may have been meant to be, the nearest first.
func suggest(w string) []string {
	if len(w) > 2*longest {
		return nil
	}
	type candidate struct {
		word     string
		distance int
	}
	var near []candidate
	for _, word := range words {
		d := distance(w, word)
		if strings.HasPrefix(word, w) {
			d = min(d, 1)
		}
		if d <= max(2, len(word)/3) {
			near = append(near, candidate{word, d})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	var out []string
	for _, c := range near[:min(len(near), maxSuggestions)] {
		out = append(out, c.word)
	}
	return out
}

// longest is the length of the longest word.
var longest = len(slices.MaxFunc(words, func(a, b string) int { return cmp.Compare(len(a), len(b)) }))

// distance is the number of letters to insert, remove, replace or swap with
// their neighbor.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// Complete returns the texts that a partly typed code can go on to, in canonical
// form: all of them while its last word is short, none if it holds a mistake.
func Complete(s string) []string {
	if len(s) > maxText {
		return nil
	}
	digits, letters := split(strings.ToLower(s))
	if len(digits) != 4 || digits[0] == '0' || len(letters) > 2 {
		return nil
	}
	open := ""
	if r := s[len(s)-1]; len(letters) > 0 && (r|0x20 >= 'a' && r|0x20 <= 'z') {
		open, letters = letters[len(letters)-1], letters[:len(letters)-1]
	}
	if len(letters) == 2 || slices.ContainsFunc(letters, func(w string) bool { return !known(w) }) {
		return nil
	}
	head := strings.Join(append([]string{digits}, letters...), "-") + "-"
	var out []string
	for _, w := range words {
		if strings.HasPrefix(w, open) {
			out = append(out, head+w)
		}
	}
	return out
}
