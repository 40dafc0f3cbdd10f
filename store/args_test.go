package store

import (
	"encoding/json"
	"errors"
	"math/big"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
)

type color byte // has its text on the value

func (c color) MarshalText() ([]byte, error) { return []byte{'#', '0' + byte(c)}, nil }

type point struct{ X, Y int } // has its JSON on the pointer

func (p *point) MarshalJSON() ([]byte, error) { return json.Marshal([]int{p.X, p.Y}) }

func TestArguments(t *testing.T) {
	type word string
	at := time.UnixMicro(1_700_000_000_000_001)
	fault := volvox.Errorf(volvox.NotFound, "gone").From(errors.New("why"))
	const faultJSON = `{"code":"E_NOT_FOUND","message":"gone","cause":"why","retryable":false}`
	text, red, when, raw := "x", color(1), &at, json.RawMessage(`{"a":1}`)
	for _, tc := range []struct{ give, want any }{
		{nil, nil}, {true, true}, {7, int64(7)}, {uint8(7), int64(7)}, {"x", "x"}, {word("x"), "x"}, {&text, "x"}, {(*string)(nil), nil},
		{at, at.UnixMicro()}, {when, at.UnixMicro()}, {&when, at.UnixMicro()}, {time.Time{}, nil}, {(*time.Time)(nil), nil},
		{raw, `{"a":1}`}, {&raw, `{"a":1}`}, {json.RawMessage(nil), nil}, {[]byte("x"), []byte("x")},
		{red, "#1"}, {&red, "#1"}, {netip.MustParseAddr("100.64.0.1"), "100.64.0.1"}, {big.NewInt(7), "7"}, {*big.NewInt(7), "7"},
		{fault, faultJSON}, {&fault, faultJSON}, {*fault, faultJSON}, {(*volvox.Error)(nil), nil},
		{point{1, 2}, "[1,2]"}, {&point{1, 2}, "[1,2]"}, {[]point{{1, 2}}, "[[1,2]]"}, {struct{ P point }{point{1, 2}}, `{"P":[1,2]}`},
		{map[string]color{"c": 2}, `{"c":"#2"}`}, {[]string(nil), "null"},
	} {
		got, err := toValue(tc.give)
		if err != nil || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%T %v is %#v, want %#v (%v)", tc.give, tc.give, got, tc.want, err)
		}
	}
	for _, bad := range []any{make(chan int), func() {}, uint64(1 << 63), []any{make(chan int)}} {
		if got, err := toValue(bad); err == nil {
			t.Errorf("%T is taken as %v", bad, got)
		}
	}
}
