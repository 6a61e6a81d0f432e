// Package display makes the words of others fit to be shown: ids, titles and
// whatever else a producer says may hold anything.
package display

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line is text that neither moves a cursor, nor ends its line, nor turns the
// direction of what follows. Each character of that kind is shown as �.
func Line(text string) string {
	return strings.Map(func(r rune) rune {
		if commands(r) {
			return utf8.RuneError
		}
		return r
	}, text)
}

// Lines is text whose lines are each like Line's. Tabs stay.
func Lines(text string) string {
	return strings.Map(func(r rune) rune {
		if commands(r) && r != '\n' && r != '\t' {
			return utf8.RuneError
		}
		return r
	}, text)
}

// commands says whether a character is no text but an order to who shows it.
func commands(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

// Command is a command with its arguments as a person can paste it into a shell.
// Arguments that look like flags are none.
func Command(command string, arguments ...string) string {
	if slices.ContainsFunc(arguments, func(a string) bool { return strings.HasPrefix(a, "-") }) {
		command += " --"
	}
	for _, a := range arguments {
		command += " " + Word(a)
	}
	return command
}

// plain are the characters that mean themselves in every shell.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@%+=,"

// Word is a word that a shell takes as it is. One that quotes alone don't make
// harmless is written in octal, as bash, zsh and ksh read it: a control character
// acts on the line before the shell reads it, a backtick ends what a chat shows as
// code, and a backslash in quotes is not the same to every shell. A shell that can't
// read octal takes another word then, but never a second command.
func Word(word string) string {
	switch {
	case word != "" && strings.Trim(word, plain) == "":
		return word
	case utf8.ValidString(word) && !strings.ContainsFunc(word, treacherous):
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	var octal strings.Builder
	for _, part := range strings.SplitAfter(word, "") {
		if r, size := utf8.DecodeRuneInString(part); r == utf8.RuneError && size < 2 || treacherous(r) || r == '\'' {
			for _, b := range []byte(part) {
				fmt.Fprintf(&octal, `\%03o`, b)
			}
			continue
		}
		octal.WriteString(part)
	}
	return "$'" + octal.String() + "'"
}

func treacherous(r rune) bool { return r == '`' || r == '\\' || commands(r) }

// whole is a number that things are counted with.
type whole interface{ ~int | ~int64 | ~uint64 }

// Quantity is a number and what it is of.
func Quantity[N whole](n N, one, many string) string { return Count(n) + " " + Plural(n, one, many) }

// Plural is what so many are called.
func Plural[N whole](n N, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// Count writes 12345678 as 12,345,678.
func Count[N whole](n N) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
