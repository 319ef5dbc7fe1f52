package nearest

import "strings"

// Name returns the one of names that is most like name, regardless of case,
// or "" when none is within one change and another for every three bytes.
func Name(name string, names []string) string {
	best, bestDistance := "", 1+len(name)/3
	for _, candidate := range names {
		if d := distance(strings.ToLower(name), strings.ToLower(candidate)); d <= bestDistance && (best == "" || d < bestDistance) {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// distance is the number of bytes to insert, delete or replace to make b of a
// (Levenshtein), with one row of the table kept.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
