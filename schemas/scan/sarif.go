package scan

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

var errNoObject = errors.New("must be an object")

// sarif cuts SARIF 2.1.0 (OASIS). Section numbers below are of that standard.
type sarif struct {
	*splitter
	version []byte
	own     string // the first run's guid
	runs    []*sarifRun
	listed  bool
}

// sarifRun is what the results of a run (§3.14) refer to.
type sarifRun struct {
	driver []byte              // without its rules
	header []byte              // the rest of what is kept, members of an object
	tools  map[string]int      // extensions by name and by guid, from 1; 0 is the driver
	rules  map[int][]sarifRule // of a tool, by its number
	byID   map[string][]byte
	files  []json.RawMessage // locations of run.artifacts
	// scanned: it has results, if only an empty list. Without, nothing was looked
	// for (§3.14.23).
	scanned bool
	scan    int  // which of the report's scans it is of, from 0
	goes    bool // that scan goes on in a later run
	unclear bool // whether it is of the same scan as another run nobody can tell
}

type sarifRule struct {
	id   string
	body []byte
}

// sarifDescriptor is what is kept of a rule (§3.49).
var sarifDescriptor = map[string]*node{
	"id": {}, "name": {}, "helpUri": {},
	"shortDescription":     {members: map[string]*node{"text": {}}},
	"defaultConfiguration": {members: map[string]*node{"level": {}, "enabled": {}}},
	"properties":           {members: map[string]*node{"tags": {}, "security-severity": {}, "precision": {}, "problem.severity": {}, "kind": {}}},
}

func (f *sarif) run() *sarifRun { return f.runs[len(f.runs)-1] }

func (f *sarif) survey() *node {
	extension := 0
	rules := func(tool *int) *node {
		return &node{members: sarifDescriptor, each: func(w *walk, rule []byte) error { return f.keepRule(w, *tool, rule) }}
	}
	driver := 0
	named := func(w *walk, word []byte) error {
		var name string
		if json.Unmarshal(word, &name) == nil {
			f.run().tools[name] = extension
		}
		return f.keep(w, len(name))
	}
	run := map[string]*node{
		"tool": {members: map[string]*node{
			"driver": {
				members: map[string]*node{
					"name": {}, "fullName": {}, "version": {}, "semanticVersion": {}, "organization": {}, "informationUri": {}, "guid": {},
					"rules": rules(&driver),
				},
				to: func(w *walk, kept []byte) error {
					f.run().driver = bytes.Clone(kept)
					return f.keep(w, len(kept))
				},
			},
			"extensions": {
				begin:   func(*walk) error { extension++; return nil },
				members: map[string]*node{"name": {to: named}, "guid": {to: named}, "rules": rules(&extension)},
			},
		}},
		"artifacts": {
			members: map[string]*node{"location": {members: map[string]*node{"uri": {}, "uriBaseId": {}}}},
			each: func(w *walk, file []byte) error {
				var artifact struct{ Location json.RawMessage }
				_ = json.Unmarshal(file, &artifact)
				if len(artifact.Location) > longestReference { // an address that is a file's contents
					artifact.Location = nil
				}
				f.run().files = append(f.run().files, artifact.Location)
				return f.keep(w, len(artifact.Location))
			},
		},
	}
	header := map[string]*node{
		"automationDetails":        {members: map[string]*node{"id": {}, "guid": {to: f.keepGUID}, "correlationGuid": {}}},
		"versionControlProvenance": {members: map[string]*node{"repositoryUri": {}, "revisionId": {}, "branch": {}, "revisionTag": {}, "asOfTimeUtc": {}}},
		"invocations":              {members: map[string]*node{"executionSuccessful": {}, "startTimeUtc": {}, "endTimeUtc": {}}},
		"originalUriBaseIds":       {},
		"baselineGuid":             {},
		"properties":               {members: map[string]*node{"imageName": {}, "imageID": {}, "repoDigests": {}, "repoTags": {}}},
	}
	for name, n := range header {
		kept := *n
		kept.to = func(w *walk, value []byte) error {
			r := f.run()
			quoted, _ := json.Marshal(name)
			r.header = append(append(append(r.header, ','), quoted...), ':')
			r.header = append(r.header, value...)
			if len(r.header) > f.limit/4 {
				return w.wrong("what is kept of the run's properties is larger than %d bytes", f.limit/4)
			}
			return f.keep(w, len(value))
		}
		run[name] = &kept
	}
	run["results"] = &node{each: func(*walk, []byte) error { return nil }, met: func() { f.run().scanned = true }}
	return &node{root: true, members: map[string]*node{
		"version": {to: func(_ *walk, version []byte) error { f.version = bytes.Clone(version); return nil }},
		"runs": {
			met: func() { f.listed = true },
			begin: func(w *walk) error {
				extension = 0
				f.runs = append(f.runs, &sarifRun{tools: map[string]int{}, rules: map[int][]sarifRule{}, byID: map[string][]byte{}})
				return f.keep(w, 1<<10)
			},
			members: run,
		},
	}}
}

