package scan

import (
	"bytes"
	"encoding/json"
)

// cyclonedx cuts CycloneDX documents with vulnerabilities (VEX, VDR), in JSON.
type cyclonedx struct {
	*splitter
	preamble   preamble
	bom        string // bomFormat
	listed     bool   // vulnerabilities, if only an empty list
	inventory  bool   // components
	serial     string
	version    json.Number
	components map[string][]byte // by bom-ref
}

func (f *cyclonedx) survey() *node {
	f.components = map[string][]byte{}
	// A component may be made of others, at any depth. Elements of a list are
	// handed over when they end, so what is inside comes before what is around it.
	described := whole("bom-ref", "type", "group", "name", "version", "purl")
	component := &node{members: described, each: f.keepComponent}
	described["components"] = component
	about := whole("bom-ref", "type", "group", "name", "version", "purl")
	about["externalReferences"] = &node{members: whole("type", "url")}
	about["components"] = component
	root := map[string]*node{
		"bomFormat": {to: func(w *walk, value []byte) error {
			f.bom = string(value)
			return f.preamble.add(w, "bomFormat", f.limit/4, value)
		}},
		"specVersion": f.preamble.member("specVersion", f.limit/4, node{}),
		"serialNumber": {to: func(w *walk, value []byte) error {
			_ = json.Unmarshal(value, &f.serial)
			return f.preamble.add(w, "serialNumber", f.limit/4, value)
		}},
		"version": {to: func(w *walk, value []byte) error {
			_ = json.Unmarshal(value, &f.version)
			return f.preamble.add(w, "version", f.limit/4, value)
		}},
		"metadata": f.preamble.member("metadata", f.limit/4, node{members: map[string]*node{
			"timestamp": {}, "component": {members: about}, "tools": {}, "lifecycles": {},
		}}),
		"components":      {members: described, each: f.keepComponent, met: func() { f.inventory = true }},
		"vulnerabilities": {each: func(*walk, []byte) error { return nil }, met: func() { f.listed = true }},
	}
	return &node{root: true, members: root}
}

func (f *cyclonedx) missing() string {
	if f.bom != `"CycloneDX"` {
		return "bomFormat CycloneDX"
	}
	return ""
}

func (f *cyclonedx) keepComponent(w *walk, component []byte) error {
	var named struct {
		Ref string `json:"bom-ref"`
	}
	if json.Unmarshal(component, &named) != nil || named.Ref == "" {
		return nil
	}
	f.components[named.Ref] = bytes.Clone(component)
	return f.keep(w, len(named.Ref)+len(component))
}

// guid is of this version of the document: one that is corrected keeps its
// serial number and counts its version up.
func (f *cyclonedx) guid() string {
	if f.serial == "" {
		return ""
	}
	if f.version == "" {
		f.version = "1"
	}
	return short(f.serial + "/" + f.version.String())
}

func (f *cyclonedx) results() *node {
	return &node{root: true, members: map[string]*node{"vulnerabilities": {each: func(w *walk, element []byte) error {
		var v struct {
			Affects []struct{ Ref string }
		}
		if err := json.Unmarshal(element, &v); err != nil {
			return w.wrong("%v", errNoObject)
		}
		var needs []reference
		seen := map[string]bool{}
		for _, a := range v.Affects {
			if !seen[a.Ref] {
				needs = append(needs, reference{a.Ref, f.components[a.Ref]})
			}
			seen[a.Ref] = true
		}
		return f.add(w, "vulnerabilities", bytes.Clone(element), needs...)
	}}}}
}

// partial: without an inventory it is a statement on some vulnerabilities (a
// VEX), and what it doesn't mention isn't gone.
func (f *cyclonedx) partial() bool { return !f.listed || !f.inventory }

func (f *cyclonedx) header(int) int { return len(f.preamble) }

func (f *cyclonedx) document(c *chunk) []byte {
	b := append(append(make([]byte, 0, c.size), '{'), f.preamble...)
	if len(c.needed) > 0 {
		b = append(joined(append(b, `"components":`...), c.needed), ',')
	}
	var found [][]byte
	for _, l := range c.groups[0].lists {
		found = append(found, l.elements...)
	}
	if !f.listed { // an inventory that nobody has looked through
		return append(bytes.TrimSuffix(b, []byte(",")), '}')
	}
	return append(joined(append(b, `"vulnerabilities":`...), found), '}')
}
