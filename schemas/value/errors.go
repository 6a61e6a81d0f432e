package value

import (
	"errors"
	"fmt"
)

// What makes a value unreadable. Every error of a parse wraps one of them.
var (
	ErrMalformed   = errors.New("malformed")
	ErrTooDeep     = errors.New("nested too deep")
	ErrInvalidUTF8 = errors.New("invalid UTF-8")
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

func tooDeep(limit int) error {
	return fmt.Errorf("%w: more than %d levels", ErrTooDeep, limit)
}

func invalidUTF8(offset int) error {
	return fmt.Errorf("%w at byte %d", ErrInvalidUTF8, offset)
}
