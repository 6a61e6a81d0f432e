package ingest

import (
	"net/http"
	"strings"
	"time"

	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/schemas/source"
)

// access decides whose requests an endpoint takes.
type access struct {
	proofs   []proof
	secrets  []string
	insecure bool   // without a secret it takes anybody's
	query    bool   // ?token= is a proof too
	hint     string // where its secret is configured
}

// newAccess reads the secrets of an endpoint.
func newAccess(e *endpoint, c config.Ingest, loopback bool) (access, error) {
	a := access{proofs: []proof{token}, insecure: loopback || c.Insecure}
	where, secret := "ingest.tokens.v1", c.Tokens.V1
	if strings.HasPrefix(e.path, "/findings/") {
		where, secret = "ingest.tokens.findings", c.Tokens.Findings
	}
	a.hint = "name a token in " + where + ", listen on loopback, or start with --insecure"
	if e.hook() {
		where, secret = "ingest.secrets."+e.source.Name, c.Secrets[e.source.Name]
		a = access{proofs: proofs(e.source.Signature), query: e.source.Signature == source.Unsigned, insecure: c.InsecureHooks}
		a.hint = "name the secret in " + where + ", or start with --insecure-hooks"
	}
	var err error
	if a.secrets, err = secret.Read(); err != nil {
		return a, &configError{where, err}
	}
	return a, nil
}

// configError is about a secret that can't be read.
type configError struct {
	where string
	err   error
}

func (e *configError) Error() string { return e.where + ": " + e.err.Error() }
func (e *configError) Unwrap() error { return e.err }

// closed: nobody can get in.
func (a *access) closed() bool { return len(a.secrets) == 0 && !a.insecure }

// early decides what can be decided before the body is read. It says whether
// the body is needed, for late.
func (a *access) early(r *http.Request, now time.Time) (needsBody bool, err error) {
	if len(a.secrets) == 0 {
		if !a.insecure {
			return false, problem(http.StatusForbidden, reasonNoSecret, "no secret is configured for this endpoint, so it takes nothing").hinting(a.hint)
		}
		if r.Header.Get("Origin") != "" {
			// A page in the browser of somebody on this machine: any site could post here.
			return false, problem(http.StatusForbidden, reasonNoSecret, "requests of web pages need a token").hinting(a.hint)
		}
		return false, nil
	}
	if a.query && r.URL.Query().Has("token") {
		return false, a.any(func(secret string) error {
			if same(r.URL.Query().Get("token"), secret) {
				return nil
			}
			return errWrong
		}, "the query's token")
	}
	p := a.chosen(r)
	if p == nil {
		return false, a.refuse("%s is missing", a.proofs[0].header)
	}
	if !p.early {
		return true, nil
	}
	return false, a.any(func(secret string) error { return p.holds(secret, r, nil, now) }, p.header)
}

// late checks what is signed.
func (a *access) late(r *http.Request, body []byte, now time.Time) error {
	p := a.chosen(r)
	return a.any(func(secret string) error { return p.holds(secret, r, body, now) }, p.header)
}

func (a *access) chosen(r *http.Request) *proof {
	for i := range a.proofs {
		if r.Header.Get(a.proofs[i].header) != "" {
			return &a.proofs[i]
		}
	}
	return nil
}

func (a *access) any(holds func(secret string) error, what string) error {
	var why error
	for _, secret := range a.secrets {
		if why = holds(secret); why == nil {
			return nil
		}
	}
	return a.refuse("%s: %v", what, why)
}

func (a *access) refuse(format string, args ...any) error {
	p := problem(http.StatusUnauthorized, reasonUnauthorized, format, args...)
	if a.proofs[len(a.proofs)-1].header == tokenHeader {
		p = p.with("WWW-Authenticate", "Bearer")
	}
	return p
}
