package post

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

const (
	// told is how much of an error is told, in bytes.
	told = 300
	// tellable is how long a part of a secret may be that tells nothing.
	tellable = 3
)

// hide is the beginning of a text, up to where it repeats a part of a secret: an
// address, but for its host, or a token. A page "not found" repeats the path,
// often escaped or cut off, so nothing after the first part of it is told.
func hide(text string, secrets ...string) string {
	end := len(text)
	if at := anyOf(secrets).FindStringIndex(text); at != nil {
		end = at[0]
	}
	if end = min(end, told); end == len(text) {
		return text
	}
	return strings.ToValidUTF8(text[:end], "") + "…"
}

// anyOf finds parts of secrets, the longest first.
func anyOf(secrets []string) *regexp.Regexp {
	var all []string
	for _, secret := range secrets {
		for _, part := range parts(secret) {
			all = append(all, regexp.QuoteMeta(part))
		}
	}
	if len(all) == 0 {
		return regexp.MustCompile(`$.`) // nothing
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return regexp.MustCompile("(?i)" + strings.Join(all, "|"))
}

// parts are the parts of a secret that look the same however it is escaped: for
// JSON, HTML or a URL.
func parts(secret string) []string {
	text := secret
	if u, err := url.Parse(secret); err == nil {
		text = strings.Join([]string{u.User.String(), u.EscapedPath(), u.RawQuery, u.Fragment}, " ")
	}
	if decoded, err := url.PathUnescape(text); err == nil {
		text += " " + decoded
	}
	return slices.DeleteFunc(strings.FieldsFunc(text, escapable), func(part string) bool {
		return len(part) <= tellable || strings.EqualFold(part, "Bearer")
	})
}

// escapable says whether a character may have to be escaped in a URL (RFC 3986,
// section 2.3).
func escapable(r rune) bool {
	return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~", r)
}
