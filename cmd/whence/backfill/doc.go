// Package backfill reads what a tool knows of the past from its REST API, and
// dresses each object as the webhook that the tool would have sent: same body,
// same headers, with `whence-backfill: 1`. What becomes of it is decided where
// it is for webhooks, in processors/decode, so both say the same facts, under
// the same ids, with the times of what happened.
//
//	plan, err := backfill.GitHub(backfill.Options{...})
//	err = (&backfill.Run{Plan: plan, State: state, Publish: ..., Flush: ...}).Do(ctx)
//
// A plan is sections, each a list of the API that is read page by page. After a
// page is published and acknowledged its cursor is written to the state: a
// process that is killed goes on there, and publishes at most a page twice,
// which changes nothing. Lists are read in an order in which an object that
// changes meanwhile is read again and never missed: by the time of the last
// change, upwards from the cursor, or by that of creation, downwards. Where an API
// has neither (GitHub's alerts), what has changed meanwhile is read at the end.
//
// Deployments are read one further back than the others: of each environment the
// last that succeeded before the beginning, so that what the first one within
// replaced is known, and changes that were there before are not taken for its.
// Of GitHub and GitLab the environments are read, too: one may have had no
// deployment since.
//
// What was open in the beginning is read however old it is: issues and alerts of
// GitHub, issues of GitLab and Jira, incidents of PagerDuty up to five weeks before.
//
// An API shows issues as they are, and webhooks showed them as they were: with the
// labels of then. So of each issue that a label or type may make an incident the
// history is read, one list of GitHub and three of GitLab, and taken back change by
// change.
package backfill
