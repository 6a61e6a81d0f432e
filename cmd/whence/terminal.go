package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// isTerminal says whether a person is likely to look at w.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// colored says whether w may be written in colours (https://no-color.org).
func colored(w any) bool { return isTerminal(w) && os.Getenv("NO_COLOR") == "" }

// style is how text is set off where colours are on, and nothing where not.
type style bool

func (s style) bold(text string) string  { return s.with("1", text) }
func (s style) faint(text string) string { return s.with("2", text) }
func (s style) red(text string) string   { return s.with("31", text) }
func (s style) green(text string) string { return s.with("32", text) }

func (s style) with(code, text string) string {
	if !s {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// progress is a bar on a terminal and nothing elsewhere: a log is no place
// for a bar. total -1 means unknown; then it spins.
func progress(w io.Writer, total int64, what string, more ...progressbar.Option) *progressbar.ProgressBar {
	if !isTerminal(w) {
		return progressbar.DefaultSilent(max(total, 1))
	}
	return progressbar.NewOptions64(total, append([]progressbar.Option{
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(),
		progressbar.OptionThrottle(100 * time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetSpinnerChangeInterval(0), // its goroutine reads what Add writes, unlocked
		progressbar.OptionFullWidth(),
		progressbar.OptionEnableColorCodes(colored(w)),
	}, more...)...)
}
