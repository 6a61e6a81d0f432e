package decode

import (
	"cmp"
	"net/url"
	"strings"
)

// image is a container image as a manifest names it, for instance
// ghcr.io/shop/payments:4.2.0@sha256:9f86d0....
type image struct{ registry, repository, tag, digest string }

// parseImage reads a reference by the grammar of distribution/reference; the
// first part of the path is a registry where it has a point, a port or is
// localhost. Nothing is completed: what the manifest leaves to defaults stays
// empty.
func parseImage(reference string) image {
	name, digest, _ := strings.Cut(reference, "@")
	i := image{repository: name, digest: digest}
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		i.repository, i.tag = name[:colon], name[colon+1:]
	}
	if host, path, ok := strings.Cut(i.repository, "/"); ok && (strings.ContainsAny(host, ".:") || host == "localhost") {
		i.registry, i.repository = host, path
	}
	return i
}

// name is the last part of the repository's path.
func (i image) name() string { return i.repository[strings.LastIndexByte(i.repository, '/')+1:] }

// version is the tag, else the digest.
func (i image) version() string { return cmp.Or(i.tag, i.digest) }

// purl is the package URL of the image: of type oci where its digest is known
// (a name is lower-case there), else of type docker.
func (i image) purl() string {
	if i.name() == "" || i.version() == "" {
		return ""
	}
	where := url.Values{}
	if i.digest != "" {
		if i.registry != "" {
			where.Set("repository_url", i.registry+"/"+i.repository)
		}
		if i.tag != "" {
			where.Set("tag", i.tag)
		}
		return "pkg:oci/" + strings.ToLower(i.name()) + "@" + url.QueryEscape(i.digest) + query(where)
	}
	if i.registry != "" {
		where.Set("repository_url", i.registry)
	}
	return "pkg:docker/" + i.repository + "@" + url.QueryEscape(i.tag) + query(where)
}

func query(where url.Values) string {
	if len(where) == 0 {
		return ""
	}
	return "?" + where.Encode()
}

// imageOf is the image that a service's version is read from: the one called
// as the service, else the first. False where there is none.
func imageOf(service string, references []string) (image, bool) {
	for _, r := range references {
		if i := parseImage(r); i.name() == service {
			return i, true
		}
	}
	if len(references) == 0 {
		return image{}, false
	}
	return parseImage(references[0]), true
}
