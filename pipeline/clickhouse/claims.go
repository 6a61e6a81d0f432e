package clickhouse

import (
	"context"
	"regexp"
	"strings"

	tables "github.com/whencehq/whence/schemas/clickhouse"
)

// claims say which services claim which paths of which repositories, as
// declared: what the view whence.change_services goes by, for changes as a
// ranking sees them.
type claims struct {
	meanings map[string]string  // of repositories: alias → canonical
	owners   map[string][]claim // canonical repository → who claims what in it
	hash     uint64
}

// claim is a service's path: the beginning of a changed path, by whole segments.
type claim struct {
	service  string
	path     string         // empty: the whole repository
	pattern  *regexp.Regexp // nil: the path is meant as it is written
	segments int
}

func (r *Situations) readClaims(ctx context.Context) (claims, error) {
	c := claims{meanings: map[string]string{}, owners: map[string][]claim{}}
	err := r.client.rows(ctx, tables.RepositoryAliases, func(scan func(...any) error) error {
		var alias, canonical string
		err := scan(&alias, &canonical)
		c.meanings[alias] = canonical
		return err
	})
	if err != nil {
		return c, err
	}
	h := newHash()
	err = r.client.rows(ctx, tables.PathOwners, func(scan func(...any) error) error {
		var repository, expression string
		var segments uint64
		var own claim
		if err := scan(&repository, &own.service, &own.path, &expression, &segments); err != nil {
			return err
		}
		own.segments = int(segments)
		if strings.ContainsAny(own.path, "*?") {
			// The dialect is that of ClickHouse, so one that can't be read matches nothing there either.
			if own.pattern, _ = regexp.Compile(expression); own.pattern == nil {
				return nil
			}
		}
		h.text(repository, own.service, own.path)
		c.owners[repository] = append(c.owners[repository], own)
		return nil
	})
	if len(c.owners) > 0 {
		for alias, canonical := range c.meanings {
			if len(c.owners[canonical]) > 0 {
				c.hash += hashOfTexts(alias, canonical) // in whatever order
			}
		}
		c.hash += h.Sum64()
	}
	return c, err
}

func hashOfTexts(all ...string) uint64 {
	h := newHash()
	h.text(all...)
	return h.Sum64()
}

// canonical is what a repository's name means.
func (c *claims) canonical(repository string) string {
	if meaning, alias := c.meanings[repository]; alias {
		return meaning
	}
	return repository
}

// of are the services whose a change is that touches the paths, maybe some of
// them twice: for each path those that claim it with the most segments. Where no
// paths are known, those that claim all of the repository.
func (c *claims) of(repository string, paths []string) (services []string) {
	owners := c.owners[c.canonical(repository)]
	if len(owners) == 0 {
		return nil
	}
	if len(paths) == 0 {
		paths = []string{""}
	}
	for _, path := range paths {
		longest := -1
		var longestOf []string
		for i := range owners {
			o := &owners[i]
			switch {
			case o.segments < longest || !o.holds(path):
			case o.segments > longest:
				longest, longestOf = o.segments, []string{o.service}
			default:
				longestOf = append(longestOf, o.service)
			}
		}
		services = append(services, longestOf...)
	}
	return services
}

var leading = regexp.MustCompile(`^[.]?/+`)

func (o *claim) holds(path string) bool {
	path = leading.ReplaceAllString(path, "")
	return o.path == "" || strings.HasPrefix(path+"/", o.path+"/") || o.pattern != nil && o.pattern.MatchString(path)
}
