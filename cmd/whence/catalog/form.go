package catalog

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// words splits a name where separators are, where a capital follows a small
// letter, and makes it lower case: CheckoutAPI-v2 is checkout, api, v2.
func words(name string) []string {
	var all []string
	var word strings.Builder
	flush := func() {
		if word.Len() > 0 {
			all = append(all, word.String())
			word.Reset()
		}
	}
	small := false
	for _, r := range name {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			flush()
		case unicode.IsUpper(r) && small:
			flush()
			fallthrough
		default:
			word.WriteRune(unicode.ToLower(r))
		}
		small = unicode.IsLower(r)
	}
	flush()
	return all
}

// letters are the letters and digits of a name alone, in lower case.
func letters(name string) string { return strings.Join(words(name), "") }

// affixes say what a thing is and where it runs, not which one it is.
var affixes = []string{
	"svc", "service", "api", "app", "application", "server", "backend", "deployment", "workload",
	"prod", "production", "prd", "live", "staging", "stage", "stg", "dev", "development", "test", "qa", "preprod",
}

// stem is a name without affixes, of which something is left.
func stem(name string) string {
	all := words(name)
	for len(all) > 1 && slices.Contains(affixes, all[len(all)-1]) {
		all = all[:len(all)-1]
	}
	for len(all) > 1 && slices.Contains(affixes, all[0]) {
		all = all[1:]
	}
	return strings.Join(all, "")
}

// singular is a stem without an s at its end.
func singular(name string) string {
	s := stem(name)
	if len(s) > 3 && !strings.HasSuffix(s, "ss") {
		s = strings.TrimSuffix(s, "s")
	}
	return s
}

// lastPart is what follows the last slash; empty where there is none.
func lastPart(name string) string {
	i := strings.LastIndexByte(strings.TrimSuffix(name, "/"), '/')
	if i < 0 {
		return ""
	}
	return strings.TrimSuffix(strings.TrimSuffix(name[i+1:], "/"), ".git")
}

// address is the path of a repository, without scheme, user, host and .git, in
// lower case: git@github.com:Acme/shop.git is acme/shop.
func address(name string) string {
	rest := strings.ToLower(name)
	if _, after, found := strings.Cut(rest, "://"); found {
		_, rest, _ = strings.Cut(after, "/")
	} else if user, after, found := strings.Cut(rest, ":"); found && strings.Contains(user, "@") {
		rest = after
	} else if host, after, found := strings.Cut(rest, "/"); found && strings.Contains(host, ".") {
		rest = after
	}
	return strings.TrimSuffix(strings.Trim(rest, "/"), ".git")
}

// noreply is the form of addresses that GitHub makes for those who hide theirs
// ("Setting your commit email address", GitHub Docs).
var noreply = regexp.MustCompile(`^(?:\d+\+)?([A-Za-z0-9-]+)@users\.noreply\.github\.com$`)

// login is the login in a GitHub address; empty in any other.
func login(person string) string {
	m := noreply.FindStringSubmatch(person)
	if m == nil {
		return ""
	}
	return strings.ToLower(m[1])
}

// localPart is an e-mail address before its @, without a tag behind a plus, and
// empty for what is no address.
func localPart(person string) string {
	local, host, found := strings.Cut(person, "@")
	if !found || local == "" || host == "" || login(person) != "" {
		return ""
	}
	local, _, _ = strings.Cut(local, "+")
	return local
}

// initialed is a person's first letter and last name, of a name of two words or
// more; else empty.
func initialed(person string) string {
	all := words(person)
	if local := localPart(person); local != "" {
		all = words(local)
	}
	if len(all) < 2 || all[0] == "" {
		return ""
	}
	first := []rune(all[0])
	return string(first[:1]) + all[len(all)-1]
}
