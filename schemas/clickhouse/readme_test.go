package tables

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestTheReadmeNamesEveryTableAndView(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Glob(Migrations, "migrations/single/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	creation := regexp.MustCompile(`(?m)^CREATE .*(?:TABLE|VIEW)(?: IF NOT EXISTS)? whence\.(\w+)`)
	for _, file := range files {
		text, err := fs.ReadFile(Migrations, file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range creation.FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(string(readme), "`"+m[1]+"`") {
				t.Errorf("README.md does not name %s (%s)", m[1], file)
			}
		}
	}
}

func TestEveryStatementOfAMigrationIsCommentedAndCanRunTwice(t *testing.T) {
	files, err := fs.Glob(Migrations, "migrations/single/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := fs.ReadFile(Migrations, file)
		if err != nil {
			t.Fatal(err)
		}
		up, down, _ := strings.Cut(string(text), "-- +goose Down\n")
		for _, statement := range strings.Split(strings.TrimPrefix(up, "-- +goose Up\n"), ";\n") {
			statement = strings.TrimSpace(statement)
			if statement == "" {
				continue
			}
			if !strings.HasPrefix(statement, "--") {
				t.Errorf("%s: no comment before %.60q", file, statement)
			}
			if !regexp.MustCompile(`(?m)^(CREATE OR REPLACE|CREATE [A-Z ]+ IF NOT EXISTS|ALTER TABLE [\w.]+ ADD COLUMN IF NOT EXISTS|INSERT INTO whence_state.(touches|edges|fact_times) )`).MatchString(statement) {
				t.Errorf("%s: can't run twice: %.60q", file, statement)
			}
		}
		for _, statement := range strings.Split(strings.TrimSpace(down), ";\n") {
			if !strings.Contains(statement, "IF EXISTS") {
				t.Errorf("%s: can't run twice: %.60q", file, statement)
			}
		}
	}
}
