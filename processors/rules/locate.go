package rules

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// locate is where in the file a place in an expression is: line from 1, column
// from 0, as CEL counts. Of folded text (>) it knows the first line only.
func (c *compiler) locate(e Expression, line, column int) (int, int) {
	at := e.place
	switch {
	case at.style&yaml.LiteralStyle != 0:
		written := strings.Split(e.Text, "\n")
		here := at.line + line // the block begins below its |
		if line < 1 || line > len(written) || here > len(c.lines) {
			return at.line, at.column
		}
		indent := len(c.lines[here-1]) - len(strings.TrimLeft(c.lines[here-1], " "))
		indent -= len(written[line-1]) - len(strings.TrimLeft(written[line-1], " "))
		return here, indent + column + 1
	case at.style&yaml.FoldedStyle != 0:
		return at.line + 1, 1
	case line > 1:
		return at.line + line - 1, column + 1
	case at.style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		return at.line, at.column + column + 1
	}
	return at.line, at.column + column
}
