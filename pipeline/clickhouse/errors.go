package clickhouse

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/whencehq/whence/pipeline"
)

// Exception is an error that ClickHouse answered with.
type Exception struct {
	Code int // ClickHouse, src/Common/ErrorCodes.cpp
	Text string
}

func (e *Exception) Error() string { return e.Text }

// hints holds the codes that do not get better by themselves, each with what
// an operator can do. Every other code is worth another try: memory, too many
// parts, timeouts, a replica that is read-only for now.
var hints = func() map[int]string {
	const (
		schema  = "the tables are not those of this version: run `whence migrate`"
		login   = "check clickhouse.user and clickhouse.password_file"
		rights  = "this user may not do that: grant it, or use another"
		version = "this server does not know what is asked of it: ClickHouse 25.8 or later is needed"
	)
	hints := map[int]string{}
	for hint, codes := range map[string][]int{
		// 8 THERE_IS_NO_COLUMN, 10 NOT_FOUND_COLUMN_IN_BLOCK, 16 NO_SUCH_COLUMN_IN_TABLE, 44 ILLEGAL_COLUMN,
		// 47 UNKNOWN_IDENTIFIER, 50 UNKNOWN_TYPE, 53 TYPE_MISMATCH, 60 UNKNOWN_TABLE, 70 CANNOT_CONVERT_TYPE,
		// 81 UNKNOWN_DATABASE
		schema: {8, 10, 16, 44, 47, 50, 53, 60, 70, 81},
		// 192 UNKNOWN_USER, 193 WRONG_PASSWORD, 194 REQUIRED_PASSWORD, 516 AUTHENTICATION_FAILED
		login: {192, 193, 194, 516},
		// 164 READONLY, 497 ACCESS_DENIED
		rights: {164, 497},
		// 46 UNKNOWN_FUNCTION, 62 SYNTAX_ERROR, 115 UNKNOWN_SETTING
		version: {46, 62, 115},
	} {
		for _, code := range codes {
			hints[code] = hint
		}
	}
	return hints
}()

var codePattern = regexp.MustCompile(`^\s*(?:Poco::Exception\. )?Code: (\d+)\. `)

// exceptionOf reads an error out of a reply. It may come with status 200, when
// the server met it after the headers had gone out.
func exceptionOf(reply *http.Response, text string) error {
	code := 0
	if m := codePattern.FindStringSubmatch(text); m != nil {
		code, _ = strconv.Atoi(m[1])
	} else if header := reply.Header.Get("X-ClickHouse-Exception-Code"); header != "" {
		code, _ = strconv.Atoi(header)
	} else if reply.StatusCode == http.StatusOK {
		if i := strings.Index(text, "DB::Exception: "); i >= 0 {
			return classed(&Exception{Text: firstLine(text[i:])})
		}
		return nil
	}
	if text = firstLine(text); text == "" {
		text = "HTTP status " + reply.Status
	}
	return classed(&Exception{Code: code, Text: text})
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	const limit = 1000
	if len(line) > limit {
		line = line[:limit] + "…"
	}
	return line
}

func classed(e *Exception) error {
	if hint, ok := hints[e.Code]; ok {
		return &pipeline.Error{Class: pipeline.Fatal, Hint: hint, Err: e}
	}
	return &pipeline.Error{Class: pipeline.Retryable, Err: e}
}

// Classify gives an error of DB the class and hint that Insert's have.
func Classify(err error) error {
	var exception *ch.Exception
	if err == nil || !errors.As(err, &exception) {
		return err
	}
	return classed(&Exception{Code: int(exception.Code), Text: firstLine(exception.Error())})
}

// unreachable wraps an error of the network. http.Client puts the whole URL
// into its errors, with the statement and the token: it is taken out.
func unreachable(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return &pipeline.Error{Class: pipeline.Retryable, Hint: "is ClickHouse running, and its HTTP port open?",
		Err: fmt.Errorf("no answer: %w", err)}
}
