package backfill

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/whencehq/whence/pipeline"
)

// State is how far a back-fill is: a small file, so that one that was stopped
// goes on.
type State struct {
	// Of says which back-fill it is; another one is refused.
	Of          string    `json:"of"`
	From, Until time.Time // as they were when it began
	Sections    map[string]*Progress

	path string // empty: kept nowhere
}

// Progress is how far a section is.
type Progress struct {
	Cursor    string
	Done      bool
	Published int64
	// Missing is why it could not be read; empty: it could.
	Missing string
}

// OpenState reads a state, or begins one. An empty path keeps it nowhere.
func OpenState(path, of string, from, until time.Time) (*State, error) {
	fresh := &State{Of: of, From: from.UTC(), Until: until.UTC(), Sections: map[string]*Progress{}, path: path}
	if path == "" {
		return fresh, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil
	}
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	known := &State{}
	if err := json.Unmarshal(text, known); err != nil {
		return nil, &pipeline.Error{Err: fmt.Errorf("%s is no state of a back-fill: %w", path, err), Hint: "remove it to begin anew"}
	}
	if known.Of != of {
		return nil, &pipeline.Error{Err: fmt.Errorf("%s is the state of another back-fill: %s", path, known.Of),
			Hint: "--state names another file; or remove it to begin anew"}
	}
	if known.path = path; known.Sections == nil {
		known.Sections = map[string]*Progress{}
	}
	return known, nil
}

// Resumed says that something of it was read before.
func (s *State) Resumed() bool { return len(s.Sections) > 0 }

func (s *State) section(name string) *Progress {
	if s.Sections[name] == nil {
		s.Sections[name] = &Progress{}
	}
	return s.Sections[name]
}

// save writes the file whole or not at all.
func (s *State) save() error {
	if s.path == "" {
		return nil
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(s.path), 0o700)
	}
	if err == nil {
		err = replace(s.path, text)
	}
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

func replace(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// Remove forgets a back-fill that is done.
func (s *State) Remove() error {
	if s.path == "" {
		return nil
	}
	if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}
