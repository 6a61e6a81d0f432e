// Package catalog knows which names tools use for one thing, and which may be
// two names of it.
//
// Every tool calls the same service otherwise: Checkout API in the pager,
// checkout-svc in an alert, acme/checkout on GitHub. Names are read from the
// events themselves (Read), likely aliases are proposed (Propose), and a person
// confirms or refuses them: that is a fact like any other, so it corrects what
// was said before it.
//
// # How proposals are scored
//
// Each piece of evidence has a weight from 0 to 1, how often two names of which
// no more is known than it are one: confidence is 1 - ∏(1 - weight), as if they
// erred apart from each other (noisy or: Pearl, Probabilistic Reasoning in
// Intelligent Systems, 1988, 4.3.2). The weights are set by hand.
//
//	letters      0.90  the same letters and digits, whatever the case and separators
//	affixes      0.75  the same without -svc, -service, -api, -app, prod-, ...
//	singular     0.50  the same but for an s at the end
//	last part    0.50  the last segment of a path is the other: acme/checkout
//	address      0.95  one repository's path, with and without host, scheme and .git
//	workload     0.80  its instances say that they are the other's, by their share
//	incident     0.80  its alerts are in incidents of the other, by their share; 0.50 of a single one
//	repository   0.50  deployed from a repository that only the other lists
//	noreply      0.95  a GitHub address that has the login in it
//	local part   0.70  an e-mail address before the @ is the login or the name
//	initial      0.50  the first letter and the last name
//	commits      0.60  the only author of the commits of the other's changes, by their share; 0.30 of a single one
//
// Two names behind each of which there are deployments and observations are
// likely two services: their confidence is multiplied by 0.3.
package catalog
