package addon

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/volvox-os/volvox"
)

// Parameter is something a person may set.
type Parameter struct {
	Name    string
	Type    string // string, integer, number, boolean
	Unit    string // of an integer: bytes, ms, or empty for a plain number
	Doc     string
	Default string // a CEL expression over cpu_millis, memory_bytes, storage_bytes, replicas
	AtMost  string // a CEL expression that bounds the value, such as memory_bytes / 2; may be empty
	Apply   string // live, reload, restart or never
	Schema  []byte // JSON Schema of the value
	Allowed string // the schema in words, as in "a whole number from 1 to 10"

	schema *jsonschema.Schema
	def    *expression
	atMost *expression
}

// Parameters checks what a person set and returns every parameter with its
// value: E_UNKNOWN_PARAMETER (did you mean …) or E_BAD_PARAMETER (says what
// is allowed). v.Params is ignored.
//
// Values come back in one form whatever a person wrote: bytes and
// milliseconds as plain numbers ("64MB" becomes "67108864"), booleans as true
// or false. A default that the members' size drives out of the parameter's
// range is brought back to the nearest end of the range.
func (c *Component) Parameters(set map[string]string, v Values) (map[string]string, error) {
	names := make([]string, len(c.Params))
	for i, p := range c.Params {
		names[i] = p.Name
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if !slices.Contains(names, name) {
			return nil, volvox.Errorf(volvox.UnknownParameter, "there is no parameter %q%s", name, volvox.Hint(name, names)).
				Because("the parameters are %s", strings.Join(names, ", ")).
				WithTry("volvox sql \"SELECT name, doc FROM addon_parameters\"")
		}
	}
	all := make(map[string]string, len(c.Params))
	for i := range c.Params {
		p := &c.Params[i]
		value, given := set[p.Name]
		var err error
		if given {
			value, err = p.check(value, v)
		} else {
			value, err = p.computed(v)
		}
		if err != nil {
			return nil, err
		}
		all[p.Name] = value
	}
	return all, nil
}

// check returns the value in its one form, or E_BAD_PARAMETER.
func (p *Parameter) check(text string, v Values) (string, error) {
	normal, err := p.normalize(text)
	if err == nil {
		err = p.validate(normal)
	}
	limit := ""
	if err == nil && p.atMost != nil {
		limit, err = p.atMost.value(v)
		if err == nil && compareNumbers(normal, limit) > 0 {
			err = fmt.Errorf("for a member of this size it must be at most %s, which is %s", p.show(limit), p.AtMost)
		}
	}
	if err != nil {
		return "", volvox.Errorf(volvox.BadParameter, "the parameter %s cannot be %q", p.Name, text).
			Because("%s", err.Error()).WithTry("set %s to %s", p.Name, p.Allowed)
	}
	return normal, nil
}

// computed is the default for members of this size.
func (p *Parameter) computed(v Values) (string, error) {
	if p.def == nil {
		return "", fmt.Errorf("the parameter %s was not loaded from an addon", p.Name)
	}
	text, err := p.def.value(v)
	if err != nil {
		return "", volvox.Errorf(volvox.BadParameter, "the default of the parameter %s cannot be computed", p.Name).From(err)
	}
	if p.atMost != nil {
		if limit, err := p.atMost.value(v); err == nil && compareNumbers(text, limit) > 0 {
			text = limit
		}
	}
	if p.schema != nil && p.schema.Minimum != nil {
		if least := p.schema.Minimum.RatString(); compareNumbers(text, least) < 0 {
			text = least
		}
	}
	if p.schema != nil && p.schema.Maximum != nil {
		if most := p.schema.Maximum.RatString(); compareNumbers(text, most) > 0 {
			text = most
		}
	}
	if err := p.validate(text); err != nil {
		return "", volvox.Errorf(volvox.BadParameter, "the default of the parameter %s is %q, which is not allowed", p.Name, text).From(err)
	}
	return text, nil
}

