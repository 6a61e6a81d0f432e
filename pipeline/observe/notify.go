package observe

func (m *Metrics) registerNotify() {
	m.messages = m.counters("notify_messages_total", "Messages that targets of notifications took.", "target", "action")
	m.messagesFailed = m.counters("notify_failures_total", "Messages that were not taken, or not stored, and are tried again.", "target")
	m.messagesDropped = m.counters("notify_dropped_total", "Messages that their target does not take, whenever it is sent.", "target")
}

// MessageSent counts a message that a target took.
func (m *Metrics) MessageSent(target, action string) {
	m.messages.WithLabelValues(target, action).Inc()
}

// MessageFailed counts a message that is tried again.
func (m *Metrics) MessageFailed(target string) { m.messagesFailed.WithLabelValues(target).Inc() }

// MessageDropped counts a message that is given up.
func (m *Metrics) MessageDropped(target string) { m.messagesDropped.WithLabelValues(target).Inc() }
