package event

// VersionKey is the same for all spellings of one version, so that what an
// instance states and what a deployment states meet:
//
//   - A v or V before a digit is left out: v2.0.0 is 2.0.0.
//   - What is left may be a commit: 40 or 64 lower-case hexadecimal digits, or 8
//     to 12 with a letter among the first seven (else it may be a day or a number
//     with something behind it). Its first seven digits are the key, which is what
//     git abbreviates it to at the least.
//   - Any other version is its own key. Letters are compared as they are.
//
// Two commits that begin alike are one version to a service, which happens to
// one pair in 268 million. The key is a part of version, and its own key.
func VersionKey(version string) string {
	if len(version) > 1 && (version[0] == 'v' || version[0] == 'V') && isDigit(version[1]) {
		version = version[1:]
	}
	n := len(version)
	hex, letter := hexadecimal(version[:min(n, commitDigits)])
	if !hex || n <= commitDigits || n != 40 && n != 64 && (n > 12 || !letter) {
		return version
	}
	if rest, _ := hexadecimal(version[commitDigits:]); !rest {
		return version
	}
	return version[:commitDigits]
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
