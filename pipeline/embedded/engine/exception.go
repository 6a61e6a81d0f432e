package engine

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// exception is an error as ClickHouse words it: a number from its ErrorCodes.cpp and a text.
type exception struct {
	code int
	text string // "Code: N. DB::Exception: …"
}

func (e *exception) Error() string { return e.text }

// The codes that the server itself raises, by their names in ErrorCodes.cpp.
const (
	codeBadArguments      = 36
	codeNotImplemented    = 48
	codeSyntaxError       = 62
	codeUnexpectedEnd     = 99
	codeUnknownSetting    = 115
	codeReadOnly          = 164
	codeNetworkError      = 210
	codeNotEnoughSpace    = 243
	codeCannotDecompress  = 271
	codeSessionNotFound   = 372
	codeSessionIsLocked   = 373
	codeAccessDenied      = 497
	codeAuthFailed        = 516
	codeUnknownQueryParam = 456
)

// fail words an error of the server's own.
func fail(code int, name, format string, args ...any) *exception {
	return &exception{code: code, text: fmt.Sprintf("Code: %d. DB::Exception: %s. (%s)", code, fmt.Sprintf(format, args...), name)}
}

var exceptionCode = regexp.MustCompile(`Code: (\d+)\. `)

// parseException reads the code out of the engine's message. Text without one gets 1001 (STD_EXCEPTION).
// The engine repeats its own prefix when an exception crosses a layer ("Code: 115. DB::Exception: Code: 115. …"): once is enough.
func parseException(text string) *exception {
	text = strings.TrimSpace(text)
	m := exceptionCode.FindStringSubmatchIndex(text)
	if m == nil {
		return &exception{code: 1001, text: "Code: 1001. DB::Exception: " + text + ". (STD_EXCEPTION)"}
	}
	code, err := strconv.Atoi(text[m[2]:m[3]])
	if err != nil {
		code = 1001
	}
	text = text[m[0]:]
	prefix := fmt.Sprintf("Code: %d. DB::Exception: ", code)
	for strings.HasPrefix(text, prefix+"Code: ") {
		text = strings.TrimPrefix(text, prefix)
	}
	return &exception{code: code, text: text}
}

// asException words any error as ClickHouse would.
func asException(err error) *exception {
	var e *exception
	if errors.As(err, &e) {
		return e
	}
	return parseException(err.Error())
}

// status maps a code to an HTTP status, as exceptionCodeToHTTPStatus of ClickHouse's HTTPHandler does.
func status(code int) int {
	switch code {
	case 192, 193, 194, codeAuthFailed, 446, codeAccessDenied, codeReadOnly: // users, passwords, access
		return http.StatusForbidden
	case 6, 26, 27, 28, 34, 35, codeBadArguments, 38, 41, 42, 43, 44, 53, codeSyntaxError, 69, 70, 72, codeUnexpectedEnd,
		117, 130, 131, codeNetworkError, codeCannotDecompress, codeSessionIsLocked, codeUnknownQueryParam, 457:
		return http.StatusBadRequest
	case 46, 47, 50, 56, 60, 63, 64, 73, 78, 81, codeUnknownSetting, 137, codeSessionNotFound, 390, 391:
		return http.StatusNotFound
	case 159:
		return http.StatusRequestTimeout
	case 223, 307, 394, 202, 241, 439:
		return http.StatusServiceUnavailable
	case codeNotImplemented:
		return http.StatusNotImplemented
	}
	return http.StatusInternalServerError
}
