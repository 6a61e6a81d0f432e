package ingest

import (
	"net/http"
	"net/url"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/schemas/codec"
)

// hook takes one webhook: a record as it came.
func (x *exchange) hook() error {
	body, err := x.body()
	if err != nil {
		return err
	}
	contentType := x.request.Header.Get("Content-Type")
	if x.media == formType { // GitHub's other way: the same JSON as a field of a form
		form, err := url.ParseQuery(string(body))
		if err != nil || !form.Has("payload") {
			return problem(http.StatusBadRequest, reasonMalformed, "payload: the form has none").at("payload")
		}
		body, contentType = []byte(form.Get("payload")), jsonType
	}
	x.bytes = int64(len(body))
	return x.single(x.record(body, contentType))
}

// single checks and writes one record of the endpoint's source. What is no
// object says nothing, though a reader may find no fault with null.
func (x *exchange) single(r pipeline.Record) error {
	if first := firstByte(r.Value); len(r.Value) > 0 && first != '{' && !(first == '[' && x.endpoint.lists) {
		return problem(http.StatusBadRequest, string(codec.WrongType), "the body is no JSON object")
	}
	topic := x.topic(x.endpoint.source.Topic)
	records := []pipeline.Record{r}
	if _, err := x.check(topic, records, whole); err != nil {
		return err
	}
	return x.write(func(int) string { return topic }, records)
}
