package live

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"github.com/limpet-gateway/limpet/internal/telemetry"
)

// history is how many samples the sparklines show at most.
const history = 240

// answerPatience is how long figures that are shown may wait for newer ones
// without a word.
const answerPatience = 2 * time.Second

// Ask fetches a snapshot.
type Ask func(context.Context) (telemetry.Snapshot, error)

// Run shows a view that asks every interval, until q, Ctrl-C or the end of
// ctx. An error of Ask is shown, and asking goes on: a gateway that restarts
// comes back into view.
func Run(ctx context.Context, ask Ask, interval time.Duration, in io.Reader, out io.Writer) error {
	m := model{ctx: ctx, ask: ask, interval: interval, patience: answerPatience}
	_, err := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out)).Run()
	if err != nil && ctx.Err() != nil {
		return nil // the caller ended it
	}
	return err
}

// model is the state of the view: the Elm architecture of bubbletea.
type model struct {
	ctx      context.Context
	ask      Ask
	interval time.Duration
	patience time.Duration

	width, height int
	now           telemetry.Snapshot
	rates         *Rates // nil before the second snapshot
	err           error
	late          bool // the answer has taken longer than patience
	paused        bool

	sessions, messages []float64
}

// answer is what Ask returned.
type answer struct {
	snapshot telemetry.Snapshot
	err      error
}

type askNow struct{}

// noAnswer says that an answer is still to come.
type noAnswer struct{ later <-chan answer }

// Init implements tea.Model.
func (m model) Init() tea.Cmd { return m.askCmd() }

func (m model) askCmd() tea.Cmd {
	return func() tea.Msg {
		coming := make(chan answer, 1)
		go func() {
			s, err := m.ask(m.ctx)
			coming <- answer{s, err}
		}()
		patience := time.NewTimer(m.patience)
		defer patience.Stop()
		select {
		case a := <-coming:
			return a
		case <-patience.C:
			return noAnswer{coming}
		}
	}
}

// Update implements tea.Model.
func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.KeyPressMsg:
		switch msg.String() {
		case "q", "esc", "ctrl+c":
			return m, tea.Quit
		case "p", "space":
			m.paused = !m.paused
		}
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case noAnswer:
		m.late = true
		return m, func() tea.Msg { return <-msg.later }
	case answer:
		m.late = false
		if !m.paused {
			m.take(msg)
		}
		return m, tea.Tick(m.interval, func(time.Time) tea.Msg { return askNow{} })
	case askNow:
		return m, m.askCmd()
	}
	return m, nil
}

func (m *model) take(a answer) {
	if m.err = a.err; a.err != nil {
		m.rates = nil
		return
	}
	if !m.now.Time.IsZero() {
		rates := Between(m.now, a.snapshot)
		m.rates = &rates
		m.messages = keep(m.messages, rates.MessagesIn+rates.MessagesOut)
	}
	m.now = a.snapshot
	m.sessions = keep(m.sessions, float64(a.snapshot.Sessions))
}

func keep(all []float64, v float64) []float64 {
	if len(all) == history {
		all = slices.Delete(all, 0, 1)
	}
	return append(all, v)
}

// The colours are of the terminal's own palette, so they suit its background;
// to ask for the background costs seconds where nobody answers.
var (
	bold  = lipgloss.NewStyle().Bold(true)
	faint = lipgloss.NewStyle().Faint(true)
	alarm = lipgloss.NewStyle().Bold(true).Foreground(lipgloss.Color("1"))
	mark  = lipgloss.NewStyle().Foreground(lipgloss.Color("6"))
)

// View implements tea.Model.
func (m model) View() tea.View {
	v := tea.NewView(m.text())
	v.AltScreen = true
	return v
}

func (m model) text() string {
	width := m.width
	if width <= 0 {
		width = 80
	}
	cut := lipgloss.NewStyle().MaxWidth(width)
	var body []string
	add := func(s string) { body = append(body, cut.Render(s)) }
	if m.now.Time.IsZero() {
		add(bold.Render("limpet top"))
	} else {
		head := bold
		if m.now.Status != "ready" {
			head = alarm
		}
		for _, part := range wrap(title(m.now), width) {
			add(head.Render(part))
		}
		for _, l := range lines(m.now, m.rates) {
			label := l.label
			for _, part := range wrap(l.text, width-labelWidth) {
				add(faint.Render(fmt.Sprintf("%-*s", labelWidth, label)) + part)
				label = ""
			}
		}
		add(faint.Render("sessions    ") + mark.Render(sparkline(m.sessions, width-labelWidth-1)))
		add(faint.Render("messages/s  ") + mark.Render(sparkline(m.messages, width-labelWidth-1)))
	}
	var foot []string
	switch {
	case m.err != nil:
		foot = append(foot, cut.Render(alarm.Render(m.err.Error())))
	case m.paused:
		foot = append(foot, cut.Render(alarm.Render("paused")))
	case m.late:
		foot = append(foot, cut.Render(alarm.Render("no answer yet: what is shown is the last that is known")))
	}
	foot = append(foot, cut.Render(faint.Render("q quits, p pauses")))
	return strings.Join(append(m.fit(body, len(foot)), foot...), "\n")
}

const labelWidth = 12 // columns

// fit leaves away the last of the rows for which the terminal has no room
// beside so many others, and says so.
func (m model) fit(rows []string, others int) []string {
	room := m.height - others
	if m.height <= 0 || len(rows) <= room {
		return rows
	}
	room = max(room, 1)
	return append(rows[:room-1:room-1], faint.Render(fmt.Sprintf("… %d lines more in a higher window", len(rows)-room+1)))
}

// wrap breaks text at spaces into lines of at most width columns; a word that
// is longer stays whole.
func wrap(text string, width int) []string {
	var all []string
	for len(text) > width && width > 0 {
		at := strings.LastIndexByte(text[:width+1], ' ')
		if at <= 0 {
			if at = strings.IndexByte(text, ' '); at <= 0 {
				break
			}
		}
		all = append(all, text[:at])
		text = text[at+1:]
	}
	return append(all, text)
}

// sparkline draws the last values that fit, from 0 to the largest.
func sparkline(values []float64, width int) string {
	if width < 1 || len(values) == 0 {
		return ""
	}
	values = values[max(0, len(values)-width):]
	const bars = "▁▂▃▄▅▆▇█"
	steps := []rune(bars)
	most := slices.Max(values)
	var b strings.Builder
	for _, v := range values {
		n := 0
		if most > 0 {
			n = int(v / most * float64(len(steps)-1))
		}
		b.WriteRune(steps[n])
	}
	return b.String()
}
