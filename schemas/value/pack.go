package value

import (
	"math"

	"github.com/vmihailenco/msgpack/v5"
)

var _ msgpack.CustomEncoder = Value{}

// EncodeMsgpack writes v as msgpack, numbers in their shortest integer form or
// as float64, members in the order they were read. Reading it gives v again.
func (v Value) EncodeMsgpack(enc *msgpack.Encoder) error {
	switch v.Kind() {
	case Null:
		return enc.EncodeNil()
	case Bool:
		return enc.EncodeBool(v.node().bits != 0)
	case Int:
		return enc.EncodeInt(int64(v.node().bits))
	case Uint:
		return enc.EncodeUint(v.node().bits)
	case Float:
		return enc.EncodeFloat64(math.Float64frombits(v.node().bits))
	case String:
		return enc.EncodeString(v.node().str)
	case Array:
		return v.encodeArray(enc)
	}
	return v.encodeMap(enc)
}

func (v Value) encodeArray(enc *msgpack.Encoder) error {
	if err := enc.EncodeArrayLen(v.Len()); err != nil {
		return err
	}
	for element := range v.Elements() {
		if err := element.EncodeMsgpack(enc); err != nil {
			return err
		}
	}
	return nil
}

func (v Value) encodeMap(enc *msgpack.Encoder) error {
	if err := enc.EncodeMapLen(v.Len()); err != nil {
		return err
	}
	for key, member := range v.Members() {
		if err := enc.EncodeString(key); err != nil {
			return err
		}
		if err := member.EncodeMsgpack(enc); err != nil {
			return err
		}
	}
	return nil
}
