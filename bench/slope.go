package bench

import (
	"math"

	"github.com/limpet-gateway/limpet/bench/report"
)

// series is one group of points that share a line's slope.
type series struct{ x, y []float64 }

func (s *series) add(x, y float64) { s.x, s.y = append(s.x, x), append(s.y, y) }

// fit is the least-squares slope that all groups share, each with an
// intercept of its own, and its 95 % confidence interval:
//
//	b ± t(0.975, df) × √(Σ residuals² / df / Σ(x−x̄)²),  df = points − groups − 1
//
// with sums over all groups and x̄ the mean of a point's own group.
func fit(groups ...series) report.Slope {
	var n int
	var sxx, sxy, syy float64
	for _, g := range groups {
		mx, my := mean(g.x), mean(g.y)
		for i := range g.x {
			sxx += (g.x[i] - mx) * (g.x[i] - mx)
			sxy += (g.x[i] - mx) * (g.y[i] - my)
			syy += (g.y[i] - my) * (g.y[i] - my)
		}
		n += len(g.x)
	}
	if sxx == 0 {
		return report.Slope{N: n}
	}
	out := report.Slope{PerConn: sxy / sxx, N: n}
	df := n - len(groups) - 1
	if df < 1 {
		out.Low, out.High = out.PerConn, out.PerConn
		return out
	}
	rest := max(syy-sxy*sxy/sxx, 0)
	half := student975(df) * math.Sqrt(rest/float64(df)/sxx)
	out.Low, out.High = out.PerConn-half, out.PerConn+half
	return out
}

func mean(v []float64) (m float64) {
	for _, x := range v {
		m += x / float64(len(v))
	}
	return m
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
