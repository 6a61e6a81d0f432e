package event

import "strings"

// VersionKey is the same for all spellings of one version, so that what an
// instance states and what a deployment states meet:
//
//   - A v or V before a digit is left out: v2.0.0 is 2.0.0.
//   - What is left may be a commit: 40 or 64 lower-case hexadecimal digits, or 8
//     to 12 with a letter among the first seven (else it may be a day or a number
//     with something behind it). Its first seven digits are the key, which is what
//     git abbreviates it to at the least.
//   - So are those of what follows sha- or git-, as images are tagged: 40, 64 or
//     7 to 12 digits, any.
//   - Any other version is its own key. Letters are compared as they are.
//
// Two commits that begin alike are one version to a service, which happens to
// one pair in 268 million. The key is a part of version, and its own key.
func VersionKey(version string) string {
	for _, tag := range CommitTags {
		if commit, tagged := strings.CutPrefix(version, tag); tagged && isCommit(commit) {
			return commit[:commitDigits]
		}
	}
	if len(version) > 1 && (version[0] == 'v' || version[0] == 'V') && isDigit(version[1]) {
		version = version[1:]
	}
	if !isCommit(version) {
		return version
	}
	if _, letter := hexadecimal(version[:commitDigits]); !letter && len(version) <= longestAbbreviation {
		return version
	}
	return version[:commitDigits]
}

// CommitTags come before a commit that is an image's tag.
var CommitTags = [...]string{"sha-", "git-"}

const commitDigits, longestAbbreviation = 7, 12

// isCommit is whether digits may be a commit's, whole or abbreviated.
func isCommit(digits string) bool {
	n := len(digits)
	hex, _ := hexadecimal(digits)
	return hex && (commitDigits <= n && n <= longestAbbreviation || n == 40 || n == 64)
}

// IsCommitKey is whether a version key may be that of a commit: its versions
// then begin with it, behind a v or one of CommitTags.
func IsCommitKey(key string) bool {
	hex, _ := hexadecimal(key)
	return hex && len(key) == commitDigits
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func hexadecimal(s string) (hex, letter bool) {
	for i := range len(s) {
		switch c := s[i]; {
		case isDigit(c):
		case 'a' <= c && c <= 'f':
			letter = true
		default:
			return false, false
		}
	}
	return true, letter
}
