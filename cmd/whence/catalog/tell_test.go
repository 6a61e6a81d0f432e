package catalog

import (
	"strings"
	"testing"
)

func TestATimeThatHasNotComeIsMarked(t *testing.T) {
	var out strings.Builder
	names := []Name{{Name: "early", LastSeen: "2100-01-01T00:00:00Z"}, {Name: "right", LastSeen: "2026-01-01T00:00:00Z"}}
	if err := TellNames(&out, names, 0); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, "2100-01-01 00:00 (in the future)") || !strings.Contains(text, "2026-01-01 00:00  ") {
		t.Error(text)
	}
}

func TestColumnsAreCutForATerminalOnly(t *testing.T) {
	long := Name{Name: strings.Repeat("n", 100), LastSeen: "2026-01-01T00:00:00Z"}
	for width, whole := range map[int]bool{0: true, 80: false} {
		var out strings.Builder
		if err := TellNames(&out, []Name{long}, width); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), long.Name) != whole || strings.Contains(out.String(), "…") == whole {
			t.Errorf("in %d columns: %s", width, out.String())
		}
	}
}
