package decode

import (
	"net/url"
	"strings"
)

// packageURL is a package URL (package-url/purl-spec) of a name, whose parts
// are between slashes, and a version; empty without a name.
func packageURL(kind, name, version string) string {
	if name == "" {
		return ""
	}
	parts := strings.Split(name, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
		parts[i] = strings.ReplaceAll(parts[i], "@", "%40")
	}
	purl := "pkg:" + kind + "/" + strings.Join(parts, "/")
	if version != "" {
		purl += "@" + strings.ReplaceAll(url.QueryEscape(version), "+", "%20")
	}
	return purl
}