// compareNumbers compares two numbers in text; what is no number is equal to
// everything.
func compareNumbers(a, b string) int {
	x, okX := new(big.Rat).SetString(a)
	y, okY := new(big.Rat).SetString(b)
	if !okX || !okY {
		return 0
	}
	return x.Cmp(y)
}

var (
	quantity  = regexp.MustCompile(`^(-?[0-9]{1,18})\s*([A-Za-z]*)$`)
	byteUnits = map[string]int64{
		"": 1, "b": 1, "k": 1 << 10, "kb": 1 << 10, "ki": 1 << 10, "kib": 1 << 10, "m": 1 << 20, "mb": 1 << 20, "mi": 1 << 20, "mib": 1 << 20,
		"g": 1 << 30, "gb": 1 << 30, "gi": 1 << 30, "gib": 1 << 30, "t": 1 << 40, "tb": 1 << 40, "ti": 1 << 40, "tib": 1 << 40,
	}
	timeUnits = map[string]int64{"": 1, "ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
)

// normalize brings a value that a person wrote into its one form.
func (p *Parameter) normalize(text string) (string, error) {
	switch p.Type {
	case "integer":
		m := quantity.FindStringSubmatch(strings.TrimSpace(text))
		if m == nil {
			return "", errors.New("it must be " + p.Allowed)
		}
		n, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			return "", errors.New("it must be " + p.Allowed)
		}
		factor, ok := int64(1), m[2] == ""
		switch p.Unit {
		case "bytes":
			factor, ok = lookup(byteUnits, strings.ToLower(m[2]))
		case "ms":
			factor, ok = lookup(timeUnits, strings.ToLower(m[2]))
		}
		if !ok || (n*factor)/factor != n {
			return "", errors.New("it must be " + p.Allowed)
		}
		return strconv.FormatInt(n*factor, 10), nil
	case "number":
		f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil || f != f || f > 1e300 || f < -1e300 {
			return "", errors.New("it must be " + p.Allowed)
		}
		return strconv.FormatFloat(f, 'f', -1, 64), nil
	case "boolean":
		switch strings.ToLower(strings.TrimSpace(text)) {
		case "true", "on", "yes", "1":
			return "true", nil
		case "false", "off", "no", "0":
			return "false", nil
		}
		return "", errors.New("it must be true or false")
	default:
		if strings.ContainsFunc(text, unicode.IsControl) {
			return "", errors.New("it must be one line of text without control characters")
		}
		return text, nil
	}
}

func lookup(units map[string]int64, unit string) (int64, bool) {
	f, ok := units[unit]
	if !ok {
		f = 1
	}
	return f, ok
}

// validate checks a value in its one form against the schema.
func (p *Parameter) validate(normal string) error {
	var value any = normal
	switch p.Type {
	case "integer", "number":
		value = json.Number(normal)
	case "boolean":
		value = normal == "true"
	}
	if p.schema == nil || p.schema.Validate(value) == nil {
		return nil
	}
	return errors.New("it must be " + p.Allowed)
}

// show writes the most that a number may be, with the largest unit that
// leaves it whole; of bytes, as much less as nobody reads.
func (p *Parameter) show(number string) string {
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 {
		return number
	}
	if p.Unit == "bytes" {
		for unit := int64(1 << 20); unit > 1; unit >>= 10 {
			if n >= 100*unit {
				n -= n % unit
				break
			}
		}
	}
	return showNumber(n, p.Unit)
}

func showNumber(n int64, unit string) string {
	type step struct {
		name   string
		factor int64
	}
	var steps []step
	switch unit {
	case "bytes":
		steps = []step{{"TB", 1 << 40}, {"GB", 1 << 30}, {"MB", 1 << 20}, {"kB", 1 << 10}, {"B", 1}}
	case "ms":
		steps = []step{{"d", 86_400_000}, {"h", 3_600_000}, {"min", 60_000}, {"s", 1000}, {"ms", 1}}
	}
	for _, s := range steps {
		if n%s.factor == 0 {
			return strconv.FormatInt(n/s.factor, 10) + s.name
		}
	}
	return strconv.FormatInt(n, 10)
}
