package clickhouse

import (
	"context"
	"io"
	"net/url"
)

// Ask runs one statement and returns its answer, in the format that the
// statement names. It takes as long as ctx lets it. The answer is held in
// memory: ask for sums, not for rows.
func (c *Client) Ask(ctx context.Context, statement string, settings map[string]string) ([]byte, error) {
	params := url.Values{}
	for name, value := range settings {
		params.Set(name, value)
	}
	endpoint := c.endpoint
	endpoint.RawQuery = params.Encode()
	request, err := newRequest(ctx, endpoint.String(), []byte(statement))
	if err != nil {
		return nil, err
	}
	request.Header.Set("X-ClickHouse-User", c.user)
	if c.password != "" {
		request.Header.Set("X-ClickHouse-Key", c.password)
	}
	reply, err := c.http.Do(request)
	if err != nil {
		return nil, unreachable(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		return nil, unreachable(err)
	}
	return text, exceptionOf(reply, string(text))
}
