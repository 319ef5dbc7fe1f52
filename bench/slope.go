package bench

import (
	"math"

	"github.com/limpet-gateway/limpet/bench/report"
)

// fit is the least-squares line through the points with the 95 % confidence
// interval of its slope: b ± t(0.975, n−2) × s / √Σ(x−x̄)², where s² is the sum
// of squared residuals over n−2. Below three points there is no interval.
func fit(x, y []float64) report.Slope {
	n := len(x)
	if n < 2 {
		return report.Slope{N: n}
	}
	var mx, my float64
	for i := range n {
		mx += x[i] / float64(n)
		my += y[i] / float64(n)
	}
	var sxx, sxy float64
	for i := range n {
		sxx += (x[i] - mx) * (x[i] - mx)
		sxy += (x[i] - mx) * (y[i] - my)
	}
	if sxx == 0 {
		return report.Slope{N: n}
	}
	b := sxy / sxx
	out := report.Slope{PerConn: b, N: n}
	if n < 3 {
		return out
	}
	var rest float64
	for i := range n {
		d := y[i] - my - b*(x[i]-mx)
		rest += d * d
	}
	half := student975(n-2) * math.Sqrt(rest/float64(n-2)/sxx)
	out.Low, out.High = b-half, b+half
	return out
}

// student975 is the 97.5 % quantile of Student's t for the given degrees of
// freedom: a table up to 10, then Hill's expansion around the normal quantile
// (Algorithm 396, CACM 13, 1970), which is good to four digits there.
func student975(df int) float64 {
	table := [...]float64{12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228}
	if df < 1 {
		return math.Inf(1)
	}
	if df <= len(table) {
		return table[df-1]
	}
	const z = 1.959964
	v := float64(df)
	g1 := (z*z*z + z) / 4
	g2 := (5*math.Pow(z, 5) + 16*z*z*z + 3*z) / 96
	return z + g1/v + g2/(v*v)
}
