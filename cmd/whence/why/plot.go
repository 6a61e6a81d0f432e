package why

import (
	"fmt"
	"math"
	"strings"

	"github.com/whencehq/whence/pipeline/display"
)

// plotRows is how high a plot is, in lines.
const plotRows = 4

// glyphs are what a plot is drawn with.
type glyphs struct {
	levels                      []rune // of a cell, from just above nothing to full
	unknown                     rune
	side, corner, axis, ellipse string
}

var (
	unicode = glyphs{[]rune("▁▂▃▄▅▆▇█"), '·', "┤", "└", "─", "…"}
	ascii   = glyphs{[]rune(".:|#"), ' ', "|", "+", "-", "..."}
)

// Plot draws the signal: plotRows lines of bars, a time axis with the marks, the
// times, and what the marks are. Each line is without its end.
func (s *Signal) plot(l Look) []styled {
	g := l.glyphs()
	highest := 0.0
	for _, v := range s.Values {
		if v != nil {
			highest = max(highest, *v)
		}
	}
	top := s.label(highest)
	var lines []styled
	for row := plotRows - 1; row >= 0; row-- {
		label := ""
		if row == plotRows-1 {
			label = top
		} else if row == 0 {
			label = s.label(0)
		}
		bars := l.red(strings.TrimRight(g.bars(s.Values, row, highest), " "))
		lines = append(lines, styled(fmt.Sprintf("%*s %s%s", len([]rune(top)), label, g.side, bars)))
	}
	indent := styled(strings.Repeat(" ", len([]rune(top))+1))
	for i, marks := range s.markLines(g.axis) {
		if i == 0 {
			lines = append(lines, indent+styled(g.corner)+l.bold(marks))
			continue
		}
		lines = append(lines, indent+" "+l.bold(strings.TrimRight(marks, " ")))
	}
	return append(lines, indent+" "+l.faint(s.times()), indent+" "+styled(display.Line(s.legend())))
}

// bars is one line of the bars: row 0 is the lowest.
func (g glyphs) bars(values []*float64, row int, highest float64) string {
	var b strings.Builder
	n := len(g.levels)
	for _, v := range values {
		switch {
		case v == nil && row == 0:
			b.WriteRune(g.unknown)
			continue
		case v == nil:
			b.WriteRune(' ')
			continue
		}
		filled := 0
		if highest > 0 {
			filled = int(math.Round(*v/highest*float64(plotRows*n))) - row*n
		}
		if row == 0 && filled < 1 {
			filled = 1 // seen, and nothing
		}
		if filled <= 0 {
			b.WriteRune(' ')
			continue
		}
		b.WriteRune(g.levels[min(filled, n)-1])
	}
	return b.String()
}

// markLines puts the signs under their minutes: on the axis, and those whose
// place is taken on lines below.
func (s *Signal) markLines(axis string) []string {
	lines := [][]rune{[]rune(strings.Repeat(axis, len(s.Values)))}
	taken := [][]bool{make([]bool, len(s.Values))}
	for _, m := range s.Marks {
		place := s.place(m.At)
		row := 0
		for ; row < len(lines) && taken[row][place]; row++ {
		}
		if row == len(lines) {
			lines = append(lines, []rune(strings.Repeat(" ", len(s.Values))))
			taken = append(taken, make([]bool, len(s.Values)))
		}
		lines[row][place], taken[row][place] = []rune(m.Sign)[0], true
	}
	text := make([]string, len(lines))
	for i, line := range lines {
		text[i] = string(line)
	}
	return text
}

func (s *Signal) place(at Moment) int {
	return min(max(int(at-s.From)/(1000*s.Step), 0), len(s.Values)-1)
}

// times are written under the axis, every fifteen minutes.
func (s *Signal) times() string {
	line := []byte(strings.Repeat(" ", len(s.Values)+5))
	free := 0
	for i := range s.Values {
		at := s.From + Moment(i*s.Step*1000)
		if at/minute%15 == 0 && i >= free {
			copy(line[i:], at.Time().Format("15:04"))
			free = i + 7
		}
	}
	return strings.TrimRight(string(line), " ")
}

func (s *Signal) legend() string {
	var parts []string
	for _, m := range s.Marks {
		parts = append(parts, fmt.Sprintf("%s %s %s", m.Sign, m.At.Time().Format("15:04"), m.Words))
	}
	return strings.Join(parts, "   ")
}

// label is a value as the signal's unit has it.
func (s *Signal) label(v float64) string {
	switch {
	case s.What == "latency":
		return fmt.Sprintf("%.0f ms", v)
	case v > 0 && v < 0.1:
		return fmt.Sprintf("%.1f %%", 100*v)
	}
	return fmt.Sprintf("%.0f %%", 100*v)
}

// title says what is shown.
func (s *Signal) title() string {
	what := map[string]string{
		"errors": "requests that failed", "shortfall": "requests that stayed away, of what is usual", "latency": "mean latency",
	}[s.What]
	return fmt.Sprintf("%s: %s, per minute (UTC)", s.Service, what)
}