func (f *sarif) keepGUID(_ *walk, value []byte) error {
	if len(f.runs) == 1 {
		_ = json.Unmarshal(value, &f.own)
	}
	return nil
}

func (f *sarif) missing() string {
	if !f.listed {
		return "runs"
	}
	return ""
}

// guid identifies the run: §3.17.4. Only one run's can be the whole report's.
func (f *sarif) guid() string {
	const longest = 200
	if len(f.runs) != 1 || len(f.own) > longest {
		return ""
	}
	return f.own
}

// longestReference is how long the name of a rule or the address of a file may be
// that a result only points to: it is written out in each of them.
const longestReference = 2 << 10

func (f *sarif) keepRule(w *walk, tool int, rule []byte) error {
	if len(rule) > f.limit/8 {
		return w.wrong("what is kept of a rule is larger than %d bytes", f.limit/8)
	}
	var named struct{ ID string }
	_ = json.Unmarshal(rule, &named)
	if len(named.ID) > longestReference {
		return w.wrong("the rule's id is longer than %d bytes", longestReference)
	}
	r := f.run()
	body := bytes.Clone(rule)
	r.rules[tool] = append(r.rules[tool], sarifRule{named.ID, body})
	if r.byID[named.ID] == nil {
		r.byID[named.ID] = body
	}
	return f.keep(w, 2*len(named.ID)+len(body))
}

// looked is what makes runs one scan: the tool, and what it looked at and how.
type looked struct{ tool, repository, branch, analysis string }

// Analysis is what the runs of one analysis have in common of their
// automationDetails.id (§3.17.3): its last part is the run's own.
func Analysis(id string) string { return id[:strings.LastIndexByte(id, '/')+1] }

// looked reads it from what is kept of the run. Of several places the first
// counts.
func (r *sarifRun) looked() (l looked) {
	var driver struct{ Name string }
	_ = json.Unmarshal(r.driver, &driver) // what isn't as it should be is read as nothing here, and refused by who reads the chunk
	var header struct {
		AutomationDetails        struct{ ID string }
		VersionControlProvenance []*struct{ RepositoryURI, Branch string }
	}
	if len(r.header) > 0 {
		_ = json.Unmarshal(append(append([]byte{'{'}, r.header[1:]...), '}'), &header)
	}
	l.tool, l.analysis = driver.Name, Analysis(header.AutomationDetails.ID)
	for _, place := range header.VersionControlProvenance {
		if place != nil {
			l.repository, l.branch = place.RepositoryURI, place.Branch
			break
		}
	}
	return l
}

// groupRuns tells which runs are one scan. A tool that is run for each module, and
// whose runs are merged into one file, has looked at all of them together: what
// one run doesn't list isn't gone because another one follows it.
//
// Hints say where a run was that doesn't say so, and of which branch all of them
// are. With these, runs of two scans here may be of one target: none of them
// says that it names all there is.
func (f *sarif) groupRuns() {
	of, last := make([]looked, len(f.runs)), []*sarifRun{}
	scans, somewhere := map[looked]int{}, map[looked]bool{}
	branches := map[looked]int{} // scans of one place
	for i, run := range f.runs {
		of[i] = run.looked()
		number, known := scans[of[i]]
		if known {
			last[number].goes = true
		} else {
			number, last = len(last), append(last, nil)
			scans[of[i]] = number
			branches[of[i].anyBranch()]++
			somewhere[of[i].anywhere()] = somewhere[of[i].anywhere()] || of[i].repository != ""
		}
		run.scan, last[number] = number, run
	}
	for i, run := range f.runs {
		nowhere := of[i].anywhere()
		run.unclear = branches[of[i].anyBranch()] > 1 || branches[nowhere] > 0 && somewhere[nowhere]
	}
}

func (l looked) anyBranch() looked { l.branch = ""; return l }
func (l looked) anywhere() looked  { l.branch, l.repository = "", ""; return l }

func (f *sarif) partial() bool { return f.group >= 0 && f.runs[f.group].unclear }

func (f *sarif) results() *node {
	f.group = -1
	f.groupRuns()
	return &node{members: map[string]*node{"runs": {
		begin: func(*walk) error {
			if f.group >= 0 {
				if err := f.finish(); err != nil {
					return err
				}
			}
			f.group++
			f.of, f.goes = f.runs[f.group].scan, f.runs[f.group].goes
			return nil
		},
		members: map[string]*node{"results": {each: f.result}},
	}}}
}

func (f *sarif) result(w *walk, element []byte) error {
	body, rule, err := f.prepare(element)
	if err != nil {
		return w.wrong("%v", err)
	}
	return f.add(w, "results", body, reference{rule, f.runs[f.group].describes(rule)})
}

func (f *sarif) header(run int) int {
	if run < 0 { // a file without runs says nothing of any tool
		return 0
	}
	return len(f.runs[run].driver) + len(f.runs[run].header)
}

