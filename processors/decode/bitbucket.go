package decode

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The webhooks of Bitbucket Cloud (Event payloads of its documentation), and
// of Data Center the merged pull request. The structs have only the fields that
// rules use: those of go-playground/webhooks, the library there is, take every
// author for a user and know neither the commit of a status nor Data Center in
// the same shape.

func bitbucketReader() reader {
	all := kinds{
		ofKindEach("repo:push", bitbucketWorks, bitbucketPushes()),
		ofKind("pullrequest:fulfilled", bitbucketPullRules()...),
		bitbucketStatuses("repo:commit_status_created"),
		bitbucketStatuses("repo:commit_status_updated"),
		ofKind("pr:merged", bitbucketServerRules()...),
	}
	read := func(p *payload, s *said) error {
		var envelope struct {
			Key        string              `json:"eventKey"` // of Data Center
			Repository bitbucketRepository `json:"repository"`
			Pull       struct {
				To struct {
					Repository bitbucketServerRepository `json:"repository"`
				} `json:"toRef"`
				Updated string `json:"updated_on"`
			} `json:"pullrequest"` // pullRequest too: names are matched in any case
		}
		if err := json.Unmarshal(p.body, &envelope); err != nil {
			return malformed(err)
		}
		name := cmp.Or(p.header("x-event-key"), envelope.Key)
		if name == "" {
			return unkind("x-event-key")
		}
		from := envelope.Repository.place()
		if from.repository == "" {
			from = envelope.Pull.To.Repository.place()
		}
		if err := all.say(s, name, from); err != nil {
			return err
		}
		return s.original("com.bitbucket."+strings.ReplaceAll(name, ":", "."), from.origin, "", bitbucketTime(envelope.Pull.Updated))
	}
	return reader{source: "bitbucket", read: read, rows: all.rows()}
}

// bitbucketTime is a time of Cloud's, zero where it is none.
func bitbucketTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

type bitbucketLink struct {
	Href string `json:"href"`
}

type bitbucketRepository struct {
	FullName string `json:"full_name"`
	Main     struct {
		Name string `json:"name"`
	} `json:"mainbranch"`
	Links struct {
		HTML bitbucketLink `json:"html"`
	} `json:"links"`
}

func (r bitbucketRepository) place() place {
	name := r.FullName[strings.LastIndexByte(r.FullName, '/')+1:]
	return place{"bitbucket", cmp.Or(r.Links.HTML.Href, "https://bitbucket.org"), r.FullName, name}
}

// bitbucketServerRepository is one of Data Center.
type bitbucketServerRepository struct {
	Slug    string `json:"slug"`
	Project struct {
		Key string `json:"key"`
	} `json:"project"`
}

func (r bitbucketServerRepository) place() place {
	repository := named(r.Project.Key, r.Slug)
	return place{"bitbucket", "bitbucket/" + cmp.Or(repository, "server"), repository, r.Slug}
}

type bitbucketUser struct {
	Nickname string `json:"nickname"`
	Name     string `json:"display_name"`
}

// bitbucketCommit is one of a push. Its author may be no user.
type bitbucketCommit struct {
	Hash    string `json:"hash"`
	Message string `json:"message"`
	Date    string `json:"date"`
	Author  struct {
		Raw  string        `json:"raw"` // Ada <ada@example.com>
		User bitbucketUser `json:"user"`
	} `json:"author"`
}

func (c bitbucketCommit) commit() commit {
	raw, _, _ := strings.Cut(c.Author.Raw, " <")
	return commit{revision: c.Hash, message: c.Message, author: cmp.Or(c.Author.User.Nickname, c.Author.User.Name, raw), at: bitbucketTime(c.Date)}
}

type bitbucketPush struct {
	Repository bitbucketRepository `json:"repository"`
	Push       struct {
		Changes []struct {
			New *struct {
				Type   string          `json:"type"`
				Name   string          `json:"name"`
				Target bitbucketCommit `json:"target"`
			} `json:"new"`
			Commits []bitbucketCommit `json:"commits"` // the newest first, at most five
		} `json:"changes"`
	} `json:"push"`
}

