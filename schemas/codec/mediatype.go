package codec

import "strings"

// form is how a record's value is written.
type form uint8

const (
	unstated form = iota // no content type
	jsonData
	msgpackData
	structuredJSON
	structuredMsgpack
	batch
	unreadableForm // a whole event in a format that is not read here
	text           // data that is not read here: a string
	opaque         // data that is not read here: bytes
)

// The content types that we write.
const (
	jsonType              = "application/json"
	msgpackType           = "application/msgpack"
	structuredJSONType    = "application/cloudevents+json"
	structuredMsgpackType = "application/cloudevents+msgpack"
)

// formOf reads a content type (RFC 9110, section 8.3.1): parameters don't
// matter, nor does case.
func formOf(contentType string) form {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.TrimSpace(media)
	switch media { // as nearly everyone writes them
	case "":
		return unstated
	case jsonType:
		return jsonData
	case msgpackType:
		return msgpackData
	case structuredJSONType:
		return structuredJSON
	case structuredMsgpackType:
		return structuredMsgpack
	}
	media = strings.ToLower(media)
	switch {
	case media == structuredJSONType, media == "application/cloudevents":
		return structuredJSON
	case media == structuredMsgpackType:
		return structuredMsgpack
	case strings.HasPrefix(media, "application/cloudevents-batch"):
		return batch
	case strings.HasPrefix(media, "application/cloudevents+"):
		return unreadableForm
	case media == jsonType, media == "text/json", strings.HasSuffix(media, "+json"):
		return jsonData
	case media == msgpackType, media == "application/x-msgpack", media == "application/vnd.msgpack",
		strings.HasSuffix(media, "+msgpack"):
		return msgpackData
	case strings.HasPrefix(media, "text/"), media == "application/xml", strings.HasSuffix(media, "+xml"):
		return text
	}
	return opaque
}
