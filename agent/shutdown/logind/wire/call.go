package wire

import (
	"encoding/binary"
	"fmt"
)

// A Call is a method call to be sent.
type Call struct {
	Serial                               uint32
	Destination, Path, Interface, Member string
	// Args are strings, numbers (uint32) and lists of strings.
	Args []any
}

// Bytes encodes the call.
func (c Call) Bytes() ([]byte, error) {
	var signature string
	var body []byte
	for _, arg := range c.Args {
		switch value := arg.(type) {
		case string:
			signature, body = signature+"s", appendText(body, value)
		case uint32:
			signature, body = signature+"u", binary.LittleEndian.AppendUint32(pad(body, 4), value)
		case []string:
			signature, body = signature+"as", appendTexts(body, value)
		default:
			return nil, fmt.Errorf("call %s: an argument of type %T cannot be sent", c.Member, arg)
		}
	}
	message := []byte{'l', byte(MethodCall), 0, 1}
	message = binary.LittleEndian.AppendUint32(message, uint32(len(body)))
	message = binary.LittleEndian.AppendUint32(message, c.Serial)
	fields := c.fields(signature)
	message = binary.LittleEndian.AppendUint32(message, uint32(len(fields)))
	return append(pad(append(message, fields...), 8), body...), nil
}

func (c Call) fields(signature string) (all []byte) {
	for _, f := range []struct {
		code, kind byte
		text       string
	}{
		{fieldPath, 'o', c.Path}, {fieldInterface, 's', c.Interface}, {fieldMember, 's', c.Member},
		{fieldDestination, 's', c.Destination},
	} {
		if f.text != "" {
			all = appendText(append(pad(all, 8), f.code, 1, f.kind, 0), f.text)
		}
	}
	if signature != "" {
		all = append(pad(all, 8), fieldSignature, 1, 'g', 0, byte(len(signature)))
		all = append(append(all, signature...), 0)
	}
	return all
}

func pad(b []byte, to int) []byte {
	for len(b)%to != 0 {
		b = append(b, 0)
	}
	return b
}

func appendText(b []byte, text string) []byte {
	b = binary.LittleEndian.AppendUint32(pad(b, 4), uint32(len(text)))
	return append(append(b, text...), 0)
}

func appendTexts(b []byte, all []string) []byte {
	var list []byte
	for _, text := range all {
		list = appendText(list, text)
	}
	b = binary.LittleEndian.AppendUint32(pad(b, 4), uint32(len(list)))
	return append(b, list...)
}
