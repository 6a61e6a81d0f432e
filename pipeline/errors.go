package pipeline

import (
	"errors"
	"fmt"
)

// Class says what to do about an error, decided once where it arises.
type Class uint8

// The classes of errors.
const (
	// Retryable: try the same again, the other side may come back.
	Retryable Class = iota
	// Fatal: nothing gets better by itself; an operator has to choose.
	Fatal
)

// Error is an error with its class and, for people, a hint.
type Error struct {
	Class Class
	Hint  string
	Err   error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Fatalf makes a fatal error with a hint of what an operator can do.
func Fatalf(hint, format string, args ...any) error {
	return &Error{Class: Fatal, Hint: hint, Err: fmt.Errorf(format, args...)}
}

// ClassOf returns the class of err: Retryable unless some error in its chain
// says otherwise.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return Retryable
}

// HintOf returns the hint in err's chain, empty where there is none.
func HintOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Hint
	}
	return ""
}

// ErrTooLong is in the chain of an error of a statement that was given up after
// its time: the same again would be too, less of it may not.
var ErrTooLong = errors.New("it takes longer than a statement may")
