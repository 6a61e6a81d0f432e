package event

import "strings"

// The topics. Producers write to the first five; any of those takes any type,
// because routing is by type: they exist for access control, retention and
// partitioning.
const (
	TopicDelivery     = "whence.delivery"
	TopicIncidents    = "whence.incidents"
	TopicAudit        = "whence.audit"
	TopicBehavior     = "whence.behavior"
	TopicMeasurements = "whence.measurements"
	// TopicContext is the context log: all facts, one partition.
	TopicContext = "whence.context"
	// TopicDeadLetter holds what could not be taken.
	TopicDeadLetter = "whence.deadletter"
	// TopicEnriched holds enriched rows, where that is switched on.
	TopicEnriched = "whence.enriched"
	// TopicLinks holds the causes of effects, ranked: one message a ranking.
	TopicLinks = "whence.links"
)

// InputTopics are those that producers write to.
func InputTopics() []string {
	return []string{TopicDelivery, TopicIncidents, TopicAudit, TopicBehavior, TopicMeasurements}
}

// TopicFor returns the topic an event of that type goes to unless its producer
// says otherwise. Types from elsewhere go where their like goes.
func TopicFor(name string) string {
	if t := Lookup(name); t != nil {
		return t.Topic
	}
	if strings.HasPrefix(name, "dev.cdevents.incident.") {
		return TopicIncidents
	}
	return TopicDelivery
}
