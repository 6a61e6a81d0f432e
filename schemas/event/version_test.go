package event_test

import (
	"strings"
	"testing"

	"github.com/whencehq/whence/schemas/event"
)

func TestSpellingsOfOneVersionHaveOneKey(t *testing.T) {
	const commit = "4f2a9c1d0b7e8f6a5c4d3e2f1a0b9c8d7e6f5a4b"
	for _, same := range [][]string{
		{"2.0.0", "v2.0.0", "V2.0.0"},
		{commit, commit[:7], commit[:8], commit[:12], commit + strings.Repeat("0", 24), "v" + commit, "v" + commit[:9], "sha-" + commit[:7], "git-" + commit},
		{"1234567", "1234567" + commit[:33], "sha-1234567", "sha-123456789"}, // seven digits are what they are
	} {
		for _, spelling := range same {
			if got, want := event.VersionKey(spelling), event.VersionKey(same[0]); got != want || event.VersionKey(got) != got {
				t.Errorf("the key of %s is %q, that of %s is %q", spelling, got, same[0], want)
			}
		}
	}
}

func TestOtherVersionsHaveOtherKeys(t *testing.T) {
	keys := map[string]string{}
	for _, version := range []string{
		"2.0.0", "2.0", "2.0.0+1", "2.0.0-1", "vv2.0.0", "v", "version2", "va1", // a v before a letter is a letter
		"20240115", "20240116", "20240115a", "20240115b", "24011510a", "24011511b", // days and hours, and builds of them
		"12345678", "12345679", "1234567a", "1234567b", // builds
		"4f2a9c1", "4f2a9c2d", "4F2A9C1D", // commits are written in lower case
		"4f2a9c", "4f2a9c1d0b7e8", // too short, and a length that git makes of none
		"0195f2d1c8a97e3b9d1c2f4a6b8c0d2e",                // an identifier that begins with its time
		"sha-4f2a9c", "sha-2.0.0", "main-4f2a9c1", "git-", // no tag of a commit
		"", " 2.0.0",
	} {
		key := event.VersionKey(version)
		if other, known := keys[key]; known {
			t.Errorf("%q and %q have one key, %q", other, version, key)
		}
		keys[key] = version
	}
}
