package sysctl

// Shortfall is one setting that a starting gateway should tell about.
type Shortfall struct {
	Name string
	// Required is whether connections would be refused or lost; otherwise it is
	// advice.
	Required bool
	// Line is the whole message in one line: setting, current, needed, why, who.
	Line string
}

// Startup runs the check for a gateway that starts and returns what falls short,
// what is required first. It reads a few dozen small files, opens no sockets,
// measures nothing and never changes the host. The error is about the need alone.
func Startup(root Root, need Need) ([]Shortfall, error) {
	r, err := Check(root, Inputs{Need: need, Kernel: DefaultKernelCost(), Gateway: DefaultGatewayCost()})
	if err != nil {
		return nil, err
	}
	var required, advice []Shortfall
	for _, row := range r.Rows {
		switch {
		case row.fails():
			required = append(required, Shortfall{row.Name, true, row.line()})
		case row.Verdict == Advised:
			advice = append(advice, Shortfall{row.Name, false, row.line()})
		}
	}
	return append(required, advice...), nil
}

func (row Row) line() string {
	current := row.Current
	if len(row.value.Numbers) > 0 {
		current = row.value.format(row.Unit)
	}
	line := row.Name + " is " + current + ", needs " + row.Needed + " (" + row.Math + ")"
	if row.Verdict == Unknown {
		line = row.Name + " is not known: " + row.Note + "; needs " + row.Needed + " (" + row.Math + ")"
	}
	if row.Who != "" {
		line += "; change: " + row.Who
	}
	return line
}
