package why

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Ask runs a statement and returns its answer.
type Ask func(ctx context.Context, statement string) ([]byte, error)

// Rows runs a statement whose rows are Ts.
func Rows[T any](ctx context.Context, ask Ask, statement string) ([]T, error) {
	answer, err := ask(ctx, statement+"\nFORMAT JSONEachRow")
	if err != nil {
		return nil, err
	}
	rows := []T{}
	for in := json.NewDecoder(bytes.NewReader(answer)); ; {
		var row T
		switch err := in.Decode(&row); {
		case errors.Is(err, io.EOF):
			return rows, nil
		case err != nil:
			return nil, fmt.Errorf("an answer of ClickHouse is not what was asked for: %w", err)
		}
		rows = append(rows, row)
	}
}

// with puts values into a statement, each as a literal where {name} stands. The
// statement is shown to people, who can run it as it is: so no parameters.
func with(statement string, values ...any) string {
	pairs := make([]string, 0, len(values))
	for i := 0; i < len(values); i += 2 {
		pairs = append(pairs, "{"+values[i].(string)+"}", literal(values[i+1]))
	}
	return strings.NewReplacer(pairs...).Replace(strings.TrimSpace(statement))
}

func literal(value any) string {
	switch v := value.(type) {
	case string:
		return Quote(v)
	case []string:
		quoted := make([]string, len(v))
		for i, s := range v {
			quoted[i] = Quote(s)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	case Moment:
		return "toDateTime64('" + v.Time().Format("2006-01-02 15:04:05.000") + "', 3, 'UTC')"
	}
	return fmt.Sprint(value)
}

// Quote writes a string as a literal of ClickHouse.
func Quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
