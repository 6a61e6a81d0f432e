package main

import "github.com/whencehq/whence/schemas/event"

// typeNames are the types of Whence's own, each with what it is, as completion
// offers them.
func typeNames() []string {
	var names []string
	for _, t := range event.Types() {
		names = append(names, t.Name+"\t"+t.Doc)
	}
	return names
}
