package decode

import (
	"slices"
	"strings"
)

// mostFrames bounds the frames of an error: a stack that overflowed has thousands.
const mostFrames = 100

// framesOf are the frames of a stack trace as runtimes print them, innermost
// first: "at ..." (Java, JavaScript, .NET), "File ..., line" (Python, innermost
// last), "#0 ..." (PHP), "file:1:in ..." (Ruby), and two lines each (Go). Of
// anything else they are the lines.
func framesOf(stack string) []string {
	var frames, lines []string
	python := false
	previous := ""
	for line := range strings.SplitSeq(stack, "\n") {
		indented := strings.HasPrefix(line, "\t")
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if strings.HasPrefix(line, "Caused by:") && len(frames) > 0 {
			break // the frames of the cause: the outer exception's are what was thrown
		}
		switch {
		case strings.HasPrefix(line, "at "):
			frames = append(frames, line[len("at "):])
		case strings.HasPrefix(line, `File "`) && strings.Contains(line, ", line "):
			python = true
			frames = append(frames, line)
		case line[0] == '#' && len(line) > 1 && '0' <= line[1] && line[1] <= '9':
			_, rest, _ := strings.Cut(line, " ")
			frames = append(frames, rest)
		case strings.Contains(line, ":in `") || strings.Contains(line, ":in '"):
			frames = append(frames, strings.TrimPrefix(line, "from "))
		case indented && strings.Contains(line, ".go:") && previous != "":
			frames = append(frames, previous+" "+line)
		}
		previous = line
		if len(lines) < mostFrames {
			lines = append(lines, line)
		}
	}
	if len(frames) == 0 {
		return lines
	}
	if python {
		slices.Reverse(frames)
	}
	return frames[:min(len(frames), mostFrames)]
}

// fingerprint is what makes two errors the same: the type, and the function of
// the innermost frame. Without a type it is the message, without its numbers.
func fingerprint(typ, message string, frames []string) string {
	if typ == "" {
		line, _, _ := strings.Cut(message, "\n")
		typ = strings.Map(func(r rune) rune {
			if '0' <= r && r <= '9' {
				return '0'
			}
			return r
		}, line)
	}
	if len(frames) == 0 {
		return typ
	}
	return typ + " at " + functionOf(frames[0])
}

// functionOf is a frame without the place in its file.
func functionOf(frame string) string {
	if file, in, ok := strings.Cut(frame, ", line "); ok { // Python
		_, function, _ := strings.Cut(in, ", in ")
		return strings.Trim(strings.TrimPrefix(file, "File "), `"`) + " " + function
	}
	if _, function, ok := strings.Cut(frame, ":in "); ok { // Ruby
		function, _, _ = strings.Cut(strings.TrimLeft(function, "`'"), "'")
		return function
	}
	if _, function, ok := strings.Cut(frame, "): "); ok { // PHP
		frame = function
	}
	if i := strings.IndexByte(frame, '('); i > 0 { // Java, JavaScript, Go, .NET
		return strings.TrimSpace(frame[:i])
	}
	place := strings.TrimRight(frame, "0123456789:")
	return strings.TrimSpace(place)
}
