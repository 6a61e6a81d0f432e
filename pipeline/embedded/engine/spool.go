package engine

import (
	"fmt"
	"io"
	"os"
)

// spoolMemory is how much of a body is kept in memory before it goes to a file.
const spoolMemory = 8 << 20

// spool holds a stream of unknown length: the first bytes in memory, the rest in a file that is gone when the process is.
//
// An insert goes through one, so that the engine sees a body only once all of it is here. Feeding the engine while the
// client is still sending stores a part of the body when it is cut off: beyond a million rows the engine has written
// parts by then, and its cancel does not take them back.
type spool struct {
	dir    string
	memory []byte
	file   *os.File
	size   int64
}

func (s *spool) Write(data []byte) (int, error) {
	written := len(data)
	if s.file == nil {
		n := min(len(data), spoolMemory-len(s.memory))
		s.memory = append(s.memory, data[:n]...)
		data = data[n:]
	}
	if len(data) > 0 {
		if s.file == nil {
			file, err := os.CreateTemp(s.dir, "whence-spool-")
			if err != nil {
				return 0, fmt.Errorf("spool: %w", err)
			}
			s.file = file
			if err := os.Remove(file.Name()); err != nil {
				return 0, fmt.Errorf("spool: %w", err)
			}
		}
		if _, err := s.file.Write(data); err != nil {
			return 0, fmt.Errorf("spool: %w", err)
		}
	}
	s.size += int64(written)
	return written, nil
}

// each hands out what was written, chunk by chunk. The chunk is valid during the call only.
func (s *spool) each(f func(chunk []byte) error) error {
	if len(s.memory) > 0 {
		if err := f(s.memory); err != nil {
			return err
		}
	}
	if s.file == nil {
		return nil
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	buf := make([]byte, 1<<20)
	for {
		n, err := s.file.Read(buf)
		if n > 0 {
			if err := f(buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("spool: %w", err)
		}
	}
}

func (s *spool) close() {
	s.memory = nil
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
}
