package ingest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/whencehq/whence/schemas/source"
)

// object is a JSON object.
type object = map[string]any

// OpenAPI is the document of all endpoints, made of the table that the server
// is made of. schemas/openapi.json has it too.
func OpenAPI() []byte { return openAPI() }

var openAPI = sync.OnceValue(func() []byte {
	paths := object{
		"/livez":        object{"get": probe("livez", "Whether the gateway is alive.")},
		"/readyz":       object{"get": probe("readyz", "Whether the gateway takes events: Kafka answers.")},
		"/openapi.json": object{"get": operation("openapi", "system", "This document.", object{"200": response("The document.", object{jsonType: schema(object{"type": "object"})})})},
	}
	for _, e := range endpoints() {
		paths[e.path] = object{"post": e.operation()}
	}
	text, err := json.MarshalIndent(object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Whence gateway", "version": "1", "license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
			"description": "Takes what tools send and writes it to Kafka. An answer of 2xx means that Kafka has acknowledged all of it; what can't be read is refused with a problem (RFC 9457) and leaves nothing behind.",
		},
		"tags":  []object{{"name": "events"}, {"name": "hooks"}, {"name": "findings"}, {"name": "telemetry"}, {"name": "track"}, {"name": "system"}},
		"paths": paths,
		"components": object{
			"schemas": schemas(),
			"headers": object{"Retry-After": object{"description": "Seconds after which to send it again.", "schema": object{"type": "integer", "minimum": 1}}},
			"securitySchemes": object{
				"bearer":    object{"type": "http", "scheme": "bearer", "description": "A token of ingest.tokens, or the secret of a tool that can't sign."},
				"basic":     object{"type": "http", "scheme": "basic", "description": "The same as password or, as Segment's clients send it, as user."},
				"signature": object{"type": "apiKey", "in": "header", "name": "X-Hub-Signature-256", "description": "What the tool signs with; each tool has a header of its own, which its endpoint names."},
			},
		},
	}, "", "  ")
	if err != nil {
		panic(err) // maps and strings
	}
	return append(text, '\n')
})

func schemas() object {
	text := object{"type": "string"}
	named := object{"type": "string", "minLength": 1}
	unset := object{"type": []string{"string", "null"}} // null is as if it weren't there: JSON event format, section 2.2
	return object{
		"Accepted": object{
			"type": "object", "required": []string{"success", "records"}, "additionalProperties": false,
			"properties": object{"success": object{"const": true}, "records": object{"type": "integer", "minimum": 0, "description": "Records that Kafka has acknowledged."}},
		},
		"Problem": object{
			"type": "object", "required": []string{"type", "title", "status", "detail", "instance", "reason"}, "additionalProperties": false,
			"properties": object{
				"type": text, "title": text, "status": object{"type": "integer"}, "detail": text, "instance": text,
				"reason": object{"type": "string", "description": "Classes problems; those of what can't be read are the reasons of dead letters."},
				"field":  object{"type": "string", "description": "What is wrong, where it is one field: data.service, [3].time, query.branch."},
				"hint":   text,
			},
		},
		"Status": object{ // google.rpc.Status
			"type": "object", "required": []string{"code", "message"},
			"properties": object{"code": object{"type": "integer"}, "message": text},
		},
		"Exported": object{ // Export...ServiceResponse
			"type": "object", "properties": object{"partialSuccess": object{"type": "object", "additionalProperties": text}}, "additionalProperties": false,
		},
		"CloudEvent": object{
			"type": "object", "required": []string{"specversion", "id", "source", "type", "time"},
			"properties": object{
				"specversion": object{"const": "1.0"}, "id": named, "source": named, "type": named, "subject": unset,
				"time": object{"type": "string", "format": "date-time"}, "datacontenttype": unset, "data": true,
			},
		},
	}
}

// tag is what an endpoint is listed under.
func (e *endpoint) tag() string {
	switch {
	case e.hook():
		return "hooks"
	case e.otlp != nil:
		return "telemetry"
	case e.source == nil:
		return "events"
	case strings.HasPrefix(e.path, "/findings/"):
		return "findings"
	}
	return "track"
}

