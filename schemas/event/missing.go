package event

// Missing names facts that a timeline has let go of and needs again, by what it
// still knows of them. Whoever hands them over may hand over more. Deployments
// and incidents come whole: with every fact that has ever spoken of them, in
// every content that it had.
type Missing struct {
	Facts       []FactID // of any type; with the entities they speak of
	Deployments []string // by id
	Incidents   []string // by id
	Services    []string // every deployment and incident that has named one of these, as stated
	Changes     []string // revisions: the changes that bring them
	Carriers    []string // revisions: the deployments that carry them
}

// FactID is what a fact is known by beside its type.
type FactID struct{ Source, ID string }

// Empty reports whether nothing is missing.
func (m *Missing) Empty() bool {
	return len(m.Facts)+len(m.Deployments)+len(m.Incidents)+len(m.Services)+len(m.Changes)+len(m.Carriers) == 0
}
