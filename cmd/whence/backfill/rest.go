package backfill

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// rest reads an API that no Go library can be had for.
type rest struct {
	base         string // without a slash at its end
	login, token string
	client       *http.Client
}

func newREST(o Options) *rest {
	return &rest{base: strings.TrimSuffix(o.URL, "/"), login: o.Login, token: o.Token, client: o.Client}
}

func (r *rest) get(ctx context.Context, path string, query url.Values, into any) error {
	address := r.base + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json")
	switch {
	case r.login != "":
		request.SetBasicAuth(r.login, r.token)
	case r.token != "":
		request.Header.Set("Authorization", "Bearer "+r.token)
	}
	reply, err := r.client.Do(request)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(reply.Body, 300))
		return asMissing(reply.StatusCode, fmt.Errorf("%s answers %s: %s", address, reply.Status, strings.TrimSpace(string(text))))
	}
	if err := json.NewDecoder(reply.Body).Decode(into); err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	return nil
}
