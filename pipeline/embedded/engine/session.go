package engine

import (
	"strings"
	"sync"
	"time"
)

// sessions are the connections that requests with a session_id share: temporary tables, SET and USE last in them.
// Requests without one get a connection of their own, opened for them and closed after (0.13 ms), so that nothing can leak.
type sessions struct {
	mu     sync.Mutex
	open   map[string]*session
	closed bool
}

type session struct {
	conn  *connection
	busy  bool
	timer *time.Timer
}

const (
	sessionTimeout    = 60 * time.Second // ClickHouse's default_session_timeout
	maxSessionTimeout = time.Hour        // and max_session_timeout
	maxSessions       = 1000
)

func newSessions() *sessions { return &sessions{open: map[string]*session{}} }

// acquire takes the session, opening it unless it must exist. The caller gives it back with release.
func (s *sessions) acquire(id string, mustExist bool, dial func() (*connection, error)) (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.open[id]; found != nil {
		if found.busy {
			return nil, fail(codeSessionIsLocked, "SESSION_IS_LOCKED", "Session %s is locked by a concurrent client", id[strings.IndexByte(id, 0)+1:])
		}
		found.timer.Stop()
		found.busy = true
		return found, nil
	}
	if mustExist || s.closed {
		return nil, fail(codeSessionNotFound, "SESSION_NOT_FOUND", "Session %s not found", id[strings.IndexByte(id, 0)+1:])
	}
	if len(s.open) >= maxSessions {
		return nil, fail(codeSessionNotFound, "SESSION_NOT_FOUND", "There are %d sessions already", maxSessions)
	}
	conn, err := dial()
	if err != nil {
		return nil, err
	}
	opened := &session{conn: conn, busy: true}
	opened.timer = time.AfterFunc(maxSessionTimeout, func() { s.expire(id, opened) })
	opened.timer.Stop()
	s.open[id] = opened
	return opened, nil
}

func (s *sessions) release(id string, held *session, timeout time.Duration, end bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held.busy = false
	if end || s.closed {
		delete(s.open, id)
		held.conn.close()
		return
	}
	held.timer.Reset(timeout)
}

func (s *sessions) expire(id string, idle *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[id] == idle && !idle.busy {
		delete(s.open, id)
		idle.conn.close()
	}
}

func (s *sessions) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for id, open := range s.open {
		open.timer.Stop()
		if !open.busy {
			delete(s.open, id)
			open.conn.close()
		}
	}
}
