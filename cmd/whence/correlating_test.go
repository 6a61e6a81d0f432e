package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/whencehq/whence/processors/correlate"
)

func TestAMessageOfLinksFitsARecordHoweverMuchIsKnown(t *testing.T) {
	for _, size := range []struct{ links, terms, words int }{{1, 1, 10}, {2000, 10, 100}, {30, 1000, 1000}, {3, 2, 1 << 20}} {
		m := linksMessage{EffectKind: "incident", EffectID: "i"}
		for rank := range size.links {
			link := correlate.Link{CauseKind: correlate.Deployment, CauseID: fmt.Sprint(rank), Rank: rank + 1}
			if rank == size.links-1 {
				link.CauseKind = correlate.None
			}
			for range size.terms {
				link.Evidence = append(link.Evidence, correlate.Term{Words: strings.Repeat("w", size.words), SQL: "SELECT 1"})
			}
			m.Links = append(m.Links, link)
		}
		value, err := m.bounded()
		if err != nil || len(value) > maxLinksBytes {
			t.Fatalf("%+v: %d bytes, %v", size, len(value), err)
		}
		var read linksMessage
		if err := json.Unmarshal(value, &read); err != nil {
			t.Fatal(err)
		}
		if last := read.Links[len(read.Links)-1]; read.Links[0].Rank != 1 || last.CauseKind != correlate.None {
			t.Errorf("%+v: the message begins with rank %d and ends with %s", size, read.Links[0].Rank, last.CauseKind)
		}
	}
}