func (f *sarif) document(c *chunk) []byte {
	b := append(make([]byte, 0, c.size), `{"version":`...)
	b = append(b, or(f.version, `"2.1.0"`)...)
	number := c.groups[0].number
	if number < 0 {
		return append(b, `,"runs":[]}`...)
	}
	run := f.runs[number]
	driver := or(run.driver, "{}")
	b = append(append(b, `,"runs":[{"tool":{"driver":`...), driver[:len(driver)-1]...)
	if len(driver) > len("{}") {
		b = append(b, ',')
	}
	b = joined(append(b, `"rules":`...), c.needed)
	b = append(append(b, `}}`...), run.header...)
	if !run.scanned {
		return append(b, `}]}`...)
	}
	var found [][]byte
	for _, l := range c.groups[0].lists {
		found = append(found, l.elements...)
	}
	b = joined(append(b, `,"results":`...), found)
	return append(b, `}]}`...)
}

// describes is the rule of that id, or of the id that it is a part of: §3.5.4,
// a/b is of the rule a where no rule is called a/b.
func (r *sarifRun) describes(id string) []byte {
	for len(id) <= longestReference {
		if rule := r.byID[id]; rule != nil {
			return rule
		}
		cut := strings.LastIndexByte(id, '/')
		if cut < 0 {
			return nil
		}
		id = id[:cut]
	}
	return nil
}

// sarifLongest are the members of a result that go first where it is too large.
var sarifLongest = []string{"codeFlows", "graphTraversals", "graphs", "stacks", "webRequest", "webResponse", "attachments", "fixes", "relatedLocations"}

// prepare writes out what a result says by places in lists, and shortens it
// where it must.
func (f *sarif) prepare(element []byte) (body []byte, rule string, err error) {
	var result map[string]json.RawMessage
	if err := json.Unmarshal(element, &result); err != nil || result == nil {
		return nil, "", errNoObject
	}
	changed := f.runs[f.group].nameRule(result)
	if bytes.Contains(result["locations"], []byte(`"index"`)) {
		changed = f.runs[f.group].nameFiles(result) || changed
	}
	size := len(element)
	for _, name := range sarifLongest {
		if size <= f.limit/2 {
			break
		}
		if long := result[name]; long != nil {
			size -= len(long)
			delete(result, name)
			changed = true
		}
	}
	_ = json.Unmarshal(result["ruleId"], &rule)
	if !changed {
		return bytes.Clone(element), rule, nil
	}
	body, err = json.Marshal(result)
	return body, rule, err
}

// nameRule says by its id which rule a result is of (§3.27.5 to §3.27.7).
func (r *sarifRun) nameRule(result map[string]json.RawMessage) (changed bool) {
	index, reference := result["ruleIndex"], result["rule"]
	if index == nil && reference == nil {
		return false
	}
	named := struct {
		ID            string
		Index         *int
		ToolComponent struct {
			Index      *int
			Name, GUID string
		}
	}{}
	_ = json.Unmarshal(reference, &named)
	if named.Index == nil {
		_ = json.Unmarshal(index, &named.Index)
	}
	delete(result, "ruleIndex")
	delete(result, "rule")
	if result["ruleId"] != nil {
		return true
	}
	if named.ID == "" && named.Index != nil {
		tool := 0
		switch c := named.ToolComponent; {
		case c.Index != nil:
			tool = *c.Index + 1
		case c.GUID != "":
			tool = r.tools[c.GUID]
		case c.Name != "":
			tool = r.tools[c.Name]
		}
		if rules := r.rules[tool]; *named.Index >= 0 && *named.Index < len(rules) {
			named.ID = rules[*named.Index].id
		}
	}
	if named.ID != "" {
		result["ruleId"], _ = json.Marshal(named.ID)
	}
	return true
}

// nameFiles gives locations that only have an index (§3.4.5) their file's uri.
func (r *sarifRun) nameFiles(result map[string]json.RawMessage) (changed bool) {
	var locations []map[string]json.RawMessage
	if json.Unmarshal(result["locations"], &locations) != nil {
		return false
	}
	for _, l := range locations {
		var physical, artifact map[string]json.RawMessage
		var index int
		if json.Unmarshal(l["physicalLocation"], &physical) != nil || json.Unmarshal(physical["artifactLocation"], &artifact) != nil ||
			artifact["uri"] != nil || json.Unmarshal(artifact["index"], &index) != nil || index < 0 || index >= len(r.files) || r.files[index] == nil {
			continue
		}
		physical["artifactLocation"] = r.files[index]
		l["physicalLocation"], _ = json.Marshal(physical)
		changed = true
	}
	if changed {
		result["locations"], _ = json.Marshal(locations)
	}
	return changed
}

func or(b []byte, otherwise string) []byte {
	if len(b) == 0 || string(b) == "null" {
		return []byte(otherwise)
	}
	return b
}

// joined appends a list of values.
func joined(b []byte, elements [][]byte) []byte {
	b = append(b, '[')
	for i, e := range elements {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, e...)
	}
	return append(b, ']')
}
