package event

// VersionKey is the same for all spellings of one version, so that what an
// instance states and what a deployment states meet:
//
//   - A v or V before a digit is left out: v2.0.0 is 2.0.0.
//   - A commit is its first seven digits, which is what git abbreviates it to at
//     the least: 40 or 64 lower-case hexadecimal digits, or 8 to 12 with a letter
//     among them that don't begin like a date.
//   - Any other version is its own key. Letters are compared as they are.
//
// Two commits that begin alike are one version to a service, which happens to
// one pair in 268 million. The key is a part of version.
func VersionKey(version string) string {
	switch n := len(version); {
	case n > 1 && (version[0] == 'v' || version[0] == 'V') && isDigit(version[1]):
		return version[1:]
	case n == 40 || n == 64:
		if hex, _ := hexadecimal(version); hex {
			return version[:commitDigits]
		}
	case n > commitDigits && n <= 12:
		if hex, letter := hexadecimal(version); hex && letter && !beginsLikeADate(version) {
			return version[:commitDigits]
		}
	}
	return version
}

const commitDigits = 7

// IsCommitKey is whether a version key may be that of a commit: its versions
// then begin with it.
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

// beginsLikeADate is for 20240115a: a year of this century or the last, and a
// month.
func beginsLikeADate(s string) bool {
	century, month := s[:2], s[4:6]
	return (century == "19" || century == "20") && isDigit(s[2]) && isDigit(s[3]) && "01" <= month && month <= "12" && isDigit(month[1])
}
