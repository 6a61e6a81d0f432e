package oracle

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
)

//go:embed sql/*.sql
var files embed.FS

// Query runs one statement and returns the answer in the format that the
// statement names.
type Query func(ctx context.Context, statement string) ([]byte, error)

// HTTP queries the ClickHouse at url, such as http://127.0.0.1:8123.
func HTTP(url string) Query {
	return func(ctx context.Context, statement string) ([]byte, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(statement))
		if err != nil {
			return nil, err
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return nil, err
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			return nil, err
		}
		if answer.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s\nin:\n%s", bytes.TrimSpace(body), statement)
		}
		return body, nil
	}
}

// Compute makes the database whence_oracle anew from whence.events; its table
// expected then holds every enriched column of every observation.
func Compute(ctx context.Context, query Query) error {
	entries, err := files.ReadDir("sql")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if name := entry.Name(); name[0] == '0' { // 01_facts.sql ... in this order
			if err := run(ctx, query, name); err != nil {
				return fmt.Errorf("oracle, %s: %w", name, err)
			}
		}
	}
	return nil
}

func run(ctx context.Context, query Query, name string) error {
	for statement := range strings.SplitSeq(text(name), ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if _, err := query(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// text of an embedded file: it was there at build time.
func text(name string) string {
	body, err := files.ReadFile(path.Join("sql", name))
	if err != nil {
		panic(err)
	}
	return string(body)
}

// Column says how the stored rows differ from the computed ones in one column.
type Column struct {
	// Name of the column; "row": rows that only one side has, "any column":
	// rows that differ in one at least.
	Name      string    `json:"column"`
	Differing int       `json:"differing"`
	Examples  []Example `json:"examples"` // three at most
}

// Example is one row's two values, as ClickHouse writes them.
type Example struct{ Row, Expected, Stored string }

// Compare sets whence.observations FINAL against what Compute has computed,
// one Column each, in the table's order. The last is "any column".
func Compare(ctx context.Context, query Query) ([]Column, error) {
	return rows[Column](ctx, query, text("compare.sql"))
}

// CompareEntities sets the tables of deployments, incidents and findings
// against what Compute has folded, in the columns that the rules speak of.
func CompareEntities(ctx context.Context, query Query) ([]Column, error) {
	return rows[Column](ctx, query, text("entities.sql"))
}

// Account is what the ledger says of a partition: Records in [First, Last),
// each either stored or dead.
type Account struct {
	Topic                          string
	Partition                      int32
	First, Last                    int64
	Batches, Records, Stored, Dead int
}

// Accounts sums the ledger up, one Account a partition.
func Accounts(ctx context.Context, query Query) ([]Account, error) {
	return rows[Account](ctx, query, text("accounts.sql"))
}

// Trouble is something that breaks law 2.
type Trouble struct {
	Trouble   string // gap, overlap, sum, dead letters, unaccounted
	Topic     string
	Partition int32
	Detail    string
}

// Troubles checks law 2 from the data alone: none where nothing is lost and
// nothing counts twice.
func Troubles(ctx context.Context, query Query) ([]Trouble, error) {
	return rows[Trouble](ctx, query, text("troubles.sql"))
}

// rows reads an answer in JSONEachRow.
func rows[T any](ctx context.Context, query Query, statement string) ([]T, error) {
	body, err := query(ctx, statement)
	if err != nil {
		return nil, err
	}
	var all []T
	decoder := json.NewDecoder(bytes.NewReader(body))
	for {
		var row T
		if err := decoder.Decode(&row); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("%w in the answer %.200q", err, body)
		}
		all = append(all, row)
	}
}
