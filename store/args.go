package store

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"time"
)

// toValues turns arguments into what drivers take.
func toValues(args []any) ([]any, error) {
	if len(args) == 0 {
		return nil, nil
	}
	values := make([]any, len(args))
	for i, a := range args {
		v, err := toValue(a)
		if err != nil {
			return nil, fmt.Errorf("argument $%d: %w", i+1, err)
		}
		values[i] = v
	}
	return values, nil
}

func toValue(a any) (any, error) {
	switch a := a.(type) {
	case nil, bool, int64, float64, string, []byte:
		return a, nil
	case int:
		return int64(a), nil
	case time.Time:
		if a.IsZero() {
			return nil, nil
		}
		return a.UnixMicro(), nil
	case json.RawMessage:
		if a == nil {
			return nil, nil
		}
		return string(a), nil
	}
	p := reflect.ValueOf(a)
	if p.Kind() != reflect.Pointer {
		p = reflect.New(p.Type()) // so that the methods of its pointer are found
		p.Elem().Set(reflect.ValueOf(a))
	}
	if p.IsNil() {
		return nil, nil
	}
	v := p.Elem()
	if v.Kind() == reflect.Pointer || v.Type() == timeType || v.Type() == rawType {
		return toValue(v.Interface())
	}
	if m, ok := p.Interface().(encoding.TextMarshaler); ok {
		text, err := m.MarshalText()
		return string(text), err
	}
	switch v.Kind() {
	case reflect.Bool:
		return v.Bool(), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int(), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if v.Uint() > math.MaxInt64 {
			return nil, fmt.Errorf("%d is larger than an integer of the kernel", v.Uint())
		}
		return int64(v.Uint()), nil
	case reflect.Float32, reflect.Float64:
		return v.Float(), nil
	case reflect.String:
		return v.String(), nil
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return v.Bytes(), nil
		}
	case reflect.Struct, reflect.Map, reflect.Array:
	default:
		return nil, fmt.Errorf("a %T cannot be stored", a)
	}
	text, err := json.Marshal(p.Interface())
	if err != nil {
		return nil, fmt.Errorf("a %T cannot be stored: %w", a, err)
	}
	return string(text), nil
}
