package button

import (
	"encoding/binary"
	"testing"
)

// event packs what acpi_bus_generate_netlink_event sends: headers, and one attribute with a struct
// acpi_genl_event.
func event(class string) []byte {
	value := make([]byte, 44)
	copy(value, class)
	copy(value[20:], "LNXPWRBN:00")
	message := binary.NativeEndian.AppendUint16(make([]byte, headers),
		uint16(attributeHeader+len(value)))
	return append(binary.NativeEndian.AppendUint16(message, attributeEvent), value...)
}

func TestIsPress(t *testing.T) {
	t.Parallel()
	other := append(make([]byte, headers), 5, 0, 7, 0, 1, 0, 0, 0)
	tests := map[string]struct {
		message []byte
		want    bool
	}{
		"the power button":           {event("button/power"), true},
		"after another attribute":    {append(other, event("button/power")[headers:]...), true},
		"the sleep button":           {event("button/sleep"), false},
		"a longer class":             {event("button/power/x"), false},
		"no attribute":               {make([]byte, headers), false},
		"cut off":                    {event("button/power")[:headers+10], false},
		"nothing":                    {nil, false},
		"an attribute of no length":  {append(make([]byte, headers), 0, 0, 1, 0), false},
		"an attribute that is short": {append(make([]byte, headers), 6, 0, 1, 0, 'b', 'u'), false},
	}
	for name, tc := range tests {
		if got := isPress(tc.message); got != tc.want {
			t.Errorf("%s: a press: %v", name, got)
		}
	}
}

func FuzzIsPress(f *testing.F) {
	f.Add(event("button/power"))
	f.Add([]byte{})
	f.Fuzz(func(_ *testing.T, message []byte) { isPress(message) })
}