func (e *endpoint) operation() object {
	o := operation(strings.Trim(strings.ReplaceAll(e.path, "/", "-"), "-"), e.tag(), e.title+".", e.responses())
	o["description"] = e.description()
	content := object{}
	for _, media := range e.mediaTypes() {
		content[media] = schema(e.bodySchema(media))
	}
	o["requestBody"] = object{"required": true, "content": content}
	// Whether something is wanted is a matter of configuration: {} is nothing.
	o["security"] = []object{{}, {"bearer": []string{}}, {"basic": []string{}}}
	if e.hook() {
		o["security"] = []object{{}, {"bearer": []string{}}, {"signature": []string{}}}
	}
	if e.hints {
		var parameters []object
		for _, name := range source.Hints() {
			parameters = append(parameters, object{
				"name": name, "in": "query", "description": "The " + name + ", where the body doesn't say it.",
				"schema": object{"type": "string", "maxLength": maxHint, "pattern": `^[^\u0000-\u001f\u007f]*$`},
			})
		}
		o["parameters"] = parameters
	}
	return o
}

func (e *endpoint) description() string {
	if !e.hook() {
		return e.doc
	}
	var headers []string
	for _, p := range proofs(e.source.Signature) {
		headers = append(headers, p.header)
	}
	return e.doc + " Proof of its sender: " + strings.Join(headers, " or ") + "."
}

// mediaTypes are the content types for people: the wildcard is left out.
func (e *endpoint) mediaTypes() []string {
	var all []string
	for _, media := range e.media {
		if media != anyJSON {
			all = append(all, media)
		}
	}
	return all
}

func (e *endpoint) bodySchema(media string) object {
	event := object{"$ref": "#/components/schemas/CloudEvent"}
	switch media {
	case cloudEventType:
		return event
	case batchType:
		return object{"type": "array", "items": event, "description": fmt.Sprintf("At most %d events.", maxBatch)} // more is 413, which maxItems would have as 400
	case protobufType, msgpackType, linesType:
		return object{"contentMediaType": media}
	case formType:
		return object{"type": "object", "required": []string{"payload"}, "properties": object{"payload": object{"type": "string"}}}
	}
	if e.source == nil {
		return object{} // a CloudEvent, a CDEvent, an array of both, or data of binary mode
	}
	if e.lists {
		return object{"type": []string{"object", "array"}}
	}
	return object{"type": "object"}
}

func (e *endpoint) responses() object {
	problem := object{"application/problem+json": schema(object{"$ref": "#/components/schemas/Problem"})}
	done, refused := object{jsonType: schema(object{"$ref": "#/components/schemas/Accepted"})}, problem
	if e.otlp != nil {
		done = object{jsonType: schema(object{"$ref": "#/components/schemas/Exported"}), protobufType: object{}}
		refused = object{jsonType: schema(object{"$ref": "#/components/schemas/Status"}), protobufType: object{}, "application/problem+json": problem["application/problem+json"]}
	}
	all := object{"200": response("Kafka has acknowledged it.", done)}
	for status, why := range map[int]string{
		http.StatusBadRequest: "It can't be read. Nothing was written.", http.StatusUnauthorized: "A wrong signature or token, or none.",
		http.StatusForbidden: "No secret is configured, so nothing is taken.", http.StatusMethodNotAllowed: "Only POST is answered here.",
		http.StatusRequestTimeout: "The body did not come in time.", http.StatusRequestEntityTooLarge: "The body is too large, unpacked.",
		http.StatusUnsupportedMediaType: "A content type or encoding that is not read here.",
		http.StatusTooManyRequests:      "Too much is under way.", http.StatusInternalServerError: "The gateway failed.",
		http.StatusServiceUnavailable: "Kafka has not acknowledged all of it: send it again.",
	} {
		r := response(why, refused)
		if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
			r["headers"] = object{"Retry-After": object{"$ref": "#/components/headers/Retry-After"}}
		}
		all[strconv.Itoa(status)] = r
	}
	return all
}

func operation(id, tag, summary string, responses object) object {
	return object{"operationId": id, "tags": []string{tag}, "summary": summary, "responses": responses}
}

func response(description string, content object) object {
	return object{"description": description, "content": content}
}

func schema(s object) object { return object{"schema": s} }

func probe(id, summary string) object {
	text := object{"text/plain": schema(object{"type": "string"})}
	return operation(id, "system", summary, object{"200": response("It is.", text), "503": response("It is not, and why.", text)})
}
