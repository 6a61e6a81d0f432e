package rollouts

import "slices"

// Case is one incident with what was said before and shortly after it.
type Case struct {
	Name  string
	Lines [][]byte // CloudEvents as JSON, in the order of time
	Truth Truth
}

// Truth is what caused the incident.
type Truth struct {
	// Kind and ID are those of the right link: a kind of package correlate. ID is
	// the service where Kind is undeclared, and empty where it is none.
	Kind, ID string
	// Service is where the cause is, whether or not it was announced.
	Service string
	Fault   string
	// Also are further causes, each as right as the first.
	Also []Truth
}

// Names says whether a link of that kind and id is right.
func (t Truth) Names(kind, id string) bool {
	return t.Kind == kind && t.ID == id || slices.ContainsFunc(t.Also, func(a Truth) bool { return a.Names(kind, id) })
}
