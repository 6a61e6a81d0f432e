package ingest

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/whencehq/whence/schemas/source"
)

// proof is one way to show that a request comes from somebody who knows a
// secret. Signatures are over the body as it was sent, packed or not, for that
// is what senders sign.
type proof struct {
	header string // who sends it wants to be known this way
	early  bool   // it needs no body
	holds  func(secret string, r *http.Request, body []byte, now time.Time) error
}

// replayWindow is how far a signed time may be from now, either way: what was
// recorded on its way is worth nothing after that. Slack and Standard Webhooks
// have the same.
const replayWindow = 5 * time.Minute

var (
	errWrong    = errors.New("it does not match")
	errStale    = errors.New("its timestamp is more than 5 minutes off")
	errNoStamp  = errors.New("its timestamp is missing, or no number of seconds")
	tokenHeader = "Authorization"
	// token stands in for a signature: bearer, or a user or password of Basic,
	// or the bare header, which is all that some tools can be told to send.
	token = proof{header: tokenHeader, early: true, holds: func(secret string, r *http.Request, _ []byte, _ time.Time) error {
		if presents(r, secret) {
			return nil
		}
		return errWrong
	}}
)

// proofs are the ways that a source may take, the first whose header is there.
func proofs(kind source.Signature) []proof {
	switch kind {
	case source.GitHub:
		return []proof{signed("X-Hub-Signature-256", "sha256=")}
	case source.GitLab:
		return []proof{standardWebhooks, gitlabToken}
	case source.PagerDuty:
		return []proof{signed("X-PagerDuty-Signature", "v1=")}
	case source.Sentry:
		return []proof{signed("Sentry-Hook-Signature", "")}
	case source.LaunchDarkly:
		return []proof{signed("X-LD-Signature", "")}
	case source.Atlassian: // servers of one's own sign only since lately
		return []proof{signed("X-Hub-Signature", "sha256="), token}
	case source.Grafana: // signs since version 12, and only if told to
		return []proof{grafana, token}
	}
	return []proof{stamped, token}
}

// signed is an HMAC-SHA-256 of the body in hexadecimal digits; several may
// stand in the header, after commas (PagerDuty: one a secret while they change).
func signed(header, prefix string) proof {
	return proof{header: header, holds: func(secret string, r *http.Request, body []byte, _ time.Time) error {
		return anyHex(r.Header.Get(header), prefix, digest([]byte(secret), body))
	}}
}

// gitlabToken is the secret itself.
var gitlabToken = proof{header: "X-Gitlab-Token", early: true, holds: func(secret string, r *http.Request, _ []byte, _ time.Time) error {
	if !same(r.Header.Get("X-Gitlab-Token"), secret) {
		return errWrong
	}
	return nil
}}

// standardWebhooks is the signature of standardwebhooks.com, which GitLab
// sends for a signing token: v1, and the base64 of the HMAC of id.time.body;
// several after spaces. The key is the base64 after whsec_.
var standardWebhooks = proof{header: "Webhook-Signature", holds: func(secret string, r *http.Request, body []byte, now time.Time) error {
	stamp := r.Header.Get("Webhook-Timestamp")
	if err := fresh(stamp, now); err != nil {
		return err
	}
	key := []byte(secret)
	if encoded, ok := strings.CutPrefix(secret, "whsec_"); ok {
		if decoded, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			key = decoded
		}
	}
	want := digest(key, []byte(r.Header.Get("Webhook-Id")+"."+stamp+"."), body)
	for _, one := range strings.Fields(r.Header.Get("Webhook-Signature")) {
		if encoded, ok := strings.CutPrefix(one, "v1,"); ok {
			if got, err := base64.StdEncoding.DecodeString(encoded); err == nil && hmac.Equal(got, want) {
				return nil
			}
		}
	}
	return errWrong
}}

// grafana signs the body, or timestamp:body where its contact point names the
// header of the timestamp.
var grafana = proof{header: "X-Grafana-Alerting-Signature", holds: func(secret string, r *http.Request, body []byte, now time.Time) error {
	stamp := r.Header.Get("X-Grafana-Alerting-Timestamp")
	if stamp == "" {
		return anyHex(r.Header.Get("X-Grafana-Alerting-Signature"), "", digest([]byte(secret), body))
	}
	if err := fresh(stamp, now); err != nil {
		return err
	}
	return anyHex(r.Header.Get("X-Grafana-Alerting-Signature"), "", digest([]byte(secret), []byte(stamp+":"), body))
}}

// stamped is Slack's scheme under our headers, for scripts that can sign.
var stamped = proof{header: "X-Whence-Signature", holds: func(secret string, r *http.Request, body []byte, now time.Time) error {
	stamp := r.Header.Get("X-Whence-Timestamp")
	if err := fresh(stamp, now); err != nil {
		return err
	}
	return anyHex(r.Header.Get("X-Whence-Signature"), "v0=", digest([]byte(secret), []byte("v0:"+stamp+":"), body))
}}

func digest(key []byte, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, key)
	for _, p := range parts {
		_, _ = mac.Write(p)
	}
	return mac.Sum(nil)
}

func anyHex(header, prefix string, want []byte) error {
	for one := range strings.SplitSeq(header, ",") {
		digits, ok := strings.CutPrefix(strings.TrimSpace(one), prefix)
		if got, err := hex.DecodeString(digits); ok && err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return errWrong
}

// fresh refuses seconds since 1970 that are too far from now.
func fresh(stamp string, now time.Time) error {
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return errNoStamp
	}
	if off := now.Unix() - seconds; off > int64(replayWindow/time.Second) || off < -int64(replayWindow/time.Second) {
		return errStale
	}
	return nil
}

// presents says whether a request shows a secret as its Authorization.
func presents(r *http.Request, secret string) bool {
	header := r.Header.Get(tokenHeader)
	if user, password, ok := r.BasicAuth(); ok {
		// Segment's clients send their write key as the user.
		return same(user, secret) || same(password, secret)
	}
	if scheme, bearer, ok := strings.Cut(header, " "); ok && strings.EqualFold(scheme, "bearer") {
		return same(strings.TrimSpace(bearer), secret)
	}
	return same(header, secret)
}

// same compares in constant time, lengths too.
func same(have, want string) bool {
	a, b := sha256.Sum256([]byte(have)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}