// bitbucketWorks are the changes that a push brings to the main branch, which
// old webhooks don't name.
func bitbucketWorks(m hook[bitbucketPush]) []pushed {
	mains := []string{"main", "master"}
	if main := m.said.Repository.Main.Name; main != "" {
		mains = []string{main}
	}
	var all []pushed
	for _, change := range m.said.Push.Changes {
		if change.New == nil || change.New.Type != "branch" || !has(mains, change.New.Name) {
			continue
		}
		var commits []commit
		for _, c := range slices.Backward(change.Commits) {
			if c.Hash != "" && c.Hash != change.New.Target.Hash {
				commits = append(commits, c.commit())
			}
		}
		if change.New.Target.Hash != "" { // stated with its date, which the list may leave out
			commits = append(commits, change.New.Target.commit())
		}
		all = append(all, pushesOf(m.place, commits, bitbucketMergeOf)...)
	}
	return all
}

var bitbucketMerge = regexp.MustCompile(`\(pull request #(\d+)\)`)

func bitbucketMergeOf(message string) (m merge) {
	subject, title := subjectAndTitle(message)
	found := bitbucketMerge.FindStringSubmatch(subject)
	if found == nil {
		return m
	}
	m.number, _ = strconv.Atoi(found[1])
	if m.brings = strings.HasPrefix(subject, "Merged in "); m.brings {
		m.title = title
	} else {
		m.title = strings.TrimSpace(bitbucketMerge.ReplaceAllString(subject, ""))
	}
	return m
}

// short is how webhooks of pull requests name commits.
func short(hash string) string { return hash[:min(len(hash), 12)] }

func bitbucketPushes() rule[pushed] {
	return pushes{
		tool: "bitbucket", repository: "`repository.full_name`", request: "pull",
		when:     "`new` is a branch, the `repository.mainbranch`, main or master: the commits of each pull request, told by `(pull request #7)` in their messages, and those of none",
		revision: "`hash`", at: "`date`", author: "`author.user.nickname` or the name in `author.raw`", short: short, shortDoc: "12 digits of ",
		title:   "the first line of the last commit's message, of a merge commit's body",
		reverts: func(_ place, message string) string { return revertedCommit(message) },
	}.rule()
}

type bitbucketPull struct {
	Pull struct {
		ID          int64         `json:"id"`
		Title       string        `json:"title"`
		Description string        `json:"description"`
		Author      bitbucketUser `json:"author"`
		Updated     string        `json:"updated_on"`
		Merge       struct {
			Hash string `json:"hash"`
		} `json:"merge_commit"`
		Source struct {
			Commit struct {
				Hash string `json:"hash"`
			} `json:"commit"`
		} `json:"source"`
	} `json:"pullrequest"`
}

func bitbucketPullRules() []rule[hook[bitbucketPull]] {
	type m = hook[bitbucketPull]
	merged := field[m]{"merged_at", "`pullrequest.updated_on`", func(p m) any { return bitbucketTime(p.said.Pull.Updated) }}
	id := func(what string) field[m] {
		return field[m]{doc: "pull/`pullrequest.id`/" + what, from: func(p m) any { return named("pull", p.said.Pull.ID, what) }}
	}
	return []rule[m]{
		{to: "change.merged", id: id("merged"), time: merged, fields: []field[m]{
			{"change_id", "bitbucket/`repository.full_name`/pull/`pullrequest.id`", func(p m) any { return p.entity("pull", p.said.Pull.ID) }},
			{"repository", "`repository.full_name`", func(p m) any { return p.repository }},
			{"revision", "`pullrequest.merge_commit.hash`", func(p m) any { return p.said.Pull.Merge.Hash }},
			{"commits", "`pullrequest.source.commit.hash`", func(p m) any { return tip(p.said.Pull.Source.Commit.Hash) }},
			{"author", "`pullrequest.author.nickname`, `.display_name`", func(p m) any { return cmp.Or(p.said.Pull.Author.Nickname, p.said.Pull.Author.Name) }},
			merged,
			{"title", "`pullrequest.title`", func(p m) any { return p.said.Pull.Title }},
			{"reverts", "the commit that `pullrequest.description` says it reverts", func(p m) any { return revertedCommit(p.said.Pull.Description) }},
		}},
		{when: "the push that merged it is no change of its own", to: "fact.retracted", id: id("push"), time: merged,
			fields: unsays("12 digits of `pullrequest.merge_commit.hash`", func(p m) string { return short(p.said.Pull.Merge.Hash) })},
	}
}

