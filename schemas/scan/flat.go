package scan

import (
	"bytes"
	"encoding/json"
)

// preamble is what every chunk of a report begins with: members of its root,
// each with a comma behind it.
type preamble []byte

// member is a member of the root that goes into the preamble.
func (p *preamble) member(name string, limit int, n node) *node {
	n.to = func(w *walk, value []byte) error { return p.add(w, name, limit, value) }
	return &n
}

func (p *preamble) add(w *walk, name string, limit int, value []byte) error {
	quoted, _ := json.Marshal(name)
	*p = append(append(append(append(*p, quoted...), ':'), value...), ',')
	if len(*p) > limit {
		return w.wrong("what is kept of its properties is larger than %d bytes", limit)
	}
	return nil
}

// whole keeps members as they are.
func whole(names ...string) map[string]*node {
	m := map[string]*node{}
	for _, name := range names {
		m[name] = &node{}
	}
	return m
}

// lists appends the lists of a group, as members. One that comes twice, because
// the report goes back and forth between lists, is one.
func (g *group) members(b []byte) []byte {
	var names []string
	all := map[string][][]byte{}
	for _, l := range g.lists {
		if all[l.name] == nil {
			names = append(names, l.name)
		}
		all[l.name] = append(all[l.name], l.elements...)
	}
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = joined(append(append(append(b, '"'), name...), `":`...), all[name])
	}
	return b
}

// trivy cuts reports of `trivy --format json`.
type trivy struct {
	*splitter
	preamble preamble
	own      string
	targets  []preamble
	schema   bool
}

func (f *trivy) survey() *node {
	root := map[string]*node{
		"ReportID": {to: func(w *walk, value []byte) error {
			_ = json.Unmarshal(value, &f.own)
			return f.preamble.add(w, "ReportID", f.limit/4, value)
		}},
		"Trivy":    f.preamble.member("Trivy", f.limit/4, node{members: whole("Version")}),
		"Metadata": f.preamble.member("Metadata", f.limit/4, node{members: whole("ImageID", "RepoTags", "RepoDigests", "RepoURL", "Branch", "Commit", "Reference", "OS")}),
	}
	root["SchemaVersion"] = &node{to: func(w *walk, value []byte) error {
		f.schema = true
		return f.preamble.add(w, "SchemaVersion", f.limit/4, value)
	}}
	for _, name := range []string{"CreatedAt", "ArtifactID", "ArtifactName", "ArtifactType"} {
		root[name] = f.preamble.member(name, f.limit/4, node{})
	}
	target := map[string]*node{}
	for _, name := range []string{"Target", "Class", "Type"} {
		target[name] = &node{to: func(w *walk, value []byte) error {
			if err := f.targets[len(f.targets)-1].add(w, name, f.limit/4, value); err != nil {
				return err
			}
			return f.keep(w, len(value))
		}}
	}
	root["Results"] = &node{members: target, begin: func(w *walk) error {
		f.targets = append(f.targets, nil)
		return f.keep(w, 0)
	}}
	return &node{root: true, members: root}
}

func (f *trivy) missing() string {
	if !f.schema {
		return "SchemaVersion"
	}
	return ""
}

func (f *trivy) guid() string { return short(f.own) }

func (f *trivy) results() *node {
	f.group = -1
	lists := map[string]*node{}
	for _, name := range []string{"Vulnerabilities", "Misconfigurations", "Secrets", "Licenses", "ExperimentalModifiedFindings"} {
		lists[name] = &node{each: func(w *walk, element []byte) error { return f.add(w, name, bytes.Clone(element)) }}
	}
	return &node{members: map[string]*node{"Results": {members: lists, begin: func(*walk) error { f.group++; return nil }}}}
}

func (f *trivy) header(target int) int {
	if target < 0 {
		return len(f.preamble)
	}
	return len(f.preamble) + len(f.targets[target])
}

func (f *trivy) document(c *chunk) []byte {
	b := append(append(make([]byte, 0, c.size), '{'), f.preamble...)
	b = append(b, `"Results":[`...)
	for i, g := range c.groups {
		if len(g.lists) == 0 {
			continue
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = g.members(append(append(b, '{'), f.targets[g.number]...))
		b = append(b, '}')
	}
	return append(b, `]}`...)
}

// grype cuts reports of `grype --output json`.
type grype struct {
	*splitter
	preamble preamble
	listed   bool
}

func (f *grype) survey() *node {
	return &node{root: true, members: map[string]*node{
		"matches": {each: func(*walk, []byte) error { return nil }, met: func() { f.listed = true }},
		"source": f.preamble.member("source", f.limit/4, node{members: map[string]*node{
			"type":   {},
			"target": {members: whole("userInput", "imageID", "manifestDigest", "tags", "repoDigests", "path", "name", "version")},
		}}),
		"distro":     f.preamble.member("distro", f.limit/4, node{members: whole("name", "version")}),
		"descriptor": f.preamble.member("descriptor", f.limit/4, node{members: whole("name", "version", "timestamp")}),
	}}
}

func (f *grype) missing() string {
	if !f.listed {
		return "matches"
	}
	return ""
}

func (f *grype) guid() string { return "" }

func (f *grype) results() *node {
	lists := map[string]*node{}
	for _, name := range []string{"matches", "ignoredMatches"} {
		lists[name] = &node{each: func(w *walk, element []byte) error { return f.add(w, name, bytes.Clone(element)) }}
	}
	return &node{members: lists}
}

func (f *grype) header(int) int { return len(f.preamble) }

// document has a list of matches even if there are none: it says which format
// this is.
func (f *grype) document(c *chunk) []byte {
	b := append(append(make([]byte, 0, c.size), '{'), f.preamble...)
	for _, l := range c.groups[0].lists {
		if l.name == "matches" {
			return append(c.groups[0].members(b), '}')
		}
	}
	b = append(b, `"matches":[]`...)
	if len(c.groups[0].lists) > 0 {
		b = append(b, ',')
	}
	return append(c.groups[0].members(b), '}')
}

// ocsf cuts lists and lines of OCSF events. They are no scan: each speaks of
// one finding.
type ocsf struct {
	*splitter
	events int
}

func (f *ocsf) survey() *node {
	return &node{lines: true, each: func(*walk, []byte) error { f.events++; return nil }}
}

func (f *ocsf) missing() string {
	if f.events == 0 {
		return "events"
	}
	return ""
}

func (f *ocsf) guid() string { return "" }
func (f *ocsf) results() *node {
	return &node{lines: true, each: func(w *walk, element []byte) error { return f.add(w, "", bytes.Clone(element)) }}
}
func (f *ocsf) header(int) int { return 0 }
func (f *ocsf) document(c *chunk) []byte {
	var all [][]byte
	for _, l := range c.groups[0].lists {
		all = append(all, l.elements...)
	}
	return joined(make([]byte, 0, c.size), all)
}

// short is a name, unless it is longer than a name is.
func short(name string) string {
	const longest = 200
	if len(name) > longest {
		return ""
	}
	return name
}