type bitbucketStatus struct {
	Status struct {
		Name    string `json:"name"`
		Key     string `json:"key"`
		State   string `json:"state"`
		Created string `json:"created_on"`
		Updated string `json:"updated_on"`
		Commit  struct {
			Hash string `json:"hash"`
		} `json:"commit"`
		Links struct {
			Commit bitbucketLink `json:"commit"`
		} `json:"links"`
	} `json:"commit_status"`
}

func (s *bitbucketStatus) revision() string {
	href := s.Status.Links.Commit.Href
	return cmp.Or(s.Status.Commit.Hash, href[strings.LastIndexByte(href, '/')+1:])
}

var bitbucketOutcomes = map[string]string{"SUCCESSFUL": "success", "FAILED": "failure", "STOPPED": "cancelled"}

func bitbucketStatuses(name string) kind {
	return ofRuns(name, runs{
		when: "`commit_status.state` is not `INPROGRESS`", id: "status/the commit/`commit_status.key`/`commit_status.updated_on`",
		entity: "bitbucket/`repository.full_name`/status/the commit/`commit_status.key`", name: "`commit_status.name`, `commit_status.key`",
		revision:   "`commit_status.commit.hash`, the commit in `commit_status.links.commit.href`",
		repository: "`repository.full_name`", outcome: "`commit_status.state`: success of `SUCCESSFUL`, failure of `FAILED`, cancelled of `STOPPED`",
		started: "`commit_status.created_on`", ended: "`commit_status.updated_on`",
	}, func(m hook[bitbucketStatus]) run {
		s := &m.said.Status
		updated := bitbucketTime(s.Updated)
		return run{
			id: named("status", m.said.revision(), s.Key, updated), entity: m.entity("status", m.said.revision(), s.Key), name: cmp.Or(s.Name, s.Key),
			revision: m.said.revision(), repository: m.repository, outcome: bitbucketOutcomes[s.State], started: bitbucketTime(s.Created), ended: updated,
		}
	})
}

// bitbucketServerPull is a merged pull request of Data Center.
type bitbucketServerPull struct {
	Pull struct {
		ID          int64  `json:"id"`
		Title       string `json:"title"`
		Description string `json:"description"`
		Closed      int64  `json:"closedDate"` // milliseconds since 1970
		From        struct {
			LatestCommit string `json:"latestCommit"`
		} `json:"fromRef"`
		Author struct {
			User struct {
				Name string `json:"name"`
			} `json:"user"`
		} `json:"author"`
		Properties struct {
			Merge struct {
				ID string `json:"id"`
			} `json:"mergeCommit"`
		} `json:"properties"`
	} `json:"pullRequest"`
}

func bitbucketServerRules() []rule[hook[bitbucketServerPull]] {
	type m = hook[bitbucketServerPull]
	merged := field[m]{"merged_at", "`pullRequest.closedDate`", func(p m) any {
		if p.said.Pull.Closed == 0 {
			return nil
		}
		return time.UnixMilli(p.said.Pull.Closed)
	}}
	return []rule[m]{{
		when: "Data Center", to: "change.merged", time: merged,
		id: field[m]{doc: "pull/`pullRequest.id`/merged", from: func(p m) any { return named("pull", p.said.Pull.ID, "merged") }},
		fields: []field[m]{
			{"change_id", "bitbucket/`toRef.repository.project.key`/`toRef.repository.slug`/pull/`pullRequest.id`", func(p m) any { return p.entity("pull", p.said.Pull.ID) }},
			{"repository", "`toRef.repository.project.key`/`toRef.repository.slug`", func(p m) any { return p.repository }},
			{"revision", "`pullRequest.properties.mergeCommit.id`", func(p m) any { return p.said.Pull.Properties.Merge.ID }},
			{"commits", "`pullRequest.fromRef.latestCommit`", func(p m) any { return tip(p.said.Pull.From.LatestCommit) }},
			{"author", "`pullRequest.author.user.name`", func(p m) any { return p.said.Pull.Author.User.Name }},
			merged,
			{"title", "`pullRequest.title`", func(p m) any { return p.said.Pull.Title }},
			{"reverts", "the commit that `pullRequest.description` says it reverts", func(p m) any { return revertedCommit(p.said.Pull.Description) }},
		},
	}}
}
